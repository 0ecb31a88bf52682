"""How fast chunks are executed: speeds, the delay's floor, grippers and an arm that is behind."""

from types import SimpleNamespace

import numpy as np
import pytest
from test_policy_step import MS, NOW_NS, STEP_NS, observation

from spinal.runtime.config.execution import ExecutionSettings
from spinal.runtime.policy.tempo import Tempo, slowed
from spinal.runtime.types import Chunk

CHUNK = SimpleNamespace(steps=20, first=0)


def tempo(**settings):
    execution = SimpleNamespace(
        settings=ExecutionSettings(**settings),
        grippers=(False, True),
        travel=np.array([2.0, 0.02]),
        step_ns=STEP_NS,
        period_ns=STEP_NS,
    )
    return Tempo(execution, CHUNK)


def chunk(gripper_m):
    actions = np.linspace((0.0, 0.0), (1.0, gripper_m), 20)
    return Chunk(NOW_NS, NOW_NS, NOW_NS + STEP_NS, STEP_NS, actions, 0, "chunk")


def test_as_it_was_taught_nothing_changes():
    found = tempo()
    assert [found.step_ns(delay * MS) for delay in (0, 100, 900)] == [STEP_NS] * 3
    seen = observation()
    assert found.seen(seen) is seen


@pytest.mark.parametrize(("speed", "step_ns"), [(2.0, 10_000_000), (0.5, 40_000_000), (4.0, 5_000_000)])
def test_a_speed_divides_the_step(speed, step_ns):
    assert tempo(speed=speed).step_ns(0) == step_ns


def test_a_chunk_outlasts_the_delay_and_is_never_slower_than_taught_for_it():
    found = tempo(speed=4.0)
    assert found.step_ns(190 * MS) == 10 * MS  # 19 steps are left when the next answer is asked for
    assert found.step_ns(900 * MS) == STEP_NS


def test_slow_where_a_gripper_moves():
    found = tempo(speed=2.0, speed_at_gripper=0.8)
    found.saw(observation(), chunk(gripper_m=0.01))
    assert found.step_ns(0) == 25 * MS
    found.saw(observation(), chunk(gripper_m=0.001))
    assert found.step_ns(0) == 10 * MS
    found.saw(observation(), chunk(gripper_m=0.01))
    found.restart()
    assert found.step_ns(0) == 10 * MS


def test_an_arm_that_is_behind_is_not_driven_faster():
    found = tempo(speed=2.0, speed_error=0.05)
    near = observation(command=((0.04, 0, 0), (0.01, 0, 0)))
    far = observation(command=((0.06, 0, 0), (0.01, 0, 0)))
    position = np.array([0.0, 0.01])
    for seen, step_ns in ((near, 10 * MS), (far, STEP_NS)):
        found.saw(SimpleNamespace(position=position, command=seen.command), chunk(0.0))
        assert found.step_ns(0) == step_ns


def test_what_moves_is_slower_in_the_time_of_a_faster_policy():
    seen = observation(command=((0.1, 2.0, 8.0), (0.01, 0.0, 0.0)))
    found = slowed(seen, 2.0, lag_s=0.04)
    assert found.command[0].tolist() == [0.1, 1.0, 2.0]
    assert np.allclose(found.velocity, seen.velocity / 2)
    assert np.allclose(found.position, seen.position + 0.02 * seen.velocity)
    for name, value in seen.streams.items():
        assert np.allclose(found.streams[name].velocity_m_s, value.velocity_m_s / 2)
