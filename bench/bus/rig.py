"""The real loop and bus of a robot against its emulated servos, over a socketpair or a pty, several at once.

Loop, bus and protocol are those of the controller; the servos answer with true wire time from native threads of
a priority below the loop's, as in the demo. The arm stands still: a bus does not care where it stands.
"""

from __future__ import annotations

import contextlib
import os
import tty
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
from numpy.typing import NDArray

from spinal.drivers.feetech.configure import DescriptorWire, configure, setups
from spinal.drivers.lines import Line, open_serial, open_simulated
from spinal.native import layout
from spinal.native.bus import Bus, BusGroup
from spinal.native.emulator import Emulator, EmulatorServer
from spinal.native.feetech_bus import SerialLine
from spinal.native.loop import Loop, LoopStats
from spinal.native.shared import Mailbox, Ring
from spinal.runtime.config.robot import RobotConfig
from spinal.runtime.controller.plan import feetech_bus, loop_plan, the_bus
from spinal.runtime.segments import (
    CONTROLLER_RECORDS,
    CONTROLLER_STATE,
    CONTROLLER_STATS,
    SUPERVISOR_ORDER,
    SUPERVISOR_TAIL,
    Writer,
    create,
)

if TYPE_CHECKING:
    from spinal.native.loop import LoopCounts

EMULATOR_PRIORITY_BELOW_LOOP = 5
TAKE = 512
Kind = Literal["socketpair", "pty"]


class BusRig:
    """``buses`` lines of ``kind``, each with the whole robot's servos, driven by one loop each ``period_ns``.

    A context manager: lines, servers and loop are closed with it. Raises BusError when a servo does not answer,
    OSError when there is no pty. One thread. ``fifo``: None when the loop got its priority, else why not.
    """

    def __init__(
        self, robot: RobotConfig, kind: Kind = "socketpair", buses: int = 1, period_ns: int | None = None
    ) -> None:
        plan = loop_plan(robot, self_test=False)
        self.period_ns = plan.dt_ns if period_ns is None else period_ns
        # The bench process keeps its memory unlocked: page faults are another suite's subject.
        self._plan = replace(
            plan,
            dt_ns=self.period_ns,
            limits=plan.limits * buses,
            safety=replace(plan.safety, reflexes=plan.safety.reflexes * buses),
            emergency=plan.emergency * buses,
            grippers=plan.grippers * buses,
            lock_memory=False,
        )
        self._robot, self._kind, self._count = robot, kind, buses
        self.fifo: str | None = "not started"
        self.wire_ns = 0
        self.health_wire_ns = 0
        """What one reading of a motor's health adds to its cycle."""
        self._open = contextlib.ExitStack()

    def __enter__(self) -> Self:
        try:
            self._set_up()
        except BaseException:
            self._open.close()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self._open.close()

    def start(self, start_ns: int) -> None:
        """First tick at ``start_ns``; whatever was counted before stays counted."""
        self._loop.start(start_ns)
        self._open.callback(self._loop.stop)
        self.fifo = self._loop.realtime["fifo"]

    def stop(self) -> None:
        """Ends the loop; records and counters stay."""
        self._loop.stop()

    def take(self) -> NDArray[np.void]:
        """The records since the last call, in order. Come by every few seconds: the ring holds 4096."""
        parts = []
        while count := self._ring.take(self._buffer.view(np.uint8)):
            parts.append(self._buffer[:count].copy())
        return np.concatenate(parts) if parts else self._buffer[:0].copy()

    @property
    def emulators(self) -> list[Emulator]:
        """The servos of each bus."""
        return [server.emulator for server in self._servers]

    @property
    def counts(self) -> LoopCounts:
        """Of the loop and its buses."""
        return self._stats.read()

    @property
    def unwritten_bytes(self) -> int:
        """Bytes of replies that the lines would not take."""
        return sum(server.report().unwritten_bytes for server in self._servers)

    @property
    def servos_late_ns(self) -> int:
        """At worst, an emulated servo behind its own wire time: the device's fault, not the bus's."""
        return max(server.report().late_max_ns for server in self._servers)

    def _set_up(self) -> None:
        self._servers: list[EmulatorServer] = []
        buses: list[Bus] = []
        for _ in range(self._count):
            controller_fd = self._line()
            configure(DescriptorWire(controller_fd), setups(self._robot.joints))
            bus = feetech_bus(self._robot, SerialLine(controller_fd))
            self.wire_ns = bus.wire_ns
            self.health_wire_ns = bus.health_wire_ns
            buses.append(bus)
        joints = self._count * len(self._robot.joints)
        segment, orders = create(Writer.CONTROLLER, joints), create(Writer.SUPERVISOR, joints)
        self._open.callback(orders.close)
        self._open.callback(segment.close)
        self._ring = Ring(segment, CONTROLLER_RECORDS, orders, SUPERVISOR_TAIL)
        self._buffer = np.zeros(TAKE, layout.record_dtype(joints))
        self._stats = LoopStats(segment, CONTROLLER_STATS)
        self._loop = Loop(
            self._plan,
            buses[0] if len(buses) == 1 else BusGroup(buses),
            segment,
            CONTROLLER_STATS,
            Mailbox(segment, CONTROLLER_STATE),
            self._ring,
            [Mailbox(orders, SUPERVISOR_ORDER)],
            None,
        )

    def _line(self) -> int:
        """The controller's end of a new line whose servos answer."""
        line = open_simulated() if self._kind == "socketpair" else self._open_pty()
        self._open.callback(line.close)
        baud = self._robot.buses[the_bus(self._robot)].baud
        emulator = Emulator([joint.id for joint in self._robot.joints], baud=baud)
        priority = max(0, self._plan.fifo_priority - EMULATOR_PRIORITY_BELOW_LOOP)
        server = EmulatorServer(emulator, line.device_fd, priority)
        self._servers.append(self._open.enter_context(server))
        return line.controller_fd

    def _open_pty(self) -> Line:
        """As ``spinal emulate --pty`` makes one and ``spinal run`` opens a port."""
        master, slave = os.openpty()
        try:
            tty.setraw(slave)
            opened = open_serial(os.ttyname(slave), self._robot.buses[the_bus(self._robot)].baud)
        except BaseException:
            os.close(master)
            raise
        finally:
            os.close(slave)
        return Line(opened.controller_fd, master)
