"""A robot that can be hurt: the shipped one in simulation under its real supervisor, with everything that its loop
recorded, whatever reached its servos, and what was said, each with its instant.

What reached the servos is taken at the servos, not from the controller's records: those die with it.
"""

from __future__ import annotations

import json
import os
import re
import signal
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spinal.bench.faults.motion import Frames
from spinal.bench.live.supervised_robot import SHIPPED
from spinal.native import clock, layout
from spinal.native.floor import Floor
from spinal.native.guard import TakeOver
from spinal.native.histogram import UPPER_EDGES_NS
from spinal.native.loop import LoopStats, mode_name
from spinal.native.shared import Ring, RingFollower
from spinal.runtime.config import load_robot
from spinal.runtime.errors import ProcessError
from spinal.runtime.link.client import PlannerClient
from spinal.runtime.link.endpoints import Endpoints, in_directory
from spinal.runtime.link.messages import GoalKind
from spinal.runtime.segments import (
    CONTROLLER_RECORDS,
    CONTROLLER_STATS,
    POLICY_REPORT,
    SIM_WIRE,
    SUPERVISOR_TAIL,
    FaultsWriter,
    ReportReader,
    StateReader,
    Writer,
)
from spinal.runtime.supervisor.children import Child
from spinal.runtime.supervisor.supervisor import Supervisor
from spinal.runtime.types import State

ORDER_VARIABLE = "SPINAL_FAULTS_POLICY"
POLICY_ORDER = "policy"
"""A file in the robot's folder, named by the variable: what a policy is to do wrong; see ``bad_policy``."""
PLAN_VALID_MS, PLAN_ANSWER_MS = 1000.0, 400
BUTTON = "button"
"""A file in the robot's folder: an emergency stop on a wire."""
WATCH_S = 0.008
TAKE = 512
GOAL_REGISTER, TURN = 42, 4096
IN_PLACE_COUNTS = 8
MOVES = 1.5
"""rad/s: an arm that is to be hurt moves at least so fast."""
IN_ORDER_S = 60.0
"""Within which a robot runs again, stalls of the machine included."""
RECENT_S, MOST_DEATHS = 60.0, 3
"""More restarts of one process than this in a minute would soon be too many for the supervisor."""
FLOOR_PERIOD_NS = 4_000_000
FLOOR_PRIORITY = 60
"""Above the loop's: what it misses is the machine's doing."""
SUPERVISOR_WORDS = re.compile(r"^\w+ (ended|silent|not ready|cannot|restarted)|^(guard|emergency)")
COUNTERS = (
    "limited_ticks",
    "missing_replies",
    "bad_packets",
    "failed_writes",
    "torque_repeats",
    "starved_ticks",
    "skipped_slots",
)
KEPT_NS = 180_000_000_000
"""How long ago what is kept may be."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Sign:
    """Something that shows a fault: when, and in what words."""

    at_ns: int
    what: str


@dataclass
class FaultRobot:
    """A started robot. One thread. ``watch`` every 10 ms or so, or everything waits and orders expire."""

    supervisor: Supervisor
    endpoints: Endpoints
    folder: Path
    floor: Floor
    words: list[Sign] = field(default_factory=list)
    """What the supervisor has said."""
    signs: list[Sign] = field(default_factory=list)
    """Counters of trouble that rose, with the instant at which that was seen."""

    takeovers: list[TakeOver] = field(default_factory=list)
    """What the guard did, each deed once."""

    unasked: list[str] = field(default_factory=list)
    """Why it had stopped, when no fault was under way."""

    def __post_init__(self) -> None:
        joints = len(self.supervisor.robot.joints)
        controller = self.supervisor.reader(Writer.CONTROLLER)
        sim = self.supervisor.reader(Writer.SIM)
        self.joints = self.supervisor.robot.joints
        self.period_ns = self.supervisor.robot.control.period_ns
        self._record_ring = Ring(
            controller, CONTROLLER_RECORDS, self.supervisor.reader(Writer.SUPERVISOR), SUPERVISOR_TAIL
        )
        self._wire_follower = RingFollower(sim, SIM_WIRE)
        self._record_buffer = np.zeros(TAKE, layout.record_dtype(joints))
        self._wire_buffer = np.zeros(TAKE, layout.wire_dtype(joints))
        self._records: deque[NDArray[np.void]] = deque()
        self._wire: deque[NDArray[np.void]] = deque()
        self._states = StateReader(controller, joints)
        self._stats = LoopStats(controller, CONTROLLER_STATS)
        self._policy = ReportReader(self.supervisor.reader(Writer.POLICY), POLICY_REPORT)
        self.faults = FaultsWriter(self.supervisor.reader(Writer.SUPERVISOR))
        """Of the simulator: its servos, their supply, the joints, the pose stream."""
        self._counted: dict[str, int] = {}
        self._deaths: dict[str, int] = {}
        self._died: list[tuple[float, str]] = []

    def watch(self) -> None:
        """One round: the supervisor's, and everything that came meanwhile."""
        self.supervisor.watch()
        self.drain()

    def drain(self) -> None:
        """Takes what was recorded, and lets go of what is old."""
        for take, buffer, kept in (
            (self._record_ring.take, self._record_buffer, self._records),
            (self._wire_follower.follow, self._wire_buffer, self._wire),
        ):
            while count := take(buffer.view(np.uint8)):
                kept.append(buffer[:count].copy())
        self._count()
        deed = self.supervisor.bus.taken_over
        if deed is not None:
            if self.takeovers and self.takeovers[-1].detected_ns == deed.detected_ns:
                self.takeovers.pop()
            self.takeovers.append(deed)
        oldest_ns = clock.now_ns() - KEPT_NS
        while self._records and self._records[0]["tick_ns"][-1] < oldest_ns:
            self._records.popleft()
        while self._wire and self._wire[0]["arrived_ns"][-1] < oldest_ns:
            self._wire.popleft()

    def watch_for(self, seconds: float) -> None:
        """Watches so long."""
        end_ns = clock.now_ns() + round(seconds * 1e9)
        while (left_ns := end_ns - clock.now_ns()) > 0:
            clock.sleep_until_ns(clock.now_ns() + min(left_ns, round(WATCH_S * 1e9)))
            if left_ns > 1e9 * WATCH_S:
                self.watch()

    def until(self, condition: Callable[[], bool], what: str, limit_s: float = IN_ORDER_S) -> None:
        """Watches until ``condition`` holds. Raises ProcessError when it does not in time."""
        deadline = time.monotonic() + limit_s
        while True:
            self.watch()
            if condition():
                return
            if time.monotonic() > deadline:
                said = self.words[-1].what if self.words else "nothing"
                raise ProcessError(
                    f"{what}: not within {limit_s:.0f} s; it is {self.condition}; said last: {said}",
                    hint="run the robot by hand: spinal demo --headless --seconds 5",
                )
            time.sleep(WATCH_S)

    @property
    def state(self) -> State | None:
        """Of the controller that is there now."""
        return self._states.read() if self.child("controller").ready else None

    @property
    def running(self) -> bool:
        """Whether every process is there and the arm follows its policy."""
        state = self.state
        return self.supervisor.all_ready and state is not None and state.mode == layout.MODE_RUNNING

    @property
    def speed(self) -> float:
        """Of the fastest arm joint's command, rad/s."""
        state = self.state
        arm = [joint.kind == "arm" for joint in self.joints]
        return float(np.abs(state.commanded[arm, 1]).max()) if state is not None else 0.0

    @property
    def moving(self) -> bool:
        """Whether it runs, in the middle of a motion."""
        return self.running and self._planner_speaks and self.speed > MOVES

    @property
    def condition(self) -> str:
        """What keeps it, in words."""
        away = [name for name, child in self.supervisor.children.items() if not child.ready]
        state = self.state
        if away or state is None:
            return f"without {', '.join(away) or 'a state'}"
        named = [words for bit, words in layout.CONDITIONS.items() if bit & state.conditions]
        return "; ".join([mode_name(state.mode), *named, f"at {self.speed:.2f} rad/s"])

    def in_mode(self, mode: int) -> bool:
        """Whether the controller that is there now is in that mode."""
        state = self.state
        return state is not None and state.mode == mode

    def button(self, pressed: bool) -> None:
        """The emergency stop on a wire: a file in place of a pin."""
        with (self.folder / BUTTON).open("r+b", buffering=0) as pin:  # one write: never empty in between
            pin.write(b"1" if pressed else b"0")

    def until_moving(self) -> None:
        """The instant to hurt it. One that has stopped for no cause of ours is armed again, and that is kept."""

        def moves() -> bool:
            latch = self.supervisor.latch
            if latch is not None and self.supervisor.arm() is None:
                self.unasked.append(latch.cause)
            return self.moving

        self.until(moves, "the arm moves")

    @property
    def worn(self) -> bool:
        """Whether a process was restarted so often that the next time might be once too often."""
        since = time.monotonic() - RECENT_S
        recent = [name for at, name in self._died if at > since]
        return any(recent.count(name) >= MOST_DEATHS for name in set(recent))

    @property
    def ok(self) -> bool:
        """Whether nothing was given up."""
        return not any(child.given_up for child in self.supervisor.children.values())

    def child(self, name: str) -> Child:
        """One of its processes."""
        return self.supervisor.children[name]

    def pid(self, name: str) -> int:
        """Of a process that is there. Raises ProcessError when it is not."""
        process = self.child(name).process
        if process is None:
            raise ProcessError(f"{name} is not there", hint="wait until the robot runs")
        return process.pid

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> int:
        """Sends it a signal; the instant right before."""
        pid = self.pid(name)
        at_ns = clock.now_ns()
        os.kill(pid, number)
        return at_ns

    def go_on(self, pid: int) -> None:
        """SIGCONT for a process that may be gone."""
        try:
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            return

    def plan(self, kind: GoalKind, **parameters: float) -> None:
        """What a planner, or a person at ``spinal plan``, asks for. Raises LinkError when nobody answers."""
        with PlannerClient(self.endpoints, src="person") as person:
            person.send_goal(kind, parameters, valid_for_ms=PLAN_VALID_MS, timeout_ms=PLAN_ANSWER_MS)

    def records(self, begin_ns: int, end_ns: int = 1 << 62) -> NDArray[np.void]:
        """Records of the loop's ticks in a span."""
        self.drain()
        every = np.concatenate([self._record_buffer[:0], *self._records])
        return every[(every["tick_ns"] >= begin_ns) & (every["tick_ns"] < end_ns)]

    def frames(self, begin_ns: int, end_ns: int = 1 << 62) -> Frames:
        """Goals that reached the servos in a span, from whoever wrote them.

        Left out is what sets up a motor before a controller begins: one servo's goal, put where its shaft stands.
        """
        self.drain()
        every = np.concatenate([self._wire_buffer[:0], *self._wire])
        goals = every["servos"]["goal"].astype(np.int64)
        changed = np.concatenate([[False], (np.diff(goals, axis=0) != 0).any(axis=1)])[: len(every)]
        of_one = (every["written"] & (every["written"] - 1)) == 0
        apart = np.abs(goals - every["servos"]["shaft"] % TURN)
        bits = every["written"][:, None] >> np.arange(goals.shape[1], dtype=np.uint32) & 1
        in_place = (np.where(bits == 1, apart, 0) <= IN_PLACE_COUNTS).all(axis=1)
        written = ((every["address"] == GOAL_REGISTER) | changed) & ~(
            of_one & in_place & (goals.shape[1] > 1)
        )
        every = every[written & (every["arrived_ns"] >= begin_ns) & (every["arrived_ns"] < end_ns)]
        return Frames(
            every["arrived_ns"].copy(),
            every["servos"]["goal"].astype(np.int64),
            every["servos"]["torque"] == 1,
        )

    def stall_ms(self, before: NDArray[np.uint64]) -> float:
        """The longest that an empty loop of higher priority woke late since its ``counts`` were ``before``."""
        late = np.flatnonzero(self.floor.counts() - before)
        return float(UPPER_EDGES_NS[late[-1]]) / 1e6 if len(late) else 0.0

    @property
    def risen(self) -> dict[str, int]:
        """How often each condition came up since this controller began."""
        return self._stats.read()["risen"]

    @property
    def _planner_speaks(self) -> bool:
        planner = self.supervisor.children.get("planner")
        return planner is None or planner.alive

    def _count(self) -> None:
        """Counters of a controller that is new begin at zero; only a rise is a sign."""
        now_ns, stats, policy = clock.now_ns(), self._stats.read(), self._policy.read()
        counts = {name: int(stats[name]) for name in COUNTERS}  # type: ignore[literal-required]
        counts["rejected chunks"] = sum(stats["rejected"].values())
        counts |= {name: int(policy.get(name, 0)) for name in ("bad_answers", "blind")}
        for name, count in counts.items():
            if count > self._counted.get(name, count):
                self.signs.append(Sign(now_ns, name.replace("_", " ")))
        self._counted = counts
        for name, child in self.supervisor.children.items():
            deaths = child.deaths
            self._died += [(time.monotonic(), name)] * (deaths - self._deaths.get(name, deaths))
            self._deaths[name] = deaths


@contextmanager
def fault_robot(say: Say = lambda line: None, modules: dict[str, str] | None = None) -> Iterator[FaultRobot]:
    """Starts it, in a folder of its own, and brings it to rest at the end."""
    with tempfile.TemporaryDirectory(prefix="spinal-faults-") as name:
        folder = Path(name)
        endpoints = in_directory(folder)
        words: list[Sign] = []

        def hear(line: str) -> None:
            words.append(Sign(clock.now_ns(), line))
            say(line)

        (folder / BUTTON).write_text("0\n")
        robot_file = _with_button(folder)
        robot = load_robot(robot_file)
        (folder / POLICY_ORDER).write_text("")
        os.environ[ORDER_VARIABLE] = str(folder / POLICY_ORDER)
        floor = Floor(FLOOR_PERIOD_NS, FLOOR_PRIORITY)
        floor.start()
        try:
            with Supervisor(
                robot, robot_file, endpoints, hear, with_planner=True, modules=modules
            ) as supervisor:
                yield FaultRobot(supervisor, endpoints, folder, floor, words)
        finally:
            floor.stop()


def _with_button(folder: Path) -> Path:
    """The shipped robot with an emergency stop on a wire, as a file in ``folder``."""
    robot = load_robot(SHIPPED)
    lines = SHIPPED.read_text().splitlines()
    if robot.policy is not None:
        own = next(k for k, line in enumerate(lines) if line.startswith("model = "))
        lines[own] = f"model = {json.dumps(robot.policy.model)}"
    place = json.dumps(str(folder / BUTTON))
    lines += [
        "",
        "[[estop.lines]]",
        'name = "button"',
        'kind = "gpio"',
        f"path = {place}",
        'active = "high"',
        "",
    ]
    robot_file = folder / SHIPPED.name
    robot_file.write_text("\n".join(lines))
    return robot_file
