"""The bus as the supervisor holds it: its line, the set-up of its motors, and the guard behind the controller.

One writer at a time: motors are set up only while no controller lives and the guard is quiet, and a line that was
lost is closed before it is opened again.
"""

from __future__ import annotations

import os
import select
from dataclasses import dataclass

from spinal.drivers.feetech.configure import DescriptorWire, configure, setups
from spinal.drivers.lines import Line, open_serial, open_simulated
from spinal.drivers.ports import Adapter, adapter_at, port_of
from spinal.native.feetech_bus import SerialLine
from spinal.native.guard import Guard, TakeOver
from spinal.native.shared import Segment
from spinal.runtime.config.robot import RobotConfig
from spinal.runtime.controller.guard_plan import guard_plan
from spinal.runtime.controller.plan import feetech_bus, the_bus
from spinal.runtime.errors import BusError
from spinal.runtime.segments import CONTROLLER_COMMAND


@dataclass
class MotorBus:
    """The one bus of ``robot``. ``controller``: its segment, read-only. Open, use, close; one thread.

    Raises BusError from ``open``.
    """

    robot: RobotConfig
    controller: Segment
    line: Line | None = None
    _guard: Guard | None = None
    _adapter: Adapter | None = None

    def open(self) -> None:
        """Opens the line and sets the guard behind it."""
        bus = self.robot.buses[the_bus(self.robot)]
        if bus.simulated:
            self.line = open_simulated()
        else:
            port = port_of(self._adapter) if self._adapter is not None else None
            self.line = open_serial(port or bus.port, bus.baud)
            self._adapter = self._adapter or adapter_at(bus.port)
        fd = self.line.controller_fd
        self._guard = Guard(
            guard_plan(self.robot),
            feetech_bus(self.robot, SerialLine(fd), health=False),
            fd,
            self.controller,
            CONTROLLER_COMMAND,
        )
        self._guard.start()

    @property
    def port(self) -> str:
        """Where it is, for people."""
        return self.robot.buses[the_bus(self.robot)].port

    @property
    def lost(self) -> bool:
        """Whether its line is gone: unplugged, or its other end closed."""
        if self.line is None:
            return True
        poll = select.poll()
        poll.register(self.line.controller_fd, 0)
        return any(events & (select.POLLHUP | select.POLLERR | select.POLLNVAL) for _, events in poll.poll(0))

    @property
    def busy(self) -> bool:
        """Whether the guard has the bus: between what it noticed and the arm at rest."""
        return self._guard is not None and self._guard.busy

    @property
    def taken_over(self) -> TakeOver | None:
        """The guard's last deed since ``watch``."""
        return self._guard.taken_over if self._guard is not None else None

    def set_up_motors(self) -> None:
        """Registers, and goals at the present pose. Neither a controller nor the guard speaks meanwhile."""
        if self.line is None:
            raise BusError(
                f"{self.port} is gone", hint="plug it in again: it is opened as soon as it is there"
            )
        self.leave()
        configure(DescriptorWire(self.line.controller_fd), setups(self.robot.joints))

    def watch(self, pid: int) -> None:
        """From now on the guard stands behind the controller ``pid``: a child of this process, not reaped yet."""
        if self._guard is not None:
            pidfd = os.pidfd_open(pid)
            try:
                self._guard.watch(pidfd)
            finally:
                os.close(pidfd)

    def leave(self) -> None:
        """The controller ends in order, or is gone for good: the guard neither kills nor writes behind this."""
        if self._guard is not None:
            self._guard.leave()

    def close(self) -> None:
        """The guard ends, then the line is closed. The motors keep holding."""
        if self._guard is not None:
            self._guard.stop()
            self._guard = None
        if self.line is not None:
            self.line.close()
            self.line = None
