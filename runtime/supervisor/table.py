"""The one table of a robot's processes: started from top to bottom, stopped from bottom to top.

The controller comes late: motors are set up right before it, when everything else has shown that it works.
"""

from __future__ import annotations

from dataclasses import dataclass

from spinal.runtime.config.robot import RobotConfig
from spinal.runtime.segments import Writer


@dataclass(frozen=True, slots=True)
class ProcessRow:
    """One process: what it runs, what it reads and holds, and when it counts as hung."""

    name: str
    module: str
    reads: tuple[Writer, ...]
    bus: str = ""
    """Which end of the bus it gets: "controller", "device" (the simulator's), or none."""
    silent_limit_ms: int = 0
    """A heartbeat older than this is a hang; 0: it has none."""
    ready_limit_s: float = 15.0
    """How long it may take from its start to its first heartbeat."""

    @property
    def writer(self) -> Writer | None:
        """The segment that is its own."""
        return next((writer for writer in Writer if writer == self.name), None)


SIM = ProcessRow(
    "sim", "spinal.drivers.sim.process", (Writer.SUPERVISOR,), bus="device", silent_limit_ms=2000
)
CONTROLLER = ProcessRow(
    "controller",
    "spinal.runtime.controller.process",
    (Writer.SUPERVISOR, Writer.POLICY, Writer.LINK),
    bus="controller",
    silent_limit_ms=200,
)
POLICY = ProcessRow(
    "policy",
    "spinal.runtime.policy.process",
    (Writer.CONTROLLER, Writer.SUPERVISOR, Writer.SIM, Writer.LINK),
    silent_limit_ms=3000,
    ready_limit_s=60.0,
)
LINK = ProcessRow(
    "link",
    "spinal.runtime.link.process",
    (Writer.CONTROLLER, Writer.SIM, Writer.POLICY),
    silent_limit_ms=2000,
)
PLANNER = ProcessRow("planner", "spinal.runtime.link.planner", ())


def rows(robot: RobotConfig, with_planner: bool) -> list[ProcessRow]:
    """The processes that ``robot`` needs. A planner of our own only where nobody else plans."""
    wanted = [SIM] if robot.simulated else []
    if robot.policy is not None:
        wanted.append(POLICY)
    wanted += [LINK, CONTROLLER]
    if with_planner:
        wanted.append(PLANNER)
    return wanted
