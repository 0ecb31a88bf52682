"""Models that do not behave, in lock-step: the arm comes to rest and holds, with a reason, and goes on later."""

from pathlib import Path

import numpy as np
import pytest
from test_exchange import SEED, SHIPPED, moved

from spinal.native import layout
from spinal.runtime.config.load import load_robot
from spinal.runtime.policy import live_step
from spinal.runtime.policy.background import AtOnce
from spinal.runtime.policy.exchange import Exchange
from spinal.runtime.policy.live_step import LiveStep
from spinal.runtime.policy.loaded import load
from spinal.runtime.rollout import Rollout

MS = 1_000_000


@pytest.fixture(scope="module")
def robot():
    return load_robot(SHIPPED)


class Run:
    """The live loop's order of things on a manual clock."""

    def __init__(self, robot, model=None):
        policy = load(robot, 0, model)
        self.engine = policy.engine
        self.exchange = Exchange(robot, policy, lambda path: load(robot, 0, path), AtOnce())
        self.rollout = Rollout(robot, LiveStep(self.exchange), keep_records=True)
        self.rollout.begin(SEED)

    @property
    def complaint(self):
        """Why the newest observation has no answer; None when it has."""
        return self.rollout.complaint

    def steps(self, count):
        for _ in range(count):
            self.rollout.step()
        return self.rollout.robot.state()

    def until(self, mode, most=150):
        for _ in range(most):
            state = self.steps(1)
            if state.mode == mode and (mode != layout.MODE_HOLDING or state.at_rest):
                return state
        raise AssertionError((state.mode, self.complaint))


def assert_held_smoothly(run, robot):
    records = run.rollout.robot.take_records()
    dt = robot.control.period_ns * 1e-9
    for index, joint in enumerate(robot.joints[:5]):
        applied = records["joints"]["applied"][:, index]
        for order, name in enumerate(("velocity", "acceleration", "jerk"), 1):
            most = np.abs(np.diff(applied, order)).max() / dt**order
            assert most <= max(getattr(joint.limits, name), getattr(joint.emergency, name, 0)) * (1 + 1e-6)
    assert np.isfinite(records["joints"]["applied"]).all()
    assert np.ptp(records["joints"]["applied"][:, :5], axis=0).max() > 0.02, "it had moved"


def test_a_model_that_answers_nan_to_some_observations_is_heard_of(robot, tmp_path):
    """As soon as a joint is fast: no zeros and no random numbers at load could have shown it."""
    run = Run(robot, moved(Path(robot.policy.model), tmp_path, "nan", np.zeros(6), nan_when_moving=True))
    complaints = []
    for _ in range(60):
        run.steps(1)
        complaints.append(run.complaint)
    assert complaints[0] is None
    assert "the model answered numbers that are not finite" in complaints


def test_a_model_that_answers_nan_ends_in_hold_and_is_over_with_it(robot):
    run = Run(robot)
    run.steps(25)
    right = run.engine._binding.run

    def wrong():
        right()
        run.engine.output[0, -1, -1] = np.nan

    run.engine._binding.run = wrong
    run.until(layout.MODE_HOLDING)
    assert run.complaint == "the model answered numbers that are not finite"
    run.engine._binding.run = right
    run.until(layout.MODE_RUNNING)
    assert run.complaint is None
    assert_held_smoothly(run, robot)


@pytest.mark.parametrize(
    "error", [RuntimeError("CUDA failure 700: an illegal memory access"), ValueError("x")]
)
def test_an_exception_in_a_run_ends_in_hold_and_is_over_with_it(robot, error):
    run = Run(robot)
    run.steps(25)
    right = run.engine._binding.run

    def wrong():
        raise error

    run.engine._binding.run = wrong
    run.until(layout.MODE_HOLDING)
    assert run.complaint == f"cartpick.onnx failed while it ran: {error}"
    run.engine._binding.run = right
    run.until(layout.MODE_RUNNING)
    assert run.complaint is None
    assert_held_smoothly(run, robot)


def test_a_model_ten_times_slower_than_its_card_says_ends_in_hold_until_it_is_faster(
    robot, tmp_path, monkeypatch
):
    """Its answers are there, and late by as much as they are slow: they are not executed."""
    run = Run(robot, moved(Path(robot.policy.model), tmp_path, "slow", np.zeros(6)))
    took_ms, now = [1.0], [0]

    class Clock:
        @staticmethod
        def now_ns():
            now[0] += round(took_ms[0] * MS)  # asked before and behind a run: each time so much later
            return now[0]

    monkeypatch.setattr(live_step, "clock", Clock)
    state = run.steps(40)
    assert state.mode == layout.MODE_RUNNING
    assert run.complaint is None
    took_ms[0] = 12.0
    run.until(layout.MODE_HOLDING)
    assert run.complaint.startswith("an inference takes 12 ms, and the card says 1:")
    run.steps(30)
    assert run.rollout.robot.state().mode == layout.MODE_HOLDING, (
        "it goes on inferring, and executes nothing of it"
    )
    took_ms[0] = 1.5
    run.until(layout.MODE_RUNNING)
    assert run.complaint is None
    assert_held_smoothly(run, robot)
