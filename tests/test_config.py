"""The robot file: what is accepted, and how everything that is not is told."""

import copy
import math
import pickle
import tomllib
from contextlib import suppress
from functools import reduce
from operator import getitem
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from robot_files import ROBOT, write_robot

import spinal
from spinal.runtime.config import RobotConfig, load_robot
from spinal.runtime.config.joints import ArmJoint, ArmLimits, GripperJoint
from spinal.runtime.config.words import problems_of
from spinal.runtime.errors import ConfigError

ROBOTS = Path(spinal.__file__).parent / "launch" / "robots"
JARGON = ("pydantic", "http", "validation", "Input should", "union", "discriminator", "literal")


def refusal(path):
    with pytest.raises(ConfigError) as caught:
        load_robot(path)
    return caught.value


@pytest.mark.parametrize(("file", "realtime"), [("so101_sim.toml", "prefer"), ("so101.toml", "require")])
def test_shipped_robots_load(file, realtime):
    robot = load_robot(ROBOTS / file)
    names = ["shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll", "gripper"]
    assert [joint.name for joint in robot.joints] == names
    assert [joint.id for joint in robot.joints] == [1, 2, 3, 4, 5, 6]
    assert robot.control.realtime == realtime
    assert robot.control.period_ns == 4_000_000
    assert robot.simulated == (file == "so101_sim.toml")


def test_the_model_belongs_to_the_folder_of_the_robot_file(tmp_path, monkeypatch):
    write_robot(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert load_robot("two.toml").policy.model == str(tmp_path / "policy.onnx")
    sim = load_robot(ROBOTS / "so101_sim.toml")
    assert Path(sim.policy.model) == (ROBOTS.parent / "policies/cartpick/cartpick.onnx").resolve()


def test_a_config_is_frozen_and_crosses_process_borders(tmp_path):
    robot = load_robot(write_robot(tmp_path))
    with pytest.raises(ValidationError):
        robot.control.servo_hz = 500
    assert pickle.loads(pickle.dumps(robot)) == robot
    assert RobotConfig.model_validate_json(robot.model_dump_json(by_alias=True)) == robot


def test_counts_follow_one_straight_line(tmp_path):
    elbow, gripper = load_robot(write_robot(tmp_path, ("direction = 1", "direction = -1"))).joints
    assert isinstance(elbow, ArmJoint)
    assert isinstance(gripper, GripperJoint)
    assert elbow.count_at_zero + elbow.counts_per_unit * math.pi / 2 == pytest.approx(1024)
    assert gripper.count_at_zero + gripper.counts_per_unit * 0.022 == pytest.approx(3072)
    assert (elbow.unit, gripper.unit) == ("rad", "m")


def test_time_to_rest(tmp_path):
    elbow, gripper = load_robot(write_robot(tmp_path)).joints
    assert elbow.time_to_rest_s == pytest.approx(4.0 / 80 + 2 * 80 / 4000)
    assert elbow.emergency_time_to_rest_s == pytest.approx(4.0 / 120 + 2 * 120 / 20000)
    assert gripper.time_to_rest_s == gripper.emergency_time_to_rest_s == 0


ELBOW, GRIPPER = "joints[0] (elbow)", "joints[1] (gripper)"
SECOND_BUS = '[buses.spare]\nprotocol = "feetech"\nport = "sim"\nbaud = 1000000\nreply_timeout_us = 2000\n'
# name: the edit, the path, a part of the message, a part of the hint
BAD = {
    "missing limit": ((", jerk = 4000.0", ""), f"{ELBOW}.limits.jerk", "is missing", "rad/s^3"),
    "missing gripper limit": ((", velocity = 0.25", ""), f"{GRIPPER}.limits.velocity", "is missing", "m/s"),
    "missing emergency": (
        ("emergency = { acceleration = 120.0, jerk = 20000.0 }", ""),
        f"{ELBOW}.emergency",
        "is missing",
        "acceleration, jerk",
    ),
    "limit not positive": (
        ("jerk = 4000.0", "jerk = 0"),
        f"{ELBOW}.limits.jerk",
        "above 0, and is 0",
        "rad/s^3",
    ),
    "limit infinite": (("jerk = 4000.0", "jerk = inf"), f"{ELBOW}.limits.jerk", "finite", "rad/s^3"),
    "limit not a number": (("velocity = 4.0", "velocity = nan"), f"{ELBOW}.limits.velocity", "nan", "rad/s"),
    "limit quoted": (
        ("jerk = 4000.0", 'jerk = "4"'),
        f"{ELBOW}.limits.jerk",
        'a number, and is "4"',
        "rad/s^3",
    ),
    "limit true": (("velocity = 4.0", "velocity = true"), f"{ELBOW}.limits.velocity", "is true", "rad/s"),
    "crossed": (
        ("position_min = -1.5", "position_min = 1.6"),
        f"{ELBOW}.limits.position_min",
        "below position_max (1.5)",
        "swap",
    ),
    "weak emergency": (
        ("acceleration = 120.0", "acceleration = 60.0"),
        f"{ELBOW}.emergency.acceleration",
        "at least limits.acceleration (80), and is 60",
        "brake",
    ),
    "outside the encoder": (
        ("zero_count = 2048", "zero_count = 900"),
        f"{ELBOW}.limits.position_min",
        "encoder count -78, outside 0 to 4095",
        "zero_count",
    ),
    "count beyond every encoder": (
        ("closed_count = 2048", "closed_count = 1" + 400 * "0"),
        f"{GRIPPER}.linkage.closed_count",
        "must be at most 16777216",
        "closed",
    ),
    "outside the stroke": (
        ("position_max = 0.022", "position_max = 0.03"),
        f"{GRIPPER}.limits.position_max",
        "linkage.stroke_m (0.022 m), and is 0.03",
        "closed",
    ),
    "dead linkage": (
        ("open_count = 3072", "open_count = 2048"),
        f"{GRIPPER}.linkage.open_count",
        "never move",
        "closed",
    ),
    "duplicate name": (
        ('name = "gripper"', 'name = "elbow"'),
        "joints[1] (elbow).name",
        "already the name of joints[0]",
        "rename",
    ),
    "duplicate id": (
        ("id = 2", "id = 1"),
        f"{GRIPPER}.id",
        f"1 on bus arm already belongs to {ELBOW}",
        "own id",
    ),
    "bus without joints": (
        ("[[joints]]", f"{SECOND_BUS}[[joints]]"),
        "buses.spare",
        "has no joint",
        "remove",
    ),
    "unknown bus": (
        ('kind = "gripper"\nbus = "arm"', 'kind = "gripper"\nbus = "arn"'),
        f"{GRIPPER}.bus",
        "not there: arn",
        "did you mean arm?",
    ),
    "two buses": (('bus = "arm"', 'bus = ["arm", "leg"]'), f"{ELBOW}.bus", "a list of 2", "one bus"),
    "unknown kind": (
        ('kind = "gripper"', 'kind = "griper"'),
        f"{GRIPPER}.kind",
        'must be "arm" or "gripper", and is "griper"',
        "",
    ),
    "no kind": (('kind = "gripper"\n', ""), f"{GRIPPER}.kind", "is missing", '"arm" or "gripper"'),
    "unknown key": (
        ("servo_hz = 250", "servo_hz = 250\nsevo_hz = 1"),
        "control.sevo_hz",
        "known",
        "mean servo_hz?",
    ),
    "unknown section": (("[link]", "[lnk]"), "lnk", "not a known key", "did you mean link?"),
    "strange key": (("# in its own directory", "zzz = 5"), "link.zzz", "not a known key", "command_endpoint"),
    "priority": (
        ("servo_hz = 250", "servo_hz = 250\nfifo_priority = 50"),
        "control.fifo_priority",
        "at most 49, and is 50",
        "interrupt",
    ),
    "broken rate": (("servo_hz = 250", "servo_hz = 250.5"), "control.servo_hz", "whole number", "ticks"),
    "realtime": (
        ("servo_hz = 250", 'servo_hz = 250\nrealtime = "yes"'),
        "control.realtime",
        'must be "require", "prefer" or "off", and is "yes"',
        "refuse",
    ),
    "policy faster than the servo": (
        ("servo_hz = 250", "servo_hz = 50"),
        "policy.hz",
        "not be above control.servo_hz (50), and is 60",
        "one tick",
    ),
    "timeout of a tick": (
        ("reply_timeout_us = 2000", "reply_timeout_us = 4000"),
        "buses.arm.reply_timeout_us",
        "shorter than one tick (4000 us), and is 4000",
        "half",
    ),
    "provider": (
        ("\nhz = 50", '\nhz = 50\nproviders = ["cuda"]'),
        "policy.providers[0]",
        'ends in ExecutionProvider, and is "cuda"',
        "onnxruntime",
    ),
    "no provider": (
        ("\nhz = 50", "\nhz = 50\nproviders = []"),
        "policy.providers",
        "an empty list",
        "onnxruntime",
    ),
    "port": (
        ('port = "sim"', 'port = "COM3"'),
        "buses.arm.port",
        'or a path that begins with /, and is "COM3"',
        "dev",
    ),
    "stream name": (("[streams.block]", "[streams.Block]"), "streams.Block (the name)", "small letters", ""),
    "blend": (
        ("blend_min_ms = 20", "blend_min_ms = 200"),
        "execution.blend_min_ms",
        "above blend_max_ms (160)",
        "swap",
    ),
    "remote": (
        ("# in its own directory", 'command_endpoint = "tcp://0.0.0.0:5740"'),
        "link.command_endpoint",
        "must stay on this machine",
        "tunnel",
    ),
    "schema": (("schema = 1", "schema = 2"), "schema", "must be 1, and is 2", "version"),
    "no section": (("[control]\nservo_hz = 250", ""), "control", "is missing", "servo_hz"),
    "section is a number": (
        ("[execution]\nblend_min_ms = 20", "[[execution]]"),
        "execution",
        "a table",
        "chunk",
    ),
    "negative seed": (("[sim]", "[sim]\nseed = -1"), "sim.seed", "at least 0, and is -1", "random"),
}


@pytest.mark.parametrize("name", BAD)
def test_each_problem_is_told_with_its_place_and_its_cure(tmp_path, name):
    change, path, message, hint = BAD[name]
    changes = [change, ("\nhz = 50", "\nhz = 60")] if path == "policy.hz" else [change]
    problems = refusal(write_robot(tmp_path, *changes)).problems
    assert [problem.path for problem in problems] == [path]
    assert message in problems[0].message
    assert hint in problems[0].hint


def test_all_problems_are_told_at_once(tmp_path):
    changes = [
        BAD[name][0]
        for name in ("missing limit", "duplicate id", "unknown key", "remote", "timeout of a tick")
    ]
    error = refusal(write_robot(tmp_path, *changes))
    assert {problem.path for problem in error.problems} == {
        "control.sevo_hz",
        f"{ELBOW}.limits.jerk",
        f"{GRIPPER}.id",
        "link.command_endpoint",
        "buses.arm.reply_timeout_us",
    }
    text = str(error)
    assert text.startswith(f"{tmp_path / 'two.toml'}: 5 problems\n")
    assert all(problem.path in text and problem.hint in text for problem in error.problems)
    assert "spinal check" in error.hint


def test_simulation_needs_a_world(tmp_path):
    problems = refusal(write_robot(tmp_path, ('[sim]\nworld = "cartpick"', ""))).problems
    assert [problem.path for problem in problems] == ["buses.arm.port", "streams.block.source"]
    assert "[sim]" in problems[0].hint


@pytest.mark.parametrize(
    "endpoint", ["tcp://127.0.0.1:5740", "tcp://[::1]:5740", "tcp://localhost:1", "ipc:///run/spinal/x"]
)
def test_local_endpoints_are_accepted(tmp_path, endpoint):
    change = ("# in its own directory", f'command_endpoint = "{endpoint}"')
    assert load_robot(write_robot(tmp_path, change)).link.command_endpoint == endpoint


@pytest.mark.parametrize(
    "endpoint",
    [
        "tcp://*:5740",
        "tcp://192.168.1.2:5740",
        "tcp://127.0.0.1",
        "tcp://127.0.0.1:0",
        "ipc://x",
        "udp://127.0.0.1:1",
    ],
)
def test_other_endpoints_are_refused(tmp_path, endpoint):
    change = ("# in its own directory", f'state_endpoint = "{endpoint}"')
    assert [p.path for p in refusal(write_robot(tmp_path, change)).problems] == ["link.state_endpoint"]


def test_files_that_cannot_be_read(tmp_path):
    assert "is not there" in str(refusal(tmp_path / "no.toml"))
    assert "is a folder" in str(refusal(tmp_path))
    broken = tmp_path / "broken.toml"
    broken.write_text("schema = 1\nname two\n")
    assert "is not TOML" in str(refusal(broken))
    assert "line 2" in str(refusal(broken))
    broken.write_bytes(b"schema = 1\n# \xe9\n")
    assert "line 2 is not UTF-8" in str(refusal(broken))
    broken.write_bytes(b"#" * (1 << 21))
    assert "larger than 1 MiB" in str(refusal(broken))


@given(
    st.floats(-10, 10),
    st.floats(-10, 10),
    st.floats(-1, 100),
    st.floats(-1, 1000),
    st.floats(-1, 1e5),
    st.floats(0, 9),
)
def test_limits_are_accepted_exactly_when_they_bound(low, high, velocity, acceleration, jerk, more):
    values = {
        "position_min": low,
        "position_max": high,
        "velocity": velocity,
        "acceleration": acceleration,
        "jerk": jerk,
        "torque_fraction": 1.0,
    }
    if low < high and velocity > 0 and acceleration > 0 and jerk > 0:
        limits = ArmLimits(**values)
        assert limits.time_to_rest_s == velocity / acceleration + 2 * acceleration / jerk
        assert ArmLimits(**{**values, "velocity": velocity + more}).time_to_rest_s >= limits.time_to_rest_s
    else:
        with pytest.raises(ValidationError):
            ArmLimits(**values)


@given(st.integers(0, 4095), st.sampled_from([-1, 1]), st.floats(-4, 0), st.floats(0.01, 4))
def test_an_arm_joint_fits_its_encoder_or_is_refused(zero, direction, low, high):
    raw = tomllib.loads(ROBOT)["joints"][0]
    raw |= {"zero_count": zero, "direction": direction}
    raw["limits"] |= {"position_min": low, "position_max": high}
    ends = [zero + direction * 4096 / math.tau * position for position in (low, high)]
    if all(0 <= count <= 4095 for count in ends):
        assert ArmJoint(**raw).zero_count == zero
    else:
        with pytest.raises(ValidationError):
            ArmJoint(**raw)


def leaves(value, path=()):
    """The way to each table, list and value of a file."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from leaves(inner, (*path, key))


TREE = tomllib.loads(ROBOT)
JUNK = st.one_of(
    st.booleans(),
    st.integers(-(10**400), 10**400),
    st.floats(),
    st.text(max_size=5),
    st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


@given(
    st.lists(st.tuples(st.sampled_from([way for way in leaves(TREE) if way]), JUNK), min_size=1, max_size=4)
)
def test_whatever_stands_in_a_file_is_refused_in_plain_words(changes):
    raw = copy.deepcopy(TREE)
    for way, junk in changes:
        with suppress(KeyError, IndexError, TypeError):  # an earlier change took the way there
            reduce(getitem, way[:-1], raw)[way[-1]] = junk
    try:
        RobotConfig.model_validate(raw)
    except ValidationError as error:
        problems = problems_of(error, raw, RobotConfig)
        assert problems
        for problem in problems:
            assert problem.path or problem.message
            words = problem.message.split(", and is ")[0] + problem.hint
            assert not any(term in words for term in JARGON), words
            assert "is not a value that can stand here" not in words
