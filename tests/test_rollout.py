"""Lock-step with the shipped policy: the same run for the same seed, picks, no seam, inside the limits."""

from pathlib import Path

import numpy as np
import pytest

import spinal.launch
from spinal.drivers.sim import seeds
from spinal.native import layout
from spinal.runtime.config.limits import command_limits
from spinal.runtime.config.load import load_robot
from spinal.runtime.policy.forecast import Forecast
from spinal.runtime.rollout import Rollout, load_policy

ROBOT = Path(spinal.launch.__path__[0]) / "robots" / "so101_sim.toml"
STEP_NS = 20_000_000
SEED = seeds.VALIDATION[7]


@pytest.fixture(scope="module")
def robot():
    return load_robot(ROBOT)


@pytest.fixture(scope="module")
def policy(robot):
    return load_policy(robot)


def short_run(robot, policy, delay_steps=0, steps=40, seed=SEED):
    rollout = Rollout(robot, policy, added_delay_ns=delay_steps * STEP_NS, keep_records=True)
    rollout.begin(seed)
    while rollout.robot.now_ns < rollout.robot.start_ns + steps * STEP_NS:
        rollout.step()
    return rollout


@pytest.mark.parametrize("delay_steps", [0, 3])
def test_a_seed_gives_the_same_records_to_the_last_bit(robot, policy, delay_steps):
    first, again = (short_run(robot, policy, delay_steps).robot.take_records() for _ in range(2))
    assert len(first) > 150
    assert first.tobytes() == again.tobytes()


def test_another_seed_gives_another_run(robot, policy):
    first, other = (short_run(robot, policy, seed=seed).robot.take_records() for seed in (SEED, SEED + 1))
    assert first.tobytes() != other.tobytes()


def test_the_shipped_policy_picks(robot, policy):
    rollout = Rollout(robot, policy)
    episodes = [rollout.episode(seed, start) for seed, start in ((SEED, "home"), (SEED + 1, "lifted"))]
    assert [episode.outcome for episode in episodes] == ["success", "success"]
    assert all(episode.seconds < 4 for episode in episodes)
    assert all(episode.starved_ticks == 0 for episode in episodes)


@pytest.mark.parametrize("delay_steps", [0, 2, 4, 6])
def test_no_seam_and_no_limit_exceeded_at_any_delay(robot, policy, delay_steps):
    """Backward differences of what was written, from the arm's rest on."""
    rollout = short_run(robot, policy, delay_steps, steps=60)
    records, stats = rollout.robot.take_records(), rollout.robot.stats()
    assert stats["switches"] > 60 // (delay_steps + 1) - 5
    assert max(stats["seam"].values()) <= 1e-9
    assert stats["starved_ticks"] == 0
    dt = robot.control.period_ns * 1e-9
    assert (np.diff(records["tick_ns"]) == robot.control.period_ns).all()
    for index, joint in enumerate(robot.joints):
        low, high, *bounds = command_limits(joint)
        position = records["joints"]["applied"][:, index]
        assert low - 1e-12 <= position.min()
        assert position.max() <= high + 1e-12
        for order, bound in enumerate(bounds[: 3 if joint.kind == "arm" else 1], 1):
            most = np.abs(np.diff(position, order)).max() / dt**order
            assert most <= bound * (1 + 1e-6), f"{joint.name}: difference {order}"


@pytest.mark.parametrize("delay_steps", [0, 2, 5])
def test_what_is_looked_ahead_is_what_is_then_commanded(robot, policy, delay_steps):
    """The observation's own instant, and the prefix: within 0.3 mrad unless the limiter was at work."""
    rollout = Rollout(robot, policy, added_delay_ns=delay_steps * STEP_NS, keep_records=True)
    rollout.begin(SEED)
    seen = []
    infer = policy.infer
    policy.infer = lambda observation, early=None: seen.append(observation) or infer(observation, early)
    try:
        for _ in range(30):
            rollout.step()
    finally:
        policy.infer = infer
    records = rollout.robot.take_records()
    limited = records["tick_ns"][(records["joints"]["limited"][:, :5] != 0).any(axis=1)]
    checked = 0
    for observation in seen[5:]:
        assert len(observation.ahead) == delay_steps
        positions = [observation.command[:, 0], *observation.ahead]
        for step, position in enumerate(positions):
            t_ns = observation.stamp_ns + step * STEP_NS
            since_ns = observation.stamp_ns - 10_000_000
            if t_ns > records["tick_ns"][-1] or ((limited > since_ns) & (limited < t_ns + 4_000_000)).any():
                continue
            commanded = [
                np.interp(t_ns, records["tick_ns"], records["joints"]["applied"][:, joint])
                for joint in range(5)
            ]
            assert position[:5] == pytest.approx(commanded, abs=3e-4)
            checked += 1
    assert checked > 10


def test_a_forecast_without_a_trajectory_carries_the_command_a_little_and_holds(robot, policy):
    rollout = short_run(robot, policy, steps=20)
    state = rollout.robot.state()
    forecast = Forecast(robot)
    near, far, further = forecast.motion(state, [state.command_ns + t for t in (0, 10**9, 2 * 10**9)])
    assert near == pytest.approx(state.commanded)
    assert (far[:5] == further[:5]).all()
    assert state.mode == layout.MODE_RUNNING
