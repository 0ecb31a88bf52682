"""What a run of the robot amounts to: drains tick records, and turns counters into the figures people ask for.

Reaction in force: an event at a random instant (uniform in phase, ten a second) until the first written frame
whose trajectory answers an observation stamped at or after it. With the sensor: an observation whose oldest
external sample was captured at or after it.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinal.native import clock, layout
from spinal.native.histogram import Histogram
from spinal.native.loop import LoopStats
from spinal.native.shared import Ring
from spinal.runtime.config.budget import bus_budget
from spinal.runtime.controller.plan import the_bus
from spinal.runtime.segments import (
    CONTROLLER_RECORDS,
    CONTROLLER_REPORT,
    CONTROLLER_STATS,
    LINK_REPORT,
    POLICY_REPORT,
    SIM_REPORT,
    SUPERVISOR_TAIL,
    ReportReader,
    Writer,
)
from spinal.runtime.supervisor.supervisor import Supervisor
from spinal.runtime.wiring import summary_us

EVENT_PERIOD_NS = 100_000_000
TAKE = 512


class ReactionMeter:
    """From records in order to the time until something is answered. One thread."""

    def __init__(self, seed: int = 0) -> None:
        self._rng = np.random.default_rng(seed)
        self._waiting: deque[int] = deque()
        self._waiting_sensor: deque[int] = deque()
        self._slot_ns = 0
        self.in_force = Histogram()
        self.with_sensor = Histogram()

    def take(self, records: NDArray[np.void]) -> None:
        """Records of consecutive ticks. Events while the robot does not run do not count."""
        for tick_ns, written_ns, mode, observed_ns, sensed_ns in zip(
            records["tick_ns"].tolist(),
            records["written_ns"].tolist(),
            records["mode"].tolist(),
            records["observation_stamp_ns"].tolist(),
            records["sensor_stamp_ns"].tolist(),
            strict=True,
        ):
            if mode != layout.MODE_RUNNING:
                self._waiting.clear()
                self._waiting_sensor.clear()
                self._slot_ns = 0
                continue
            self._add_event(tick_ns)
            self._answer(self._waiting, observed_ns, written_ns, self.in_force)
            self._answer(self._waiting_sensor, sensed_ns, written_ns, self.with_sensor)

    def _add_event(self, tick_ns: int) -> None:
        if self._slot_ns == 0:
            self._slot_ns = tick_ns
        while tick_ns >= self._slot_ns:
            event_ns = self._slot_ns + int(self._rng.integers(EVENT_PERIOD_NS))
            self._waiting.append(event_ns)
            self._waiting_sensor.append(event_ns)
            self._slot_ns += EVENT_PERIOD_NS

    @staticmethod
    def _answer(waiting: deque[int], stamp_ns: int, written_ns: int, into: Histogram) -> None:
        while waiting and waiting[0] <= stamp_ns:
            into.record(written_ns - waiting.popleft())


class RunMeter:
    """Everything measured of one run of a supervised robot. Call ``update`` ten times a second or so."""

    def __init__(self, supervisor: Supervisor) -> None:
        robot, joints = supervisor.robot, len(supervisor.robot.joints)
        controller = supervisor.reader(Writer.CONTROLLER)
        self._robot = robot
        self._ring = Ring(
            controller, CONTROLLER_RECORDS, supervisor.reader(Writer.SUPERVISOR), SUPERVISOR_TAIL
        )
        self._buffer = np.zeros(TAKE, layout.record_dtype(joints))
        self._bytes = self._buffer.view(np.uint8)
        self._stats = LoopStats(controller, CONTROLLER_STATS)
        self._controller = ReportReader(controller, CONTROLLER_REPORT)
        self._policy = ReportReader(supervisor.reader(Writer.POLICY), POLICY_REPORT)
        self._link = ReportReader(supervisor.reader(Writer.LINK), LINK_REPORT)
        self._sim = ReportReader(supervisor.reader(Writer.SIM), SIM_REPORT)
        self.reaction = ReactionMeter()
        self._began_ns = clock.now_ns()

    def update(self) -> None:
        """Takes what the loop has recorded since."""
        while count := self._ring.take(self._bytes):
            self.reaction.take(self._buffer[:count])

    def result(self) -> dict[str, Any]:
        """The figures so far, with the stable keys of ``spinal demo --json``."""
        counts, policy, link, sim = (
            self._stats.read(),
            self._policy.read(),
            self._link.read(),
            self._sim.read(),
        )
        bus = self._robot.buses[the_bus(self._robot)]
        granted = self._controller.read().get("realtime", {})
        return {
            "seconds": round((clock.now_ns() - self._began_ns) / 1e9, 1),
            "task": self._robot.sim.world if self._robot.sim else "",
            "episodes": sim.get("episodes", 0),
            "successes": sim.get("success", 0),
            "pick_s": sim.get("pick_s_median", math.nan),
            "servo": {
                "hz": self._robot.control.servo_hz,
                "ticks": counts["ticks"],
                "missed": counts["skipped_slots"],
                "late_us": summary_us(counts["late"]),
                "compute_us": summary_us(counts["compute"]),
                "page_faults": counts["minor_faults"] + counts["major_faults"],
            },
            "policy": {
                "hz": self._robot.policy.hz if self._robot.policy else 0,
                "runs": policy.get("runs", 0),
                "inference_us": policy.get("inference_us", {}),
                "late_us": policy.get("late_us", {}),
                "delay_ms": policy.get("delay_ms", 0.0),
                "starved_ticks": counts["starved_ticks"],
                "age_ms": _milli(counts["age"]),
                "providers": policy.get("providers", []),
                "name": policy.get("policy", ""),
                "complaint": policy.get("complaint"),
                "residual": policy.get("residual"),
                "detector": policy.get("detector"),
            },
            "reaction_ms": _milli(self.reaction.in_force.summary()),
            "reaction_with_sensor_ms": _milli(self.reaction.with_sensor.summary()),
            "command": {
                "limited_ticks": counts["limited_ticks"],
                "max_seam": dict(counts["seam"]),
                "rms_jerk": round(math.sqrt(counts["jerk_square_sum"] / max(1, counts["jerk_count"])), 1),
                "switches": counts["switches"],
                "rejected": dict(counts["rejected"]),
                "holds": counts["holds"],
                "blend_ms": _milli(counts["blend"]),
            },
            "bus": {
                "protocol": bus.protocol,
                "cycles": counts["bus_cycles"],
                "errors": counts["missing_replies"] + counts["bad_packets"] + counts["failed_writes"],
                "wire_us": self._wire_us,
                "measured_us": summary_us(counts["bus_cycle"]),
            },
            "planner": {
                "messages": link.get("messages", 0),
                "rejected": link.get("rejected", 0),
                "round_trip_us": link.get("round_trip_us", {}),
            },
            "realtime": {
                "fifo": granted.get("fifo", "") is None,
                "mlock": granted.get("mlock", "") is None,
                "awake": granted.get("awake", "") is None,
            },
            "sim": {"late_us": sim.get("late_us", {}), "emulator": sim.get("emulator", {})},
        }

    @property
    def _wire_us(self) -> float:
        budget = bus_budget(self._robot, the_bus(self._robot))
        return float(budget.read_us + budget.write_us) if budget is not None else 0.0


def reasons(result: dict[str, Any], conditions: list[str]) -> list[str]:
    """Why the robot does not run, in words: the loop's conditions, and what the policy complains of."""
    complaint = result["policy"]["complaint"]
    conditions = [words for words in conditions if words]
    return [*conditions, f"policy: {complaint}"] if conditions and complaint else conditions


def summary(result: dict[str, Any]) -> str:
    """The run in a few lines."""
    late, reaction = result["servo"]["late_us"], result["reaction_ms"]
    picked = f"{result['successes']} of {result['episodes']} blocks picked in {result['seconds']:.0f} s\n"
    reacted = f"p50 {reaction['p50']:.1f} ms, p99 {reaction['p99']:.1f} ms (n = {reaction['n']})"
    return (
        f"{picked if result['episodes'] else ''}"
        f"loop {result['servo']['hz']} Hz: late p50 {late['p50']:.0f} us, p99 {late['p99']:.0f} us,"
        f" {result['servo']['missed']} of {result['servo']['ticks']} ticks missed\n"
        f"reaction {reacted if reaction['n'] else 'not measured'},"
        f" {result['policy']['starved_ticks']} starved ticks\n"
        f"seam: jump {max(result['command']['max_seam'].values()):.0e} over {result['command']['switches']}"
        f" switches; real time {'granted' if result['realtime']['fifo'] else 'NOT granted'}"
    )


def _milli(quantiles: Any) -> dict[str, float]:
    """Quantiles in ns as ms with two decimals; the count stays."""
    return {name: value if name == "n" else round(value / 1e6, 2) for name, value in quantiles.items()}
