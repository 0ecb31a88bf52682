"""What each process of a robot is given at its start: its module, its memory, its line, its options."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from spinal.runtime.link.endpoints import Endpoints
from spinal.runtime.supervisor.children import Child, Launch
from spinal.runtime.supervisor.memory import SharedMemory
from spinal.runtime.supervisor.motor_bus import MotorBus
from spinal.runtime.supervisor.table import CONTROLLER, LINK, PLANNER, ProcessRow
from spinal.runtime.wiring import Wiring


@dataclass(frozen=True, slots=True)
class Launcher:
    """Of the robot of ``robot_file``. ``modules`` replaces what a process runs, by its name."""

    robot_file: Path
    endpoints: Endpoints
    memory: SharedMemory
    bus: MotorBus
    seed: int = 0
    modules: Mapping[str, str] = field(default_factory=dict)

    def child(self, row: ProcessRow) -> Child:
        """The process of ``row``, not started yet. Motors are set up before each start of a controller."""
        prepare = self.bus.set_up_motors if row is CONTROLLER else None
        segment = self.memory.views[row.writer] if row.writer else None
        return Child(row, self.launch(row), segment, prepare)

    def launch(self, row: ProcessRow) -> Launch:
        """Its command line and the descriptors that it inherits; the line is the one that is open now."""
        own, module = row.writer, self.modules.get(row.name, row.module)
        if row is PLANNER:
            arguments = ["-m", module, "--command-endpoint", self.endpoints.command]
            arguments += ["--state-endpoint", self.endpoints.state, "--parent", str(os.getpid())]
            return Launch(arguments, ())
        shared = {reader.value: self.memory.read_fds[reader] for reader in row.reads}
        if own is not None:
            shared[own.value] = self.memory.write_fds[own]
        bus_fd = -1
        if row.bus and self.bus.line is not None:
            bus_fd = self.bus.line.device_fd if row.bus == "device" else self.bus.line.controller_fd
        wiring = Wiring(
            process=row.name,
            robot=str(self.robot_file),
            segments=shared,
            bus_fd=bus_fd,
            command_endpoint=self.endpoints.command if row is LINK else "",
            state_endpoint=self.endpoints.state if row is LINK else "",
            seed=self.seed,
            parent=os.getpid(),
        )
        fds = [*shared.values(), *([bus_fd] if bus_fd >= 0 else [])]
        return Launch(["-m", module, "--wiring", wiring.to_json()], fds)
