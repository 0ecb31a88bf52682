"""Each stream of a card into a model's inputs: units, order, history, goals, the model's own last words."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cards import ARM, Buffers, card, joints

import spinal.launch
from spinal.runtime.config.card import load_card
from spinal.runtime.config.load import load_robot
from spinal.runtime.decode import Meaning
from spinal.runtime.errors import PolicyError
from spinal.runtime.policy.fill import Fills
from spinal.runtime.policy.fill.history import History
from spinal.runtime.types import Goal, Image, Observation, StreamValue

ROBOT = load_robot(Path(spinal.launch.__path__[0]) / "robots" / "so101_sim.toml")
MS = 1_000_000
NOW_NS = 7_000 * MS
STEP_NS = 20 * MS
Q = np.array([0.1, -0.2, 0.9, 0.4, -0.3, 0.011])


def seen(k=0, **changes):
    """The observation ``k`` steps of 20 ms behind NOW_NS."""
    usual = {
        "stamp_ns": NOW_NS + k * STEP_NS,
        "position": Q + 0.01 * k,
        "velocity": np.linspace(-1, 1, 6),
        "command": np.stack([Q + 0.5, np.zeros(6), np.zeros(6)], axis=1),
        "ahead": np.zeros((0, 6)),
        "joints_age_ns": 0,
        "load": np.linspace(-0.5, 0.5, 6),
        "streams": {
            "imu": StreamValue(
                np.array([1.0, 2, 3]),
                np.array([4.0, 5, 6]),
                0.7,
                NOW_NS,
                np.array([np.cos(0.25), np.sin(0.25), 0, 0]),
                np.array([7.0, 8, 9]),
            )
        },
    }
    return Observation(**(usual | changes))


def tensor(stream, *shape, name="x", dtype="float32", **fields):
    return {"name": name, "stream": stream, "shape": [1, *shape], "dtype": dtype, **fields}


def made(*inputs, robot=ROBOT, outputs=None, **fields):
    chosen = card(*inputs, **fields)
    engine = Buffers(chosen, **(outputs or {}))
    return Fills(chosen, engine, Meaning(chosen, robot), robot), engine


def filled(*inputs, observation=None, **fields):
    fills, engine = made(*inputs, **fields)
    fills.fill(observation or seen())
    return engine.inputs["x"]


# --- streams


def test_joints_in_the_cards_units():
    units = joints(
        shoulder_pan={"unit": "deg"}, elbow_flex={"unit": "signed_percent"}, gripper={"unit": "percent"}
    )
    x = filled(tensor("joint_position", 6, unit="joint"), joints=units)
    assert x[0] == pytest.approx([np.degrees(0.1), -0.2, 200 * 1.0 / 3 - 100, 0.4, -0.3, 50.0], rel=1e-6)
    x = filled(tensor("joint_velocity", 6, unit="joint/s"), joints=units)
    assert x[0] == pytest.approx(
        np.linspace(-1, 1, 6) * [np.degrees(1), 1, 200 / 3, 1, 1, 100 / 0.022], rel=1e-6
    )


def test_some_joints_in_the_models_order():
    chosen = tensor("command", 2, unit="joint", joints=["gripper", "shoulder_lift"])
    assert filled(chosen)[0] == pytest.approx([0.511, 0.3])
    assert filled(chosen, robot=None)[0] == pytest.approx([0.511, 0.3])
    load = tensor("joint_load", 2, joints=["gripper", "shoulder_pan"])
    assert filled(load)[0] == pytest.approx([0.5, -0.5])


def test_an_offset_is_less_the_default_pose():
    start = joints(shoulder_lift={"unit": "deg"}, default_position=0.25)
    x = filled(tensor("joint_offset", 6, unit="joint"), joints=start)
    assert x[0] == pytest.approx([-0.15, np.degrees(-0.2) - 0.25, 0.65, 0.15, -0.55, -0.239])


@pytest.mark.parametrize(
    ("field", "unit", "expected"),
    [
        ("position", "m", [1, 2, 3]),
        ("velocity", "m/s", [4, 5, 6]),
        ("yaw", "rad", [0.7]),
        ("orientation", "1", [np.cos(0.25), np.sin(0.25), 0, 0]),
        ("angular_velocity", "rad/s", [7, 8, 9]),
        ("gravity", "1", [0, -np.sin(0.5), -np.cos(0.5)]),  # rolled by 0.5 rad
    ],
)
def test_sensors(field, unit, expected):
    assert filled(tensor(f"stream:imu.{field}", len(expected), unit=unit))[0] == pytest.approx(expected)


def test_what_a_sensor_or_a_robot_does_not_say_is_a_fault():
    with pytest.raises(PolicyError, match="stream imu says no acceleration"):
        filled(tensor("stream:imu.acceleration", 3, unit="m/s^2"))
    with pytest.raises(PolicyError, match="measures no load"):
        filled(tensor("joint_load", 6), observation=seen(load=None))


def test_each_type_of_element():
    mask = [1, 1, 0, 0]
    for dtype in ("float32", "float16", "int64", "int32", "bool"):
        x = filled(tensor("mask", 4, dtype=dtype), observation=seen(ahead=np.zeros((2, 6))))
        assert x.dtype == dtype
        assert x[0].tolist() == mask
    assert filled(tensor("joint_position", 6, unit="joint", dtype="float16"))[0] == pytest.approx(Q, rel=1e-3)


def test_numbers_are_normalised_on_their_way_in():
    scale = {"mode": "mean_std", "mean": [0.1] * 6, "std": [0.5] * 6, "clip": [-1.0, 1.0]}
    x = filled(tensor("joint_position", 6, unit="joint", normalise=scale))
    assert x[0] == pytest.approx(np.clip((Q - 0.1) / 0.5, -1, 1))


def test_parts_stand_one_behind_the_other():
    """A walker's observation: each term with its own scale, and a history of one of them."""
    parts = [
        {
            "stream": "stream:imu.angular_velocity",
            "unit": "rad/s",
            "normalise": {"mode": "scale", "scale": [0.25]},
        },
        {"stream": "joint_position", "unit": "joint", "joints": ["gripper"], "history": 3},
        {"stream": "last_action"},
    ]
    whole = {"mode": "scale", "scale": [2.0], "offset": [0.0]}
    one = {"name": "x", "shape": [1, 12], "parts": parts}
    fills, engine = made(one)
    for k in range(3):
        fills.fill(seen(k))
    expected = [1.75, 2, 2.25, 0.011, 0.021, 0.031, *[0] * 6]
    assert engine.inputs["x"][0] == pytest.approx(expected)
    assert filled(one | {"normalise": whole})[0] == pytest.approx([3.5, 4, 4.5, *[0.022] * 3, *[0] * 6])


# --- the shipped card


def test_the_shipped_card_takes_the_short_way_and_says_the_same(monkeypatch):
    shipped = load_card(ROBOT.policy.model)
    value = StreamValue(np.array([0.1, 0.2, 0.3]), np.array([1.0, 2, 3]), 0.7, NOW_NS)
    observation = seen(streams={"block": value}, ahead=np.linspace(0, 1, 12).reshape(2, 6))

    def inputs():
        engine = Buffers(shipped)
        fills = Fills(shipped, engine, Meaning(shipped, ROBOT), ROBOT)
        fills.restart(5)
        fills.fill(observation)
        return engine.inputs

    short = inputs()
    monkeypatch.setattr("spinal.runtime.policy.fill.fills.plain_fill", lambda *_: None)
    monkeypatch.setattr(Meaning, "plain", False, raising=False)
    for name, array in inputs().items():
        assert array.tobytes() == short[name].tobytes(), name
    assert np.abs(short["noise"]).max() > 1


def test_the_inputs_that_a_head_fills_are_left_to_it():
    chosen = card(
        tensor("noise", 4, 6, name="x_t"),
        tensor("joint_position", 6, unit="joint"),
        decoder={
            "kind": "flow",
            "steps": 2,
            "noise_at": 1,
            "x": "x_t",
            "time": "t",
            "velocity": "chunk",
            "time_per_position": True,
        },
    )
    engine = Buffers(chosen)
    engine.inputs["x_t"][...] = 5
    Fills(chosen, engine, Meaning(chosen, ROBOT), ROBOT).fill(seen())
    assert (engine.inputs["x_t"] == 5).all()
    assert engine.inputs["x"].any()


# --- prefix


def test_the_prefix_is_in_the_models_own_numbers():
    scale = {"mode": "mean_std", "mean": [0.2] * 6, "std": [2.0] * 6}
    ahead = Q + np.array([[0.1], [0.3]])
    x = filled(
        tensor("prefix", 4, 6, unit="joint"),
        tensor("mask", 4, name="m"),
        observation=seen(ahead=ahead),
        representation="relative",
        normalise=scale,
        joints=joints(gripper={"absolute": True}),
    )
    relative = np.array([0.1, 0.3, 0.3, 0.3])
    expected = np.tile(relative[:, None], (1, 6))
    expected[:, 5] = Q[5] + relative
    assert x[0] == pytest.approx((expected - 0.2) / 2, rel=1e-6)


def test_without_anything_ahead_it_is_the_command():
    x = filled(tensor("prefix", 4, 6, unit="joint"), representation="delta")
    assert x[0, 0] == pytest.approx(np.full(6, 0.5), rel=1e-6)
    assert x[0, 1:] == pytest.approx(np.zeros((3, 6)), abs=1e-12)


# --- history


def test_a_history_begins_with_its_first_instant_and_ends_with_the_newest():
    fills, engine = made(tensor("joint_position", 3, 6, unit="joint", history=3))
    rows = []
    for k in range(4):
        fills.fill(seen(k))
        rows.append(((engine.inputs["x"][0, :, 0] - Q[0]) / 0.01).round().astype(int).tolist())
    assert rows == [[0, 0, 0], [0, 0, 1], [0, 1, 2], [1, 2, 3]]


@pytest.mark.parametrize("breaks", [{"epoch": 1}, {"stamp_ns": NOW_NS + 2_000 * MS}])
def test_a_history_does_not_reach_across_a_break(breaks):
    fills, engine = made(tensor("joint_position", 3, 6, unit="joint", history=3, history_step_ms=1000.0))
    fills.fill(seen(0))
    fills.fill(seen(1))
    fills.fill(replace(seen(9), **breaks))
    assert engine.inputs["x"][0, :, 0] == pytest.approx(np.full(3, Q[0] + 0.09))


def test_a_late_step_takes_what_is_nearest_in_time():
    history = History(3, 20, (1,))
    into = np.zeros((3, 1))

    def take(stamp):
        history.take(stamp, np.array([float(stamp)]), into)
        return into[:, 0].tolist()

    assert take(0) == [0, 0, 0]
    assert take(20) == [0, 0, 20]
    assert take(49) == [0, 20, 49]  # 29 and 9 back: 20 and 0 (9 is nearer to 0 than to 20)
    assert take(71) == [20, 49, 71]
    assert take(171) == [171, 171, 171]  # 131 is nearer to 171 than to 71
    assert take(100) == [100, 100, 100]  # time that runs back is another run


@pytest.mark.parametrize(("period", "step"), [(5, 40), (20, 20), (33, 20), (7, 100)])
def test_a_history_against_all_that_was_ever_said(period, step):
    rng = np.random.default_rng(period)
    stamps = np.cumsum(rng.integers(period * MS, period * MS + 9 * MS, 80))
    history, into = History(5, step * MS, (1,)), np.zeros((5, 1))
    for k, stamp in enumerate(stamps):
        history.take(int(stamp), np.array([float(stamp)]), into)
        for row, back in enumerate(range(4, -1, -1)):
            wanted = stamp - back * step * MS
            best = np.abs(stamps[: k + 1] - wanted).min()
            assert abs(into[row, 0] - wanted) == best


def test_a_history_that_would_fill_the_memory_is_refused():
    with pytest.raises(PolicyError, match="MiB"):
        History(64, 1000 * MS, (3, 480, 640), np.float32)


# --- memory


def recurrent(**outputs):
    return made(
        tensor("joint_position", 6, unit="joint"),
        {"name": "h_in", "stream": "recurrent:h_out", "shape": [1, 1, 3]},
        tensor("last_action", 6, name="last"),
        outputs={"h_out": np.zeros((1, 1, 3), np.float32)} | outputs,
        recurrent=[{"output": "h_out", "input": "h_in"}],
    )


def test_the_state_goes_round_and_the_last_action_with_it():
    fills, engine = recurrent()
    fills.fill(seen())
    assert not engine.inputs["h_in"].any()
    engine.outputs["h_out"][...] = [1, 2, 3]
    chunk = np.arange(24.0).reshape(4, 6)
    fills.accepted(NOW_NS, chunk)
    engine.outputs["h_out"][...] = 99  # of a run that was not accepted
    for late, row in ((1, 0), (2, 1), (3, 2), (40, 3)):
        fills.fill(seen(late))
        assert engine.inputs["h_in"][0, 0].tolist() == [1, 2, 3]
        assert engine.inputs["last"][0].tolist() == chunk[row].tolist()


@pytest.mark.parametrize(
    "changes", [{"epoch": 1}, {"stamp_ns": NOW_NS + 2_000 * MS}, {"stamp_ns": NOW_NS - MS}]
)
def test_after_a_break_it_begins_with_zeros(changes):
    fills, engine = recurrent()
    fills.fill(seen())
    engine.outputs["h_out"][...] = 1
    fills.accepted(NOW_NS, np.ones((4, 6)))
    fills.fill(replace(seen(1), **changes))
    assert not engine.inputs["h_in"].any()
    assert not engine.inputs["last"].any()


def test_a_restart_is_a_break():
    fills, engine = recurrent()
    fills.fill(seen())
    engine.outputs["h_out"][...] = 1
    fills.accepted(NOW_NS, np.ones((4, 6)))
    fills.restart(0)
    assert not engine.inputs["h_in"].any()


def test_a_state_that_is_no_number_is_not_taken():
    fills, engine = recurrent()
    fills.fill(seen())
    engine.outputs["h_out"][...] = [1, np.nan, 3]
    with pytest.raises(PolicyError, match="recurrent state h_out is not finite"):
        fills.accepted(NOW_NS, np.ones((4, 6)))
    fills.fill(seen(1))
    assert not engine.inputs["h_in"].any()
    assert not engine.inputs["last"].any()


def test_a_state_of_another_shape_is_refused_at_the_start():
    with pytest.raises(
        PolicyError, match=r"goes out as float32 \[1, 4\] \(h_out\) and in as float32 \[1, 1, 3\]"
    ):
        recurrent(h_out=np.zeros((1, 4), np.float32))


# --- goals


def goal(kind, payload, age_ms=100, left_ms=500, seq=1):
    return Goal(kind, seq, NOW_NS - age_ms * MS, NOW_NS + left_ms * MS, payload)


def with_goal(*goals):
    return seen(goals={one.kind: one for one in goals})


def test_text_is_bytes_with_zeros_behind():
    for dtype in ("uint8", "int64", "int32"):
        x = filled(tensor("goal:text", 8, dtype=dtype), observation=with_goal(goal("text", "hé".encode())))
        assert x[0].tolist() == [104, 0xC3, 0xA9, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("kind", ["embedding", "latent", "waypoint", "twist"])
def test_vectors_as_they_are(kind):
    x = filled(tensor(f"goal:{kind}", 3), observation=with_goal(goal(kind, np.float32([1, 2, 3]))))
    assert x[0].tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("observation", "said"),
    [
        (seen(), "no goal latent: the planner gave none yet"),
        (with_goal(goal("text", b"x")), "no goal latent: the planner gave none yet"),
        (with_goal(goal("latent", np.float32([1, 2, 3]), left_ms=-1)), "it is 100 ms old"),
        (with_goal(goal("latent", np.float32([1, 2, 3]), age_ms=301)), "it is 301 ms old"),
        (with_goal(goal("latent", np.float32([1, 2]))), "it has 2 numbers, and the model takes 3"),
    ],
)
def test_a_goal_that_cannot_be_used_is_a_fault_unless_it_is_optional(observation, said):
    latent = tensor("goal:latent", 3, max_age_ms=300)
    with pytest.raises(PolicyError, match=said) as raised:
        filled(latent, observation=observation)
    assert "holds until the planner" in raised.value.hint
    assert filled(latent | {"optional": True}, observation=observation)[0].tolist() == [0, 0, 0]


def test_text_that_is_too_long_is_a_fault_and_never_cut():
    with pytest.raises(PolicyError, match="it has 9 bytes, and the model takes 8"):
        filled(tensor("goal:text", 8, dtype="uint8"), observation=with_goal(goal("text", b"123456789")))


def test_the_newest_goal_of_all():
    assert seen().goal is None
    observation = with_goal(goal("text", b"x", seq=4), goal("latent", np.float32([1]), seq=3))
    assert observation.goal.kind == "text"


# --- pictures


def test_a_camera_that_is_missing_or_old_is_a_fault():
    camera = tensor("camera:wrist", 3, 4, 4, max_age_ms=50)
    with pytest.raises(PolicyError, match="camera wrist: no picture"):
        filled(camera)
    old = Image(np.zeros((8, 8, 3), np.uint8), NOW_NS - 51 * MS)
    with pytest.raises(PolicyError, match="51 ms old"):
        filled(camera, observation=seen(images={"wrist": old}))
    new = Image(np.full((8, 8, 3), 255, np.uint8), NOW_NS - 50 * MS)
    assert (filled(camera, observation=seen(images={"wrist": new})) == 1).all()


def test_a_history_of_pictures():
    fills, engine = made(tensor("camera:wrist", 2, 3, 4, 4, history=2))
    for k in range(3):
        image = Image(np.full((4, 4, 3), 51 * k, np.uint8), NOW_NS)
        fills.fill(seen(k, images={"wrist": image}))
    assert engine.inputs["x"][0, :, 0, 0, 0] == pytest.approx([0.2, 0.4])


# --- refused when it is loaded


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (tensor("chunk_index", 1), "a policy step has no chunk_index"),
        (tensor("base_action", 4, 6, unit="joint"), "a policy step has no base_action"),
    ],
)
def test_what_a_policy_step_cannot_fill(one, said):
    with pytest.raises(PolicyError, match=said) as raised:
        made(one)
    assert raised.value.hint


def test_the_arms_names_are_the_robots():
    assert tuple(joint.name for joint in ROBOT.joints[:5]) == ARM
