"""Another policy takes over while the robot moves: in lock-step, with the shipped policy and ones made of it."""

import hashlib
import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import spinal.launch
from spinal.drivers.sim import seeds
from spinal.native import layout
from spinal.runtime.config.card import card_path
from spinal.runtime.config.load import load_robot
from spinal.runtime.config.policy import SwapSettings
from spinal.runtime.errors import PolicyError
from spinal.runtime.policy.background import AtOnce, Background
from spinal.runtime.policy.exchange import Exchange, Request
from spinal.runtime.policy.keep_alive import KeepAlive
from spinal.runtime.policy.live_step import LiveStep
from spinal.runtime.policy.loaded import load
from spinal.runtime.policy.pace import ENOUGH, WINDOW, Pace
from spinal.runtime.policy.shadow import difference, too_far
from spinal.runtime.rollout import Rollout
from spinal.runtime.types import Chunk

SHIPPED = Path(spinal.launch.__path__[0]) / "robots" / "so101_sim.toml"
SEED = seeds.VALIDATION[7]
MS = 1_000_000


def moved(model, folder, name, by, *changes, nan_when_moving=False):
    """The shipped policy, whose answer is ``by`` away (rad and m, a number a joint), as a model of its own."""
    made = onnx.load(model)
    (answer,) = made.graph.output
    before = f"{answer.name}_before"
    for node in made.graph.node:
        node.output[:] = [before if out == answer.name else out for out in node.output]
    made.graph.initializer.append(numpy_helper.from_array(np.asarray(by, np.float32), "by"))
    made.graph.node.append(helper.make_node("Add", [before, "by"], ["moved"]))
    last = helper.make_node("Identity", ["moved"], [answer.name])
    if nan_when_moving:  # 0 / 0 as soon as a joint is fast, and never before: only the robot finds out
        made.graph.initializer.append(numpy_helper.from_array(np.asarray([0.05], np.float32), "fast"))
        made.graph.node.extend(
            [
                helper.make_node("Mul", ["joint_velocity", "joint_velocity"], ["square"]),
                helper.make_node("ReduceMax", ["square"], ["most"], keepdims=1),
                helper.make_node("Sub", ["fast", "most"], ["left"]),
                helper.make_node("Sqrt", ["left"], ["root"]),
                helper.make_node("Mul", ["root", "root"], ["same"]),
                helper.make_node("Sub", ["same", "same"], ["nothing"]),
            ]
        )
        last = helper.make_node("Add", ["moved", "nothing"], [answer.name])
    made.graph.node.append(last)
    path = folder / f"{name}.onnx"
    path.write_bytes(made.SerializeToString())
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    text = re.sub(r'(?m)^sha256 = "[^"]*"', f'sha256 = "{digest}"', card_path(model).read_text())
    text = re.sub(r'(?m)^name = "[^"]*"', f'name = "{name}"', text, count=1)
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    card_path(path).write_text(text)
    return path


@pytest.fixture(scope="module")
def robot(tmp_path_factory):
    made = load_robot(SHIPPED)
    folder = tmp_path_factory.mktemp("models")
    swap = SwapSettings(folders=(str(folder),), shadow_steps=8, probation_s=0.4)
    return made.model_copy(update={"policy": made.policy.model_copy(update={"swap": swap})})


@pytest.fixture(scope="module")
def folder(robot):
    return Path(robot.policy.swap.folders[0])


@pytest.fixture(scope="module")
def models(robot, folder):
    own = Path(robot.policy.model)
    near, far = [0.06] * 5 + [0.002], [0.5] + [0.0] * 5
    return {
        "near": moved(own, folder, "near", near),
        "far": moved(own, folder, "far", far),
        "nan": moved(own, folder, "nan", near, nan_when_moving=True),
        "stranger": moved(own, folder, "stranger", near, ('name = "elbow_flex"', 'name = "elbow"')),
    }


class Run:
    """The robot in lock-step, its policies exchanged as in the live loop."""

    def __init__(self, robot, worker=None):
        self.exchange = Exchange(robot, load(robot), lambda model: load(robot, 0, model), worker or AtOnce())
        self.rollout = Rollout(robot, LiveStep(self.exchange), keep_records=True)
        self.rollout.begin(SEED)
        self.seen = []
        self.steps(12)

    @property
    def now_ns(self):
        return self.rollout.robot.now_ns

    def steps(self, count=1):
        for _ in range(count):
            self.exchange.begin_step(self.rollout.robot.state(), self.now_ns)
            self.rollout.step()
            self.exchange.end_step(self.now_ns)
            self.seen.append(self.exchange.status)
        return self.exchange

    def ask(self, action, model="", **more):
        self.exchange.ask(Request(len(self.seen) + 1, action, str(model), **more), self.now_ns)

    def until(self, status, most=200):
        for _ in range(most):
            if self.exchange.status == status:
                return self.exchange.report
            self.steps()
        raise AssertionError((status, self.exchange.report))


@pytest.fixture
def run(robot):
    return Run(robot)


def seam(run):
    return max(run.rollout.robot.stats()["seam"].values())


def test_a_swap_in_full_motion_is_continuous_to_1e_9_and_moves_the_arm_elsewhere(robot, models, run):
    before = run.exchange.active
    run.ask("swap", models["near"].name, by="a person")
    assert run.exchange.status == "loading"
    report = run.until("probation")
    switched_ns = run.now_ns
    assert run.exchange.active.name.startswith("near ")
    assert run.exchange.previous is before
    assert report["compared"] == 8
    assert 0.05 < max(report["difference"][:5]) < 0.25, "they differ, and within the bound"
    run.steps(5)
    assert seam(run) <= 1e-9
    assert np.abs(run.rollout.robot.state().commanded[:, 1]).max() > 0.05, "the arm was in motion"
    report = run.until("kept")
    assert report["model"] == "near.onnx"
    assert (report["by"], report["why"]) == ("a person", "")
    assert list(dict.fromkeys(run.seen[12:])) == ["comparing", "probation", "kept"]
    records = run.rollout.robot.take_records()
    dt = robot.control.period_ns * 1e-9
    around = np.abs(records["tick_ns"].astype(np.int64) - switched_ns) < 100 * MS
    arm = records["joints"]["applied"][around][:, :5]
    limits = [joint.limits for joint in robot.joints[:5]]
    for order, name in enumerate(("velocity", "acceleration", "jerk"), 1):
        most = np.abs(np.diff(arm, order, axis=0)).max(axis=0) / dt**order
        assert (most <= [getattr(limit, name) * (1 + 1e-6) for limit in limits]).all(), name
    assert run.rollout.robot.stats()["starved_ticks"] == 0


def test_rolling_back_is_as_smooth_and_done_in_one_step(models, run):
    before = run.exchange.active
    run.ask("swap", models["near"])
    run.until("kept")
    run.steps(3)
    run.ask("rollback", by="a person")
    assert run.exchange.active is before
    run.steps(10)
    assert seam(run) <= 1e-9
    assert run.exchange.report["status"] == "rolled_back"
    assert run.exchange.report["why"] == "asked for by a person"
    run.ask("rollback")
    assert run.exchange.report["status"] == "refused", "what was rolled back does not come back by itself"


def test_one_that_is_too_far_off_is_refused_with_the_joint(models, run):
    before = run.exchange.active
    run.ask("swap", models["far"])
    report = run.until("refused")
    assert re.match(r"shoulder_pan would go 0\.5\d* rad elsewhere, at most 0\.25 is allowed", report["why"])
    run.steps(3)
    assert run.exchange.active is before
    assert run.exchange.previous is None


def test_unless_it_is_forced(models, run):
    run.ask("swap", models["far"], forced=True)
    report = run.until("probation")
    assert report["why"].startswith("forced: shoulder_pan would go 0.5")
    run.steps(6)
    assert seam(run) <= 1e-9


def test_one_that_fails_on_probation_is_gone_within_the_same_step(models, run):
    """It answers well while the arm is slow, and NaN when it moves: the shadow may not see that, the robot does."""
    before = run.exchange.active
    run.exchange._bounds = run.exchange._bounds.model_copy(update={"shadow_steps": 1})
    run.ask("swap", models["near"])
    run.until("probation")
    bad = run.exchange.active
    infer, failures = bad.step.infer, []

    def fails(observation, early=None):
        if len(failures) or len(run.seen) > 20:
            failures.append(observation)
            raise PolicyError("the model answered numbers that are not finite")
        return infer(observation, early)

    bad.step.infer = fails
    published = run.rollout.robot.stats()["switches"]
    count = len(run.seen)
    report = run.until("rolled_back")
    assert report["why"] == "the model answered numbers that are not finite"
    assert run.exchange.active is before
    assert len(failures) == 1
    run.steps(6)
    switches = run.rollout.robot.stats()["switches"] - published
    assert switches == len(run.seen) - count, "not one answer was missed"
    assert seam(run) <= 1e-9


def test_one_that_answers_nan_in_the_shadow_is_refused(models, run):
    run.ask("swap", models["nan"])
    report = run.until("refused")
    assert report["why"].startswith("it failed in the shadow: the model answered numbers that are not finite")


def test_a_robot_that_is_stopped_while_the_new_one_is_on_probation_goes_back(models, run):
    before = run.exchange.active
    run.ask("swap", models["near"])
    run.until("probation")
    run.steps(2)
    run.rollout.robot.order.give(layout.ORDER_STOP, 0, 1 << 60)
    report = run.until("rolled_back")
    assert report["why"] == "the robot was stopped"
    assert run.exchange.active is before


@pytest.mark.parametrize(
    ("model", "why"),
    [
        ("stranger.onnx", r"it does not fit the robot: joints\[2\] differs \(name\)"),
        ("missing.onnx", "missing.onnx is in no folder that models may be taken from"),
        ("/etc/passwd", "/etc/passwd is in no folder"),
        ("../../../../../../etc/passwd", "passwd is in no folder"),
        ("near.card.toml", "1 problem|problems"),
    ],
)
def test_what_cannot_run_here_is_refused_and_says_why(models, run, model, why):
    before = run.exchange.active
    run.ask("swap", model)
    run.steps(2)
    assert run.exchange.status == "refused"
    assert re.search(why, run.exchange.report["why"])
    assert "\n" not in run.exchange.report["why"]
    assert run.exchange.active is before


def test_a_link_out_of_the_folders_is_no_way_in(models, folder, tmp_path, run):
    (tmp_path / "elsewhere.onnx").write_bytes(models["near"].read_bytes())
    (folder / "link.onnx").symlink_to(tmp_path / "elsewhere.onnx")
    run.ask("swap", "link.onnx")
    assert run.exchange.status == "refused"


def test_one_exchange_at_a_time(models, run):
    run.ask("swap", models["near"])
    run.steps(2)
    run.ask("swap", models["far"])
    assert run.exchange.report["model"] == "near.onnx"
    run.until("kept")
    run.ask("swap", models["near"])
    run.until("kept")
    assert seam(run) <= 1e-9


def test_a_candidate_that_is_never_ready_is_given_up(robot, models):
    class Never(AtOnce):
        def take(self):
            return None

    run = Run(robot, Never())
    run.ask("swap", models["near"])
    limit_ns = int(robot.policy.swap.shadow_limit_s * 1e9)
    run.exchange.begin_step(run.rollout.robot.state(), run.now_ns + limit_ns - 1)
    assert run.exchange.status == "loading"
    run.exchange.begin_step(run.rollout.robot.state(), run.now_ns + limit_ns + 1)
    assert run.exchange.report["why"] == "it was not ready within 60 s"


def test_the_loop_goes_on_while_a_thread_loads(robot, models):
    """The same in the live loop's worker: steps are answered by the policy that runs until the other is ready."""
    run = Run(robot, Background())
    run.ask("swap", models["near"])
    run.until("kept", most=5000)
    loading = run.seen.count("loading")
    assert loading >= 1
    assert run.rollout.robot.stats()["starved_ticks"] == 0
    assert seam(run) <= 1e-9


def test_an_error_of_a_stranger_is_the_candidates_own(run, models, monkeypatch):
    def broken(model):
        raise ZeroDivisionError("a stranger's decoder")

    run.exchange._load = broken
    run.ask("swap", models["near"])
    assert run.until("refused")["why"] == "ZeroDivisionError: a stranger's decoder"


def test_the_same_policy_in_the_shadow_differs_by_its_noise_alone(robot, run):
    run.ask("swap", Path(robot.policy.model).name)
    report = run.until("probation")
    assert 0 < max(report["difference"]) < 0.08


# --- comparison


def chunk(values, first_ns=0, step_ns=20 * MS, given=0):
    return Chunk(0, 0, first_ns, step_ns, np.asarray(values, float), given, "chunk")


def test_a_difference_is_taken_at_the_same_instants():
    ramp = np.arange(20.0)[:, None]
    assert difference(chunk(ramp), chunk(ramp), 5) == 0
    later = chunk(ramp + 1, first_ns=20 * MS)  # the same line, one step later
    assert difference(chunk(ramp), later, 5) == pytest.approx(0)
    finer = chunk(np.arange(0, 20, 0.5)[:, None], step_ns=10 * MS)
    assert difference(chunk(ramp), finer, 5) == pytest.approx(0)


def test_what_was_given_to_both_proves_nothing():
    one, other = np.zeros((10, 1)), np.zeros((10, 1))
    other[3:] = 0.7
    assert difference(chunk(one, given=3), chunk(other, given=2), 4) == pytest.approx(0.7)
    assert difference(chunk(one, given=0), chunk(other, given=0), 3) == 0
    other[:3] = 9
    assert difference(chunk(one, given=3), chunk(other, given=3), 4) == pytest.approx(0.7)


def test_chunks_that_do_not_meet_are_compared_all_the_same():
    assert difference(chunk(np.zeros((4, 1))), chunk(np.ones((4, 1)), first_ns=10**12), 3) == 1


def test_the_worst_joint_is_the_one_furthest_beyond_its_own_bound(robot):
    bounds = SwapSettings(max_difference_rad=0.2, max_difference_m=0.001)
    assert too_far(robot, np.array([0.2] * 5 + [0.001]), bounds) is None
    said = too_far(robot, np.array([0.21] * 5 + [0.002]), bounds)
    assert said.startswith("gripper would go 0.002 m elsewhere")
    assert too_far(robot, np.array([np.nan] * 6), bounds) is not None


# --- pace


def test_ten_times_slower_than_the_card_says_is_a_fault_until_it_is_faster():
    pace = Pace(1.0)
    for _ in range(WINDOW):
        pace.took(9 * MS)
    assert pace.complaint is None
    for _ in range(WINDOW):
        pace.took(11 * MS)
    assert pace.complaint.startswith("an inference takes 11 ms, and the card says 1:")
    for _ in range(WINDOW):
        pace.took(6 * MS)
    assert pace.complaint is not None, "not at the edge"
    for _ in range(WINDOW):
        pace.took(4 * MS)
    assert pace.complaint is None


def test_single_slow_answers_are_the_machines():
    pace = Pace(1.0)
    for number in range(10 * WINDOW):
        pace.took((1000 if number % 3 == 0 else 1) * MS)
        assert pace.complaint is None


def test_a_few_answers_are_no_median_and_a_card_that_promises_nothing_is_kept_to_nothing():
    pace, silent = Pace(1.0), Pace(None)
    for _ in range(ENOUGH - 1):
        pace.took(100 * MS)
        silent.took(10**12)
    assert pace.complaint is None
    pace.took(100 * MS)
    assert pace.complaint is not None
    pace.restart()
    assert pace.complaint is None
    assert silent.complaint is None


def test_a_robot_that_stood_still_all_along_is_no_reason_to_go_back(models, run):
    run.rollout.robot.order.give(layout.ORDER_STOP, 0, 1 << 60)
    run.steps(40)
    run.ask("swap", models["near"], forced=True)
    assert run.until("kept")["status"] == "kept"


# --- kept warm


def test_a_model_with_nothing_to_answer_runs_now_and_then_and_its_last_answer_stays(robot):
    policy = load(robot)
    keep, runs = KeepAlive(200 * MS), []
    policy.engine.output[...] = 7
    right = policy.engine._binding.run
    policy.engine._binding.run = lambda: runs.append(right())
    for now in range(0, 2000, 20):
        keep.idle(policy, (10_000 + now) * MS)
    assert len(runs) == keep.runs == 10
    assert (policy.engine.output == 7).all()
    keep.ran(12_000 * MS)
    keep.idle(policy, 12_199 * MS)
    assert keep.runs == 10, "it has just run"
    KeepAlive(0).idle(policy, 10**15)
    assert len(runs) == 10, "0 is never"
