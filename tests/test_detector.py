"""A detector beside a policy: what it says and when, and a robot that holds while it says so."""

import re

import numpy as np
import pytest
from beside_models import robot_with, standing, turned

from spinal.drivers.sim import arm6
from spinal.runtime.errors import ConfigError
from spinal.runtime.policy.beside import load_detector
from spinal.runtime.policy.loaded import load
from spinal.runtime.rollout import Rollout
from spinal.runtime.types import Observation

MS = 1_000_000
STEP_NS = 20 * MS
NOW_NS = 10_000 * MS
GOAL = np.array([*arm6.ik(0.17, 0.02, 0.1, 0.3), 0.011])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


def table(model, **more):
    return {"model": str(model), "hz": None, "hold_on": []} | more


def seen(at_ns):
    still = np.zeros(6)
    return Observation(at_ns, still, still, np.zeros((6, 3)), np.zeros((0, 6)), 0, {})


class Watched:
    """A detector that answers what the test says, at each policy step."""

    def __init__(self, model, timed=False, **more):
        self.detector = load_detector(robot_with(detector=table(model, **more)), timed=timed)
        self.says, self.runs, self.at_ns = [0.0, 0.0], 0, NOW_NS
        self.detector.engine.run = self._run

    def _run(self):
        self.runs += 1
        self.detector.engine.output[...] = self.says

    def step(self, *says, count=1):
        """The verdict's label behind ``count`` steps at which it answers ``says``."""
        if says:
            self.says = says
        for _ in range(count):
            self.detector.look(seen(self.at_ns))
            self.at_ns += STEP_NS
        return self.detector.verdict.label


def test_a_verdict_changes_once_it_was_another_for_the_patience(folder):
    watched = Watched(turned(folder, 0.0, "patient", "patience_ms = 100.0"))
    assert watched.step(0.1, 0.9, count=5) == ""
    assert watched.step() == "success"
    assert watched.detector.verdict.since_ns == NOW_NS
    assert watched.detector.verdict.probability == pytest.approx(0.9)
    began_ns = watched.at_ns
    assert watched.step(0.8, 0.2, count=5) == "success"
    assert watched.step(0.2, 0.8) == "success", "a break begins the row anew"
    assert watched.step(0.7, 0.3, count=5) == "success"
    assert watched.step(0.6, 0.4) == "failure"
    assert watched.detector.verdict.since_ns == began_ns + 6 * STEP_NS
    assert watched.detector.verdict.probability == pytest.approx(0.6)


def test_each_label_has_its_threshold_and_none_is_a_verdict_too(folder):
    watched = Watched(turned(folder, 0.0, "shy", "patience_ms = 0.0\nthresholds = [0.9, 0.3]"))
    assert watched.step(0.85, 0.35) == "success", "failure is not as sure as it has to be"
    assert watched.step(0.9, 0.35) == "failure"
    assert watched.step(0.5, 0.2) == ""
    assert watched.detector.verdict.since_ns == NOW_NS + 2 * STEP_NS


def test_what_cannot_be_judged_leaves_the_verdict_and_breaks_the_row(folder):
    watched = Watched(turned(folder, 0.0, "blind", "patience_ms = 60.0"), hold_on=["failure"])
    assert watched.step(0.9, 0.1, count=4) == "failure"
    assert watched.detector.hold == "the detector sees failure: the policy answers nothing until it is over"
    for odd, why in (((np.nan, 0.5), "not finite"), ((3.0, 0.0), "for a probability")):
        watched.step(0.1, 0.9, count=3)
        assert watched.step(*odd) == "failure"
        assert why in watched.detector.complaint
    watched.step(0.1, 0.9, count=3)
    watched.detector.look(None)
    assert watched.step(count=3) == "failure"
    assert watched.detector.complaint is None
    assert watched.detector.hold is not None
    assert watched.step() == "success"
    assert watched.detector.hold is None
    assert watched.detector.failed == 2


def test_logits_are_taken_the_softmax_of(folder):
    model = turned(folder, 0.0, "raw", "patience_ms = 0.0")
    card = model.with_suffix(".card.toml")
    card.write_text(card.read_text().replace("shape = [1, 2] }", 'shape = [1, 2], scores = "logits" }'))
    watched = Watched(model)
    assert watched.step(800.0, 799.0) == "failure"
    assert watched.detector.verdict.probability == pytest.approx(1 / (1 + np.exp(-1)))


@pytest.mark.parametrize(("hz", "runs"), [(None, 50), (25, 25), (10, 10), (200, 50), (0.5, 1)])
def test_it_looks_as_often_as_it_is_told(folder, hz, runs):
    watched = Watched(turned(folder, 0.0), hz=hz)
    rng = np.random.default_rng(3)
    for k in range(50):
        watched.detector.look(seen(NOW_NS + k * STEP_NS + int(rng.integers(0, 200_000))))
    assert watched.runs == runs


def test_one_that_is_too_slow_is_asked_now_and_then(folder, monkeypatch):
    watched = Watched(turned(folder, 0.0), timed=True)
    now = [0]

    def tick():
        now[0] += 25 * MS
        return now[0]

    monkeypatch.setattr("spinal.runtime.policy.detector.clock.now_ns", tick)
    watched.step(0.9, 0.1, count=100)
    assert watched.runs <= 5 + 2
    assert "longer than the 20 ms between two looks" in watched.detector.complaint


# --- on the robot


class Run:
    def __init__(self, folder, **more):
        model = turned(folder, 0.05, "pan", "patience_ms = 100.0")
        self.robot = robot_with(detector=table(model, **more))
        self.here, self.there = GOAL.copy(), GOAL.copy()
        self.here[0], self.there[0] = -0.2, 0.3
        self.policy = load(self.robot, 0, standing(folder, self.here, "here")).step
        self.rollout = Rollout(self.robot, self.policy, keep_records=True)
        self.rollout.begin(11)
        self.verdicts, self.complaints = [], []

    def go(self, pose, steps):
        """The policy wants the arm at ``pose``."""
        answer = self.policy._head._engine.outputs["chunk"]
        self.policy._head._engine.run = lambda: answer.__setitem__(..., pose)
        for _ in range(steps):
            self.rollout.step()
            self.verdicts.append(self.rollout.detector.verdict.label)
            self.complaints.append(self.rollout.complaint)
        return self.verdicts[-1]

    @property
    def pan(self):
        return self.rollout.robot.state().commanded[0, 0]


def test_it_says_what_it_sees_and_changes_nothing(folder):
    run = Run(folder)
    assert run.go(run.here, 60) == "success"
    assert run.go(run.there, 60) == "failure"
    assert run.pan == pytest.approx(0.3, abs=1e-3)
    assert run.go(run.here, 60) == "success"
    changes = [one for one, before in zip(run.verdicts[1:], run.verdicts, strict=False) if one != before]
    assert changes == ["success", "failure", "success"]
    assert set(run.complaints) == {None}
    bare = Rollout(robot_with(), run.policy, keep_records=True)
    bare.begin(11)
    for _ in range(20):
        bare.step()
    assert bare.robot.stats()["starved_ticks"] == run.rollout.robot.stats()["starved_ticks"] == 0


def test_the_robot_holds_at_a_verdict_and_goes_on_when_it_is_over(folder):
    run = Run(folder, hold_on=["failure"])
    run.go(run.here, 60)
    run.go(run.there, 120)
    robot = run.rollout.robot
    assert robot.mode == "holding"
    assert robot.state().at_rest
    held = run.pan
    assert held > 0.05
    assert run.complaints[-1] == run.rollout.detector.hold
    run.go(run.there, 50)
    assert run.pan == pytest.approx(held, abs=1e-9), "it stands, whatever the policy would want"
    assert run.rollout.bad_answers == 0, "and it is not the policy's fault"
    detector = run.rollout.detector
    judge, detector._judge = detector._judge, lambda observation: ("success", 0.99)
    run.go(run.here, 60)
    assert run.complaints[-1] is None
    assert robot.mode == "running"
    assert run.pan == pytest.approx(-0.2, abs=1e-3)
    detector._judge = judge
    assert run.go(run.here, 20) == "success"
    assert max(robot.stats()["seam"].values()) <= 1e-9


# --- the card and the robot file


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (('kind = "detector"', 'kind = "residual"'), "kind must be detector, and is residual"),
        (('"joint_position"', '"noise"'), "is noise, which such a model is not fed"),
        (('["failure", "success"]', '["failure"]'), r"output.shape must be \[1, 1\]"),
        (('["failure", "success"]', '["failure", "failure"]'), "is failure again"),
        (('["failure", "success"]', '["Failure!", "success"]'), "small letters and underscores"),
        (('kind = "detector"', 'kind = "detector"\nthresholds = [0.1, 0.2, 0.3]'), "has 3 numbers"),
        (('kind = "detector"', 'kind = "detector"\nthresholds = [1.5]'), "must be at most 1"),
        (('name = "q"', 'name = "x"'), "is not an input of the model: x"),
        (("joints = [", "joints = []\nunused = ["), "unused is not a known key"),
    ],
)
def test_what_is_wrong_with_a_card_is_said(tmp_path, change, why):
    model = turned(tmp_path, 0.0)
    card = model.with_suffix(".card.toml")
    text = card.read_text()
    assert change[0] in text
    card.write_text(text.replace(*change, 1))
    with pytest.raises(ConfigError) as error:
        load_detector(robot_with(detector=table(model)))
    assert re.search(why, str(error.value)), str(error.value)


def test_a_verdict_that_it_never_gives_is_no_reason_to_hold(folder):
    with pytest.raises(ConfigError, match="names a verdict that the detector never gives: lost"):
        load_detector(robot_with(detector=table(turned(folder, 0.0), hold_on=["lost"])))


def test_without_a_section_there_is_none():
    assert load_detector(robot_with()) is None
