"""The bare client of ``bench/bus/bare.py``, seen from the suite that it stands beside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from spinal.bench.bus.cycles import Stamps
from spinal.bench.bus.rig import EMULATOR_PRIORITY_BELOW_LOOP
from spinal.runtime.config.budget import bus_budget
from spinal.runtime.config.robot import RobotConfig
from spinal.runtime.controller.plan import loop_plan, the_bus
from spinal.runtime.errors import ProcessError

END_S = 10.0
"""Longer than that it is not waited for behind its own time."""
BY_HAND = "run it by hand: python -m spinal.bench.bus.bare --help"


@dataclass(frozen=True, slots=True)
class Cycles:
    """Cycles stamped one by one: when each began and how long it took, in ns."""

    begin_ns: Stamps
    took_ns: Stamps
    lost_bytes: int = 0
    """Of replies that never came; the bare client's only."""

    @property
    def median_ns(self) -> int:
        """Of what they took."""
        return int(np.median(self.took_ns))

    @property
    def longest_ns(self) -> int:
        """Of what they took."""
        return int(self.took_ns.max())

    @property
    def hz(self) -> float:
        """From the first begin to the last."""
        return (len(self.begin_ns) - 1) * 1e9 / float(self.begin_ns[-1] - self.begin_ns[0])


class BareCycles:
    """What the bare client printed, once it has ended."""

    said = ""

    def read(self) -> Cycles:
        """Its cycles. Raises ProcessError when it did not even come to two."""
        found = json.loads(self.said)
        stamps = np.array(found["cycles"], np.int64).reshape(-1, 2)
        if len(stamps) < 2:
            raise ProcessError("the bare client came too late", hint="give the machine some rest")
        return Cycles(stamps[:, 0], stamps[:, 1], int(found["lost_bytes"]))


@contextmanager
def bare_client(robot: RobotConfig, period_ns: int, start_ns: int, seconds: float) -> Iterator[BareCycles]:
    """The bare client as a process; once left, what it found can be asked for. It ends with this process."""
    bus, plan = robot.buses[the_bus(robot)], loop_plan(robot)
    budget = bus_budget(robot, the_bus(robot))
    words = ["--ids", ",".join(str(joint.id) for joint in robot.joints), "--baud", str(bus.baud)]
    words += ["--health-every", str(budget.health_every if budget else 0)]
    words += ["--period-ns", str(period_ns), "--start-ns", str(start_ns), "--seconds", str(seconds)]
    words += ["--priority", str(plan.fifo_priority), "--parent", str(os.getpid())]
    words += ["--server-priority", str(max(0, plan.fifo_priority - EMULATOR_PRIORITY_BELOW_LOOP))]
    process = subprocess.Popen(
        [sys.executable, "-m", "spinal.bench.bus.bare", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    found = BareCycles()
    try:
        yield found
        try:
            found.said, said = process.communicate(timeout=END_S)
        except subprocess.TimeoutExpired:
            raise ProcessError("the bare client did not end", hint=BY_HAND) from None
        if process.returncode:
            last = said.strip().splitlines()[-1] if said.strip() else f"exit code {process.returncode}"
            raise ProcessError(f"the bare client failed: {last}", hint=BY_HAND)
    finally:
        process.kill()
        process.wait()
