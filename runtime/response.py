"""How soon a response can be seen: a run and its undisturbed twin, in lock-step, tick by tick.

The cart turns in one run and does not in the other; seed, sensor noise and everything else are the same, so
what differs between their commands is the response to the turn.

- visible: until any arm joint's command differs by two encoder counts;
- p10, p50, p90: until the commanded tool point's velocity has changed by 10, 50, 90 % of what the cart's did,
  along that change. The cart itself needs up to 0.2 s for it (1.5 m/s^2).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinal.drivers.sim import arm6, seeds
from spinal.drivers.sim.cartpick import CartpickWorld
from spinal.runtime.config.robot import RobotConfig
from spinal.runtime.policy.step import PolicyStep
from spinal.runtime.rollout import Rollout, load_policy

Array = NDArray[np.float64]

VISIBLE_COUNTS = 2
EVENT_WINDOW_NS = (150_000_000, 550_000_000)
"""The turn comes while the arm approaches: not before it moves, not after it has grasped."""
AFTER_NS = 600_000_000
SETTLED_NS = 260_000_000
"""By then the cart drives at its new velocity."""
ON_CART_M = 0.045
SLOWEST_CHANGE_M_S = 0.05
FRACTIONS = {"p10": 0.1, "p50": 0.5, "p90": 0.9}
FIRST_SEED = 500_000


@dataclass(frozen=True, slots=True)
class Response:
    """One event: ms from the turn to each stage; NaN when a stage was not reached in 0.6 s."""

    visible_ms: float
    stages_ms: dict[str, float]


def measure_response(
    robot: RobotConfig, answer_ms: float, say: Callable[[str], None], events: int = 12
) -> dict[str, Any]:
    """Medians over ``events`` turns, each answer taking ``answer_ms``; JSON as ``spinal demo`` writes it."""
    policy = load_policy(robot)
    say(f"measuring the response to {events} turns of the cart in lock-step")
    found: list[Response] = []
    for seed in seeds.EVALUATION[FIRST_SEED:]:
        response = _one(robot, policy, seed, answer_ms)
        if response is not None:
            found.append(response)
        if len(found) == events:
            break
    return {
        "visible": round(float(np.nanmedian([one.visible_ms for one in found])), 1),
        **{name: round(float(np.nanmedian([one.stages_ms[name] for one in found])), 1) for name in FRACTIONS},
        "n": len(found),
        "answer_ms": round(answer_ms, 2),
    }


def _one(robot: RobotConfig, policy: PolicyStep, seed: int, answer_ms: float) -> Response | None:
    """The response to the first turn of ``seed``; None when it does not come in the window."""
    world = CartpickWorld()
    world.reset(seed)
    event_ns = world.next_turn_ns
    if not EVENT_WINDOW_NS[0] <= event_ns <= EVENT_WINDOW_NS[1]:
        return None
    disturbed = _run(robot, policy, CartpickWorld(), seed, event_ns, answer_ms)
    twin = _run(robot, policy, CartpickWorld(suppress_turn=0), seed, event_ns, answer_ms)
    if disturbed is None or twin is None:
        return None
    (records, velocity), (others, other_velocity) = disturbed, twin
    change = velocity - other_velocity
    size = float(np.linalg.norm(change))
    if size < SLOWEST_CHANGE_M_S:
        return None
    ticks = min(len(records), len(others))
    ours, theirs = (r["joints"]["applied"][:ticks] for r in (records, others))
    scale = np.array([joint.counts_per_unit for joint in robot.joints])
    arm = [joint.kind == "arm" for joint in robot.joints]
    counts = np.abs(np.rint(ours * scale) - np.rint(theirs * scale))[:, arm].max(axis=1)
    # The first tick stands at the world's beginning.
    since_ms = (records["written_ns"][:ticks] - records["tick_ns"][0] - event_ns) / 1e6
    dt_s = 1 / robot.control.servo_hz
    speed = np.gradient(_tool(ours) - _tool(theirs), dt_s, axis=0) @ (change / size) / size
    return Response(
        _first(since_ms, counts >= VISIBLE_COUNTS),
        {name: _first(since_ms, speed >= fraction) for name, fraction in FRACTIONS.items()},
    )


def _run(
    robot: RobotConfig, policy: PolicyStep, world: CartpickWorld, seed: int, event_ns: int, answer_ms: float
) -> tuple[NDArray[np.void], Array] | None:
    """Records, and the block's velocity [2] once the cart has turned; None when it left the cart before."""
    rollout = Rollout(robot, policy, world, inference_ns=round(answer_ms * 1e6), keep_records=True)
    rollout.begin(seed)
    velocity: Array | None = None
    while world.time_ns < event_ns + AFTER_NS:
        rollout.step()
        if velocity is None and world.time_ns >= event_ns + SETTLED_NS:
            if world.block_pose()[2] > ON_CART_M:
                return None
            velocity = world.block_velocity()[:2]
    return None if velocity is None else (rollout.robot.take_records(), velocity)


def _tool(positions: Array) -> Array:
    """Tool point [tick, 2] of commands [tick, joint]."""
    return np.array([arm6.fk(row[:5])[:2] for row in positions])


def _first(since_ms: Array, reached: NDArray[np.bool_]) -> float:
    hits = np.flatnonzero(reached & (since_ms > 0))
    return float(since_ms[hits[0]]) if len(hits) else float("nan")
