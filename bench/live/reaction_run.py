"""A live run of the robot beside an empty loop: what its processes stamp and count, gathered as they run."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinal.bench.live.reaction_stages import ReactionStages
from spinal.bench.live.supervised_robot import SupervisedRobot
from spinal.bench.statistics import Counts
from spinal.native import clock, layout
from spinal.native.floor import Floor
from spinal.native.loop import LoopStats
from spinal.native.shared import Ring
from spinal.runtime.errors import PolicyError
from spinal.runtime.segments import (
    CONTROLLER_RECORDS,
    CONTROLLER_STATS,
    POLICY_REPORT,
    SIM_POSE,
    SIM_REPORT,
    SUPERVISOR_TAIL,
    PoseReader,
    ReportReader,
    StateReader,
    Writer,
)

WATCH_S = 0.02
SLICES, SHORTEST_SLICE_S = 40, 0.5
TAKE = 512
LAST_REPORT_S = 1.0
"""The last events' steps come with the policy's next report."""


@dataclass
class Run:
    """What a live run left behind."""

    stages: ReactionStages
    late: list[Counts] = field(default_factory=list)
    floor: list[Counts] = field(default_factory=list)
    loop: dict[str, Any] = field(default_factory=dict)
    policy: dict[str, Any] = field(default_factory=dict)
    sim: dict[str, Any] = field(default_factory=dict)
    deaths: int = 0
    fifo: str | None = None
    hz: float = 0.0
    """The policy's rate."""
    seconds: float = 0.0


def follow(live: SupervisedRobot, seconds: float, delay_ms: float) -> Run:
    """Watches over a started robot for ``seconds``, beside an empty loop. Raises PolicyError when it never ran."""
    supervisor, robot = live.supervisor, live.robot
    if robot.policy is None:
        raise PolicyError(f"{robot.name} has no policy", hint="add [policy] to the robot file")
    controller = supervisor.reader(Writer.CONTROLLER)
    ring = Ring(controller, CONTROLLER_RECORDS, supervisor.reader(Writer.SUPERVISOR), SUPERVISOR_TAIL)
    buffer = np.zeros(TAKE, layout.record_dtype(len(robot.joints)))
    stats = LoopStats(controller, CONTROLLER_STATS)
    policy = ReportReader(supervisor.reader(Writer.POLICY), POLICY_REPORT)
    sim = ReportReader(supervisor.reader(Writer.SIM), SIM_REPORT)
    poses = PoseReader(supervisor.reader(Writer.SIM), SIM_POSE)
    stages = ReactionStages(robot.policy.period_ns, robot.control.period_ns, held_back=delay_ms > 0)
    run = Run(stages, hz=1e9 / robot.policy.period_ns)
    supervisor.set_added_delay(round(delay_ms * 1e6))
    slice_s = max(SHORTEST_SLICE_S, seconds / SLICES)
    began_s = sliced_s = time.monotonic()
    with empty_loop(live) as floor:
        run.fifo = floor.fifo
        before = stats.counts("late"), floor.counts()
        while (now_s := time.monotonic()) - began_s < seconds:
            supervisor.watch()
            stages.take_samples(poses.take())
            stages.take_steps(policy.read().get("steps", ()))
            for records in _taken(ring, buffer):
                stages.take_records(records)
            stages.settle()
            if now_s - sliced_s >= slice_s:
                sliced_s = now_s
                after = stats.counts("late"), floor.counts()
                run.late.append(after[0] - before[0])
                run.floor.append(after[1] - before[1])
                before = after
            time.sleep(WATCH_S)
    run.seconds = time.monotonic() - began_s
    while stages.unsettled and time.monotonic() - began_s < run.seconds + LAST_REPORT_S:
        supervisor.watch()
        stages.take_steps(policy.read().get("steps", ()))
        stages.settle()
        time.sleep(WATCH_S)
    run.loop = dict(stats.read())
    run.policy, run.sim, run.deaths = policy.read(), sim.read(), live.deaths
    if not run.loop["switches"]:
        raise PolicyError(
            f"the robot never ran: {run.policy.get('complaint') or 'no chunk came into force'}",
            hint="look at the policy's inputs and outputs: spinal check; or measure for longer",
        )
    return run


@contextmanager
def empty_loop(live: SupervisedRobot) -> Iterator[Floor]:
    """The floor of the robot's loop: its rate and priority, half a period away from its ticks."""
    control = live.robot.control
    priority = control.fifo_priority if control.realtime != "off" else 0
    state = StateReader(live.supervisor.reader(Writer.CONTROLLER), len(live.robot.joints)).read()
    now_ns = clock.now_ns()
    slot_ns = state.tick_ns if state is not None else now_ns
    ahead = (now_ns - slot_ns) // control.period_ns + 5
    floor = Floor(control.period_ns, priority)
    floor.start(slot_ns + ahead * control.period_ns + control.period_ns // 2)
    try:
        yield floor
    finally:
        floor.stop()


def _taken(ring: Ring, buffer: NDArray[np.void]) -> Iterator[NDArray[np.void]]:
    while count := ring.take(buffer.view(np.uint8)):
        yield buffer[:count]
