"""A few short faults put into the live robot, judged as ``spinal faults run`` does; and what reaches its servos."""

import numpy as np
import pytest

from spinal.bench.faults import soak, trial
from spinal.bench.faults.families import FAMILIES
from spinal.bench.faults.run import Robots, try_fault
from spinal.bench.live.supervised_robot import absence

pytestmark = pytest.mark.skipif(bool(absence()), reason=absence() or "there is a simulator")

FAULTS = {fault.name: fault for faults in FAMILIES.values() for fault in faults}


@pytest.fixture(scope="module")
def robots():
    robots = Robots(lambda line: None)
    yield robots
    robots.close()


@pytest.fixture(scope="module")
def clean(robots):
    return soak.soak(robots.fresh(()), 3.0, lambda line: None)


def test_a_robot_that_nobody_hurts_is_seen_at_its_servos(clean):
    arm, gripper = clean.clean_steps
    assert 1 <= arm <= 13, "its speed limit is 12.3 counts a tick"
    assert gripper <= 47
    assert clean.excess_share <= 1.001, clean.excess
    assert clean.steps.sum() > 100
    assert np.isnan(clean.memory_mib_per_hour), "too short to tell"


@pytest.mark.parametrize("name", ["policy-killed", "reply-lost", "controller-stopped-500ms", "estop-command"])
def test_a_fault_is_safe(robots, clean, name):
    row = try_fault(robots, FAULTS[name], clean)
    if row.stall_ms >= trial.STALL_MS and not row.safe:
        pytest.skip(f"the machine stood still for {row.stall_ms:.0f} ms, {row.tries} times: {row.why}")
    # Missed ticks are counted against windows of a minute: that is the bench's to judge, not a test's.
    assert row.safe or all("ticks missed behind" in why for why in row.why), row
    assert row.detected_ms is not None
    assert row.latched == (name == "estop-command")
    assert (row.state == "running") == (name == "reply-lost")
