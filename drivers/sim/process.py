"""The simulator process: physics in step with the clock, a pose sensor, and servos that speak the real wire
protocol on the other end of the controller's bus.

Run by the supervisor: ``python -m spinal.drivers.sim.process --wiring JSON``. The servos answer from a native
real-time thread below the loop's priority; physics runs in Python with a raised nice value, because it stands
in for a world that is never late.
"""

from __future__ import annotations

import math
import sys
from collections import deque

from spinal.drivers.sim.cartpick import STEP_NS, CartpickWorld
from spinal.drivers.sim.faults import Faults, FaultyPoses
from spinal.drivers.sim.pose_stream import PoseStream
from spinal.drivers.sim.servos import SimulatedServos
from spinal.native import clock
from spinal.native.emulator import EmulatorServer
from spinal.native.histogram import Histogram
from spinal.runtime.config.robot import RobotConfig
from spinal.runtime.errors import ProcessError
from spinal.runtime.segments import (
    SIM_POSE,
    SIM_REPORT,
    SIM_WIRE,
    FaultsReader,
    PoseSample,
    PoseWriter,
    ReportWriter,
    Writer,
)
from spinal.runtime.wiring import StopRequest, Wiring, run_child, set_nice, summary_us

EMULATOR_PRIORITY_BELOW_LOOP = 5
NICE = -15
REPORT_PERIOD_NS = 100_000_000
AFTER_OUTCOME_NS = 400_000_000
"""How long a picked block stays in the hand before the next one appears."""
LARGEST_LAG_NS = 500_000_000
"""Further behind than this, the world lets time go by instead of catching up."""
KEPT_EVENTS = 24


def run(wiring: Wiring, stop: StopRequest) -> None:
    """Simulates until asked to end. Raises ProcessError for a robot that the world has no arm for."""
    refused = set_nice(NICE)
    if refused:
        print(f"sim: nice {NICE} was refused ({refused}): physics may run late", file=sys.stderr, flush=True)
    Simulation(wiring, wiring.load_robot()).run(stop)


class Simulation:
    """The world in real time. One Python thread for physics; the emulator's thread is native."""

    def __init__(self, wiring: Wiring, robot: RobotConfig) -> None:
        self._world = CartpickWorld()
        self._world.reset(wiring.seed)
        joints = len(self._world.joint_position())
        if len(robot.joints) != joints:
            raise ProcessError(
                f"the simulated world has an arm of {joints} joints, and {robot.name} has {len(robot.joints)}",
                hint="take the joints of launch/robots/so101_sim.toml, or leave [sim] out",
            )
        (bus,) = robot.buses.values()
        self._servos = SimulatedServos(robot.joints, self._world, bus.baud)
        self._segment = wiring.attach(Writer.SIM)
        self._servos.emulator.record_to(self._segment.part_address(SIM_WIRE))
        priority = robot.control.fifo_priority - EMULATOR_PRIORITY_BELOW_LOOP
        self._server = EmulatorServer(
            self._servos.emulator, wiring.bus_fd, priority if robot.control.realtime != "off" else 0
        )
        self._poses = PoseWriter(self._segment, SIM_POSE)
        self._faults = Faults(
            FaultsReader(wiring.attach(Writer.SUPERVISOR)),
            self._servos,
            self._world,
            self._server.power_cycle,
        )
        self._faulty_poses = FaultyPoses(self._faults)
        self._reports = ReportWriter(self._segment, SIM_REPORT)
        self._seed = wiring.seed
        self._late = Histogram()
        self._outcomes = {"success": 0, "dropped": 0, "timeout": 0}
        self._pick_s: deque[float] = deque(maxlen=200)
        self._events: deque[tuple[int, int, str]] = deque(maxlen=KEPT_EVENTS)
        self._event_count = self._seen_events = self._slips = 0
        self._respawn_ns: int | None = None

    def run(self, stop: StopRequest) -> None:
        """Steps physics until asked to end."""
        self._server.start()
        try:
            self._start_ns = clock.now_ns()
            self._sensor = PoseStream(self._seed, self._start_ns)
            report_ns = 0
            while not stop.asked:
                due_ns = self._start_ns + self._world.time_ns + STEP_NS
                clock.sleep_until_ns(due_ns)
                now_ns = clock.now_ns()
                self._late.record_late(now_ns - due_ns, STEP_NS)
                self._faults.apply()
                self._step(due_ns)
                for sample in self._faulty_poses.passed(self._sensor.released(now_ns), now_ns):
                    self._release(sample, now_ns)
                if now_ns - due_ns > LARGEST_LAG_NS:
                    self._start_ns += now_ns - due_ns
                    self._slips += 1
                if now_ns >= report_ns:
                    self._report(now_ns)
                    report_ns = now_ns + REPORT_PERIOD_NS
        finally:
            self._server.stop()

    def _step(self, now_ns: int) -> None:
        self._sensor.capture(now_ns - STEP_NS, self._world.block_pose())
        self._servos.drive(now_ns)
        self._world.step()
        self._servos.measure()
        for event in self._world.events[self._seen_events :]:
            self._event_count += 1
            self._events.append((self._event_count, self._start_ns + event.time_ns, event.kind))
        self._world.events.clear()
        if self._world.outcome is not None and self._respawn_ns is None:
            self._outcomes[self._world.outcome] += 1
            if self._world.outcome == "success":
                self._pick_s.append(self._world.elapsed_ns * 1e-9)
            self._respawn_ns = self._world.time_ns + AFTER_OUTCOME_NS
        if self._respawn_ns is not None and self._world.time_ns >= self._respawn_ns:
            self._respawn_ns = None
            self._world.respawn()

    def _release(self, sample: PoseSample, now_ns: int) -> None:
        self._poses.publish(sample._replace(arrival_ns=now_ns))

    def _report(self, now_ns: int) -> None:
        self._segment.beat(now_ns)
        wire, stats = self._server.report(), self._servos.emulator.stats()
        picks = sorted(self._pick_s)
        self._reports.publish(
            {
                **self._outcomes,
                "episodes": sum(self._outcomes.values()),
                "pick_s_median": picks[len(picks) // 2] if picks else math.nan,
                "events": list(self._events),
                "slips": self._slips,
                "late_us": summary_us(self._late.summary()),
                "emulator": {
                    "fifo": wire.fifo,
                    "late_us": {
                        "p50": wire.late_p50_ns / 1000,
                        "p99": wire.late_p99_ns / 1000,
                        "max": wire.late_max_ns / 1000,
                        "n": wire.late_count,
                    },
                    "collisions": stats.collisions,
                    "busy_ns": stats.busy_ns,
                },
            }
        )


if __name__ == "__main__":
    sys.exit(run_child(__doc__, run))
