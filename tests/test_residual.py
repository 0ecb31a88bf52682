"""A residual beside a policy, on the lock-step robot: it makes up for what is off, within bounds, and may fail."""

import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from beside_models import (
    by_index,
    drifting,
    not_a_number,
    robot_with,
    rowwise,
    standing,
    towards,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from spinal.drivers.sim import arm6, seeds
from spinal.runtime.config.load import load_robot
from spinal.runtime.errors import ConfigError
from spinal.runtime.policy.beside import load_residual
from spinal.runtime.policy.delay import COLD_RUNS, DelayMeter
from spinal.runtime.policy.loaded import load
from spinal.runtime.policy.residual import AGAIN_NS, between
from spinal.runtime.rollout import Rollout
from spinal.runtime.types import Chunk, Observation

MS = 1_000_000
STEP_NS = 20 * MS
NOW_NS = 10_000 * MS
GOAL = np.array([*arm6.ik(0.17, 0.02, 0.1, 0.3), 0.011])
OFF = np.array([0.02, -0.015, 0.01, 0.02, -0.02, 0.004])
BOUND = 0.25 * 4.7 * 0.02


class Run:
    """``model`` on ``robot``; what was commanded and what it looked like."""

    def __init__(self, robot, model, steps=90, answer_ms=1, seed=11):
        self.robot = robot
        self.policy = load(robot, 0, model).step
        self.rollout = Rollout(robot, self.policy, inference_ns=answer_ms * MS, keep_records=True)
        self.rollout.begin(seed)
        for _ in range(steps):
            self.rollout.step()
        self.residual = self.rollout.residual
        self.records = self.rollout.robot.take_records()
        self.applied = self.records["joints"]["applied"]
        self.ends = self.applied[-1]
        stats = self.rollout.robot.stats()
        self.seam, self.starved = max(stats["seam"].values()), stats["starved_ticks"]


def table(model, **more):
    return {"model": str(model), "max_share": 0.25, "hz": None} | more


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def off(folder):
    return standing(folder, GOAL + OFF)


def test_what_the_policy_is_always_off_by_is_made_up_for(folder, off):
    without = Run(robot_with(), off)
    made = Run(robot_with(table(towards(folder, GOAL))), off)
    assert np.abs(without.ends - GOAL - OFF).max() < 1e-3, "the arm gets where it is told"
    assert np.abs(made.ends - GOAL)[:5].max() < 1e-3
    assert made.ends[5] == pytest.approx(without.ends[5], abs=1e-9), "no gripper is corrected by itself"
    assert made.seam <= 1e-9
    assert made.residual.report["runs"] == 90
    assert made.residual.report["clipped"] == made.residual.report["failed"] == 0


def test_a_gripper_is_corrected_where_the_card_names_it(folder, off):
    jaw = towards(folder, GOAL, "jaw", corrected=["gripper", "shoulder_pan"])
    made = Run(robot_with(table(jaw, max_share=1.0)), off)
    assert made.ends[5] == pytest.approx(GOAL[5], abs=1e-4)
    assert made.ends[0] == pytest.approx(GOAL[0], abs=1e-3)
    assert np.abs(made.ends - GOAL - OFF)[1:5].max() < 1e-3, "and nothing that it does not name"


def test_who_asks_for_too_much_gets_the_bound_and_is_counted(folder, off):
    made = Run(robot_with(table(towards(folder, GOAL, "far", gain=10.0))), off)
    # ten times as much as is right, cut to a quarter of what a joint travels in 20 ms
    expected = np.clip(-10 * OFF, -BOUND, BOUND)
    assert np.abs(made.ends - (GOAL + OFF + expected))[:5].max() < 1e-3
    assert made.residual.bound == pytest.approx(np.full(5, BOUND), rel=0.01)
    assert made.residual.clipped == made.residual.runs == 90
    assert made.seam <= 1e-9
    limits = [joint.limits for joint in made.robot.joints[:5]]
    dt = made.robot.control.period_ns * 1e-9
    for order, name in enumerate(("velocity", "acceleration", "jerk"), 1):
        most = np.abs(np.diff(made.applied[:, :5], order, axis=0)).max(axis=0) / dt**order
        assert (most <= [getattr(limit, name) * (1 + 1e-6) for limit in limits]).all(), name


def test_one_that_answers_nan_leaves_the_policy_as_it_is(folder, off):
    bad, good = Run(robot_with(table(not_a_number(folder))), off), Run(robot_with(), off)
    count = min(len(bad.applied), len(good.applied))
    assert count > 400
    assert bad.applied[:count].tobytes() == good.applied[:count].tobytes()
    assert bad.residual.failed == 90
    assert bad.residual.runs == 0
    assert "not finite" in bad.residual.complaint
    assert bad.starved == 0


def test_one_row_for_each_coming_waypoint(folder, off):
    made = Run(robot_with(table(rowwise(folder, GOAL, 5))), off)
    assert made.ends[0] == pytest.approx(GOAL[0], abs=1e-3)
    assert np.abs(made.ends - GOAL - OFF)[1:5].max() < 1e-3


def test_faster_than_a_slow_policy_it_corrects_while_that_thinks(folder):
    """The drift that a chunk gathers until the next comes is what is left; asked more often, little is."""
    slope, base = 0.002, drifting(folder, GOAL, 0.002)
    residual = table(by_index(folder, slope), max_share=5)
    worst = {}
    for hz in (None, 50):
        made = Run(robot_with(residual | {"hz": hz, "max_share": 0.5}, hz=5), base, 14, answer_ms=200)
        late = made.records["tick_ns"] > made.records["tick_ns"][0] + 1500 * MS
        worst[hz] = np.abs(made.applied[late, 0] - GOAL[0]).max()
        assert made.seam <= 1e-9
        assert made.residual.clipped == 0
    assert worst[50] < 0.0065
    assert worst[None] > 0.018, "nine steps' drift is left where it is asked once"


def test_what_is_corrected_again_is_newer_and_no_fresher(folder):
    robot = robot_with(table(by_index(folder, 0.002), max_share=0.5, hz=50), hz=5)
    made = Run(robot, drifting(folder, GOAL, 0.002), 8, answer_ms=200)
    stamps = made.records["observation_stamp_ns"].astype(np.int64)
    stamps = stamps[stamps > 0]
    switched = np.unique(stamps)
    assert (np.diff(stamps) >= 0).all()
    answers = np.unique(switched // MS)  # of one answer all are within a us
    assert len(answers) <= 8
    assert len(switched) >= 9 * (len(answers) - 1), "ten corrections in 200 ms"
    age = made.records["tick_ns"].astype(np.int64)[-1] - stamps[-1]
    assert age >= 190 * MS, "it is as old as what the policy saw"


def test_its_delay_is_the_policys(folder):
    robot = robot_with(table(by_index(folder, 0.002), max_share=0.5, hz=50), hz=5)
    made = Run(robot, drifting(folder, GOAL, 0.002), 14, answer_ms=200)
    assert made.rollout._delay.delay_ns == 200 * MS


def test_a_policy_that_falls_silent_is_not_kept_alive(folder):
    robot = robot_with(table(by_index(folder, 0.002), max_share=0.5, hz=50), hz=5)
    made = Run(robot, drifting(folder, GOAL, 0.002), 4, answer_ms=200)
    for k in range(1, 60):
        made.rollout._correct_until(made.rollout._next_ns + k * STEP_NS)
    robot = made.rollout.robot
    assert robot.mode == "holding"
    began = made.residual.runs
    made.rollout._correct_until(made.rollout._next_ns + 90 * STEP_NS)
    assert made.residual.runs == began, "nothing is left of the chunk"
    assert robot.state().tick_ns - robot.state().observation_stamp_ns > 1500 * MS


def test_beside_the_shipped_policy_which_is_given_a_prefix(folder):
    """One that asks for nothing leaves it its picks."""
    still = robot_with(table(towards(folder, GOAL, "still", gain=0.0)))
    rollout = Rollout(still, load(still).step, added_delay_ns=2 * STEP_NS)
    outcomes = []
    for seed in seeds.VALIDATION[:6]:
        episode = rollout.episode(seed)
        outcomes.append(episode.outcome)
        assert episode.seam <= 1e-9
        assert rollout.residual.runs > 10
        assert rollout.residual.clipped == rollout.residual.failed == 0
    assert outcomes.count("success") >= 5


# --- what is corrected


def chunk(actions, given=0, first_ns=NOW_NS + STEP_NS):
    return Chunk(NOW_NS, NOW_NS, first_ns, STEP_NS, np.asarray(actions, float), given, "chunk")


def seen(at_ns, ahead=np.zeros((0, 6))):
    still = np.zeros(6)
    return Observation(at_ns, still, still, np.zeros((6, 3)), np.asarray(ahead), 0, {})


@pytest.fixture
def alone(folder):
    """A residual of the pan that adds 0.01, with the policy that it is told of."""
    made = load_residual(
        robot_with(table(towards(folder, GOAL, "pan", corrected=["shoulder_pan"]))), timed=False
    )
    made.engine.run = lambda: made.engine.output.fill(0.01)
    return made, SimpleNamespace(name="standing", chunk=SimpleNamespace(step_ns=STEP_NS, step_ms=20.0))


def test_corrections_do_not_add_up_and_rows_move_on_with_time(alone):
    residual, policy = alone
    rows = np.arange(20.0)[:, None] * np.ones(6)
    residual.begin(chunk(rows), policy)
    for k in range(5):
        made = residual.correct(seen(NOW_NS + k * STEP_NS))
        assert made.first_ns == NOW_NS + (k + 1) * STEP_NS
        assert made.observation_stamp_ns == NOW_NS + k
        assert made.actions[:, 0] == pytest.approx(rows[k:, 0] + 0.01)
        assert (made.actions[:, 1:] == rows[k:, 1:]).all()
    assert (rows[:, 0] == np.arange(20)).all(), "the base is kept as it was answered"
    half = residual.correct(seen(NOW_NS + STEP_NS // 2))
    assert half.actions[:, 1] == pytest.approx(np.arange(0.5, 19))
    assert half.actions[:3, 5].tolist() == [1.0, 2.0, 3.0], "a gripper's steps are steps"


def test_what_is_commanded_anyway_stays_as_it_is_commanded(alone):
    residual, policy = alone
    residual.begin(chunk(np.full((20, 6), 5.0), given=4), policy)
    now_ns = NOW_NS + STEP_NS + 3 * MS
    ahead_ns = residual.ahead_ns(now_ns)
    assert ahead_ns == (STEP_NS, 2 * STEP_NS, 3 * STEP_NS)
    made = residual.correct(seen(now_ns, np.full((3, 6), 7.0)))
    assert made.given == 3
    assert (made.actions[:3] == 7).all()
    assert made.actions[3:, 0] == pytest.approx(5.01)
    assert residual.ahead_ns(NOW_NS + 5 * STEP_NS) == ()
    assert residual.ahead_ns(NOW_NS) == tuple(STEP_NS * k for k in (1, 2, 3, 4))


def test_near_the_end_of_a_chunk_nothing_is_corrected(alone):
    residual, policy = alone
    residual.begin(chunk(np.zeros((20, 6))), policy)
    assert len(residual.correct(seen(NOW_NS + 16 * STEP_NS)).actions) == 4
    assert residual.correct(seen(NOW_NS + 17 * STEP_NS)) is None
    assert residual.correct(replace(seen(NOW_NS), epoch=1)) is None, "what was before a stop is not continued"
    assert residual.correct(seen(NOW_NS)) is not None
    residual.forget()
    assert residual.correct(seen(NOW_NS)) is None
    assert residual.ahead_ns(NOW_NS) == ()


def test_when_it_fails_the_base_is_published_once_as_it_is(alone):
    residual, policy = alone
    residual.begin(chunk(np.zeros((20, 6))), policy)
    assert residual.correct(seen(NOW_NS)).actions[0, 0] == pytest.approx(0.01)
    residual.engine.run = lambda: residual.engine.output.fill(np.nan)
    back = residual.correct(seen(NOW_NS + STEP_NS))
    assert (back.actions == 0).all()
    assert back.observation_stamp_ns == NOW_NS + 1
    assert residual.correct(seen(NOW_NS + 2 * STEP_NS)) is None
    assert residual.failed == 2


@pytest.mark.parametrize(
    ("name", "step_ms", "why"),
    [
        ("other", 20.0, "trained beside standing, and other runs"),
        ("standing", 40.0, "steps of 20 ms, and the policy's are 40"),
    ],
)
def test_of_a_policy_that_it_was_not_trained_beside_it_corrects_nothing(folder, name, step_ms, why):
    model = towards(folder, GOAL, "own", 'base = "standing"\nstep_ms = 20.0')
    residual = load_residual(robot_with(table(model)), timed=False)
    policy = SimpleNamespace(name=name, chunk=SimpleNamespace(step_ns=round(step_ms * MS), step_ms=step_ms))
    residual.begin(chunk(np.zeros((20, 6))), policy)
    assert residual.correct(seen(NOW_NS)) is None
    assert why in residual.complaint


def test_one_that_is_too_slow_is_left_aside_and_asked_again_now_and_then(folder, monkeypatch):
    residual = load_residual(robot_with(table(towards(folder, GOAL, "slow"))))
    policy = SimpleNamespace(name="standing", chunk=SimpleNamespace(step_ns=STEP_NS, step_ms=20.0))
    took_ms, now = [25], [0]

    def tick():
        now[0] += took_ms[0] * MS
        return now[0]

    monkeypatch.setattr("spinal.runtime.policy.residual.clock.now_ns", tick)
    asked, run = [], residual.engine.run
    residual.engine.run = lambda: (asked.append(1), run())
    at_ns = NOW_NS
    for _ in range(100):
        residual.begin(chunk(np.zeros((20, 6)), first_ns=at_ns + STEP_NS), policy)
        residual.correct(seen(at_ns))
        at_ns += STEP_NS
    assert len(asked) == 5 + 1, "the median of five, then once a second"
    assert "longer than the 20 ms between two corrections" in residual.complaint
    took_ms[0] = 1
    for _ in range(12 * AGAIN_NS // STEP_NS):
        residual.begin(chunk(np.zeros((20, 6)), first_ns=at_ns + STEP_NS), policy)
        residual.correct(seen(at_ns))
        at_ns += STEP_NS
    assert residual.complaint is None
    assert residual.correct(seen(at_ns - STEP_NS)) is not None


def test_the_delay_is_not_that_of_what_is_corrected_again():
    meter = DelayMeter(90 * MS)
    for run in range(COLD_RUNS + 20):
        stamp_ns = NOW_NS + run * 200 * MS
        meter.saw(stamp_ns, stamp_ns + 100 * MS)
        meter.saw(stamp_ns + 7, stamp_ns + 180 * MS)
    assert meter.delay_ns == 100 * MS


POLICY = SimpleNamespace(name="standing", chunk=SimpleNamespace(step_ns=STEP_NS, step_ms=20.0))


def test_it_counts_in_the_cards_units_and_through_its_normalisation(tmp_path):
    model = towards(tmp_path, GOAL, "degrees", corrected=["shoulder_pan"])
    card = model.with_suffix(".card.toml")
    text = card.read_text().replace(
        '"shoulder_pan", kind = "arm", unit = "rad"', '"shoulder_pan", kind = "arm", unit = "deg"'
    )
    scaled = 'shape = [1, 1], normalise = { mode = "scale", scale = [2.0] } }'
    card.write_text(text.replace("shape = [1, 1] }", scaled))
    residual = load_residual(robot_with(table(model)), timed=False)
    residual.engine.run = lambda: residual.engine.output.fill(0.5)
    residual.begin(chunk(np.full((20, 6), 0.1)), POLICY)
    made = residual.correct(seen(NOW_NS))
    assert made.actions[:, 0] == pytest.approx(0.1 + np.radians(1.0))
    assert made.actions[:, 1:] == pytest.approx(np.full((20, 5), 0.1))
    assert residual.engine.inputs["base"][0] == pytest.approx([np.degrees(0.1)] + [0.1] * 5)


def test_each_row_is_for_its_waypoint_and_the_last_for_all_behind(folder):
    residual = load_residual(robot_with(table(rowwise(folder, GOAL, 3, "rows"))), timed=False)
    shown = []

    def run():
        shown.append(residual.engine.inputs["base"][0].copy())
        residual.engine.output[...] = np.float32([[[0.001], [0.002], [0.003]]])

    residual.engine.run = run
    rows = np.arange(20.0)[:, None] * np.ones(6)
    residual.begin(chunk(rows), POLICY)
    made = residual.correct(seen(NOW_NS + 2 * STEP_NS))
    assert shown[0][:, 0] == pytest.approx([2, 3, 4])
    assert made.actions[:, 0] - rows[2:, 0] == pytest.approx([0.001, 0.002] + [0.003] * 16, abs=1e-6)


# --- between waypoints


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.floats(-3, 3), min_size=3, max_size=3),
    st.integers(3, 12),
    st.floats(0, 1),
)
def test_a_parabola_is_met_exactly_between_its_points(factors, count, where):
    """Catmull-Rom reproduces polynomials up to the second degree, away from the ends."""
    at = np.arange(count, dtype=float)
    rows = np.polyval(factors, at)[:, None]
    since = np.clip(1 + where * (count - 3), 0, None)
    found = between(rows, np.array([since]), np.array([True]))
    assert found[0, 0] == pytest.approx(np.polyval(factors, since), abs=1e-9)


def test_between_goes_through_its_points_and_stays_at_its_ends():
    rows = np.random.default_rng(0).normal(size=(9, 2))
    smooth = np.array([True, False])
    assert between(rows, np.arange(9.0), smooth) == pytest.approx(rows)
    ends = between(rows, np.array([-2.0, 30.0]), smooth)
    assert ends == pytest.approx(rows[[0, -1]])
    assert between(rows[:1], np.array([0.3]), smooth) == pytest.approx(rows[:1])


# --- the card and the robot file


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (('kind = "residual"', 'kind = "detector"'), "kind must be residual, and is detector"),
        (('"base_action"', '"prefix"'), "is prefix, which such a model is not fed"),
        (('"base_action"', '"recurrent:h"'), "is recurrent:h, which such a model is not fed"),
        (("shape = [1, 5]", "shape = [1, 6]"), "output.shape must be .1, 5. or .1, 1, 5."),
        (
            ('kind = "residual"', 'kind = "residual"\ncorrected = ["elbow"]'),
            "names a joint that is not there: elbow",
        ),
        (('name = "elbow_flex"', 'name = "elbow"'), r"joints\[2\] differs \(name\)"),
        (('sha256 = "', 'sha256 = "0'), "64 hexadecimal digits"),
        (("shape = [1, 6]", "shape = [1, 7]"), "must be .1, 6."),
        (('version = "0.1.0"', ""), "version is missing"),
    ],
)
def test_what_is_wrong_with_a_card_is_said(tmp_path, change, why):
    model = towards(tmp_path, GOAL)
    card = model.with_suffix(".card.toml")
    text = card.read_text()
    assert change[0] in text
    card.write_text(text.replace(*change, 1))
    with pytest.raises(ConfigError) as error:
        load_residual(robot_with(table(model)))
    assert re.search(why, str(error.value)), str(error.value)


def test_a_policys_card_is_no_residuals_and_the_other_way_round(folder, off):
    with pytest.raises(ConfigError, match="must be residual, and is policy"):
        load_residual(robot_with(table(off)))
    with pytest.raises(ConfigError, match="is residual: the model runs beside a policy"):
        load(robot_with(), 0, towards(folder, GOAL, "third"))


def test_the_robot_file_names_it_from_its_own_folder(tmp_path):
    towards(tmp_path, GOAL)
    from beside_models import SHIPPED

    text = SHIPPED.read_text().replace("../policies", str(SHIPPED.parents[1] / "policies"))
    text = text.replace(
        "[execution]", '[policy.residual]\nmodel = "delta.onnx"\nmax_share = 0.1\n\n[execution]', 1
    )
    (tmp_path / "robot.toml").write_text(text)
    robot = load_robot(tmp_path / "robot.toml")
    assert robot.policy.residual.model == str(tmp_path / "delta.onnx")
    assert load_residual(robot).bound == pytest.approx(np.full(5, 0.1 * 4.7 * 0.02), rel=0.01)
