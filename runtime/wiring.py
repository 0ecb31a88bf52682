"""What a child process is given at its start: the robot file, descriptors, endpoints and options.

It travels as one JSON argument. Descriptors are inherited by number; the segment that the process writes comes
as one that can write, all others as ones that cannot.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType

import msgspec

from spinal.native.shared import Segment
from spinal.runtime.config.load import load_robot
from spinal.runtime.config.robot import RobotConfig
from spinal.runtime.errors import SpinalError
from spinal.runtime.parent import end_with_parent
from spinal.runtime.segments import Writer


class Wiring(msgspec.Struct, frozen=True):
    """One child's share of the robot."""

    process: str
    robot: str
    """Path of the robot file."""
    segments: dict[str, int]
    """Writer -> descriptor."""
    bus_fd: int = -1
    command_endpoint: str = ""
    state_endpoint: str = ""
    seed: int = 0
    parent: int = 0
    """The process that started it; 0: nobody in particular."""

    def to_json(self) -> str:
        """As a command line argument."""
        return msgspec.json.encode(self).decode()

    def load_robot(self) -> RobotConfig:
        """The robot file, checked again in this process."""
        return load_robot(Path(self.robot))

    def attach(self, writer: Writer) -> Segment:
        """The segment of ``writer``: to write when it is this process's own, else read-only."""
        fd = self.segments[writer.value]
        if writer.value == self.process:
            return Segment.attach_writer(writer.value, fd)
        return Segment.attach_reader(writer.value, fd)


class StopRequest:
    """Set by SIGTERM. A child ignores Ctrl-C: its parent stops it in order."""

    def __init__(self) -> None:
        self.asked = False
        signal.signal(signal.SIGTERM, self._ask)
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True


def run_child(description: str | None, body: Callable[[Wiring, StopRequest], None]) -> int:
    """A child's whole life: its wiring from the command line, then ``body`` until it is asked to end.

    Ends with its parent. Returns 0 after SIGTERM, else the exit code of the error, whose words go to stderr as
    ``process: message`` and ``next: hint`` for the supervisor to pass on.
    """
    stop = StopRequest()
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--wiring", required=True, help="JSON, written by the supervisor")
    wiring = msgspec.json.decode(parser.parse_args().wiring, type=Wiring)
    end_with_parent(wiring.parent)
    try:
        body(wiring, stop)
    except SpinalError as error:
        print(f"{wiring.process}: {error}\nnext: {error.hint}", file=sys.stderr, flush=True)
        return error.exit_code
    return 0


def set_nice(value: int) -> str | None:
    """Sets this process's nice value; returns why not, or None."""
    try:
        os.setpriority(os.PRIO_PROCESS, 0, value)
    except OSError as error:
        return error.strerror
    return None


def summary_us(quantiles: Mapping[str, int]) -> dict[str, float]:
    """Quantiles in ns as us with one decimal; the count stays."""
    return {name: value if name == "n" else round(value / 1000, 1) for name, value in quantiles.items()}
