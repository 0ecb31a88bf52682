"""The emergency stops of one robot: who presses which line, what each says, and who may release them.

A pressed line stays pressed in the supervisor's memory: a controller that is started again finds it there and does
not arm. Only ``release`` ends that, when a person asks to arm again; a button that is still pressed, or a line that
still cannot be read, refuses it.

    0   this process: a key, or a program that runs the robot
    1   SIGUSR1, by which ``spinal stop`` reaches a robot whose link is dead
    4-7 the lines of the robot file
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from spinal.native import clock
from spinal.native.shared import Segment
from spinal.native.stop_lines import (
    ACTIVE,
    IDLE,
    SILENT,
    LineWatch,
    Reading,
    StopLine,
    WiredLine,
    off_signal,
    press_on_signal,
    signal_sender,
)
from spinal.runtime.config.estop import GpioLine, ModemLine
from spinal.runtime.config.robot import RobotConfig
from spinal.runtime.link import presence
from spinal.runtime.segments import LINK_ORDER, STOP_LINES, SUPERVISOR_STOPS, OrderReader

COMMAND, SIGNAL = 0, 1
FIRST_WIRED = 4
NUMBER = signal.SIGUSR1


@dataclass(frozen=True, slots=True)
class Pressed:
    """A line that is pressed: which, since when (CLOCK_MONOTONIC), by what, and whether it is so right now."""

    name: str
    since_ns: int
    why: str
    still: bool

    def __str__(self) -> str:
        return f"{self.name}: {self.why}"


class Stops:
    """The stop lines in ``segment``, which is the supervisor's own. Use as a context manager; one thread.

    It ends before the segment is closed. ``directory``: where ``spinal stop`` looks for this process.
    Raises RuntimeError when this process has the lines of another robot.
    """

    def __init__(self, segment: Segment, robot: RobotConfig, directory: Path | None = None) -> None:
        self._robot = robot
        self._directory = directory
        self._words = [StopLine(segment, SUPERVISOR_STOPS, index) for index in range(STOP_LINES)]
        self._watch: LineWatch | None = None
        self._unopened: dict[int, str] = {}
        self._command_why = ""
        self._open = False

    def __enter__(self) -> Self:
        press_on_signal(NUMBER, self._words[SIGNAL])
        self._open = True
        try:
            self._watch_wired()
            if self._directory is not None:
                presence.announce(self._directory)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Nothing presses any more; what is pressed stays so. May be called twice."""
        if self._watch is not None:
            self._watch.close()
            self._watch = None
        if self._open:
            if self._directory is not None:
                presence.withdraw(self._directory)
            off_signal(NUMBER)
            self._open = False

    def press(self, why: str = "a person, at this computer") -> None:
        """Stops the robot, in its next tick. No network and no other process is between."""
        if self._words[COMMAND].press():
            self._command_why = why

    def release(self) -> list[Pressed]:
        """A person asks to arm again: releases every line. Where one is still pressed, none is released and
        those are returned.

        Lines that could not be read are opened again first: an adapter may have been plugged in since.
        """
        if any(reading.says not in (IDLE, ACTIVE) for reading in self._readings()):
            self._watch_wired()
        still = [pressed for pressed in self.pressed() if pressed.still]
        if not still:
            for word in self._words:
                word.release()
        return still

    def pressed(self) -> list[Pressed]:
        """The lines that are pressed, the first one first."""
        found = []
        readings = self._readings()
        for index, word in enumerate(self._words):
            since_ns = word.pressed_ns
            wired = index - FIRST_WIRED
            if 0 <= wired < len(readings):
                line, reading = self._robot.estop.lines[wired], readings[wired]
                if since_ns or reading.says != IDLE:
                    why = self._why(line, wired, reading)
                    found.append(Pressed(line.name, since_ns or clock.now_ns(), why, reading.says != IDLE))
            elif since_ns:
                found.append(Pressed(*self._own_road(index, since_ns), still=False))
        return sorted(found, key=lambda pressed: pressed.since_ns)

    def _own_road(self, index: int, since_ns: int) -> tuple[str, int, str]:
        if index == COMMAND:
            return "command", since_ns, self._command_why or "by command"
        if index == SIGNAL:
            return "signal", since_ns, f"{NUMBER.name} from process {signal_sender(NUMBER)}"
        return f"line {index}", since_ns, "by another part of this program"

    def _why(self, line: ModemLine | GpioLine, index: int, reading: Reading) -> str:
        place = f"{line.kind} of {line.place}" if line.kind != "gpio" else line.place
        says, error = reading.says, reading.error
        released = ""
        if says == IDLE:
            says, error, released = reading.pressed_by, reading.pressed_error, "; it is released now"
        if says == ACTIVE:
            return f"pressed ({place}){released}"
        if says == SILENT:
            return f"{place} does not answer{released}"
        reason = self._unopened.get(index) or os.strerror(error)
        return f"{place} cannot be read: {reason}{released}"

    def _readings(self) -> list[Reading]:
        return self._watch.readings() if self._watch is not None else []

    def _watch_wired(self) -> None:
        """Opens the lines of the robot file and watches them; one that cannot be opened counts as pressed."""
        if self._watch is not None:
            self._watch.close()
            self._watch = None
        self._unopened.clear()
        wired = []
        for index, line in enumerate(self._robot.estop.lines):
            # Not for writing where it is read; a port without O_NONBLOCK would wait for a carrier.
            access = os.O_RDONLY if line.kind == "gpio" else os.O_RDWR | os.O_NOCTTY
            fd = -1
            try:
                fd = os.open(line.place, access | os.O_NONBLOCK | os.O_CLOEXEC)
            except OSError as error:
                self._unopened[index] = error.strerror or str(error)
            wired.append(WiredLine(fd, line.kind, line.active == "high", self._words[FIRST_WIRED + index]))
        if not wired:
            return
        control = self._robot.control
        self._watch = LineWatch(
            wired, fifo_priority=control.fifo_priority if control.realtime != "off" else 0
        )
        self._watch.start()


class ArmingRequests:
    """What people ask over the link: each rise of the order's ``arming`` is one request. ``link``: its segment."""

    def __init__(self, link: Segment) -> None:
        self._orders = OrderReader(link, LINK_ORDER)
        self._seen = self._newest()

    def take(self) -> bool:
        """Whether somebody has asked since the last call."""
        newest = self._newest()
        asked, self._seen = newest > self._seen, newest
        return asked

    def _newest(self) -> int:
        order = self._orders.read()
        return order.arming if order is not None else 0
