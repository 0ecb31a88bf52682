"""Trying faults one after the other: a clean soak first, then each on a robot that is in order."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from difflib import get_close_matches

from spinal.bench.faults import soak, trial
from spinal.bench.faults.families import FAMILIES
from spinal.bench.faults.fault import Fault
from spinal.bench.faults.harness import FaultRobot, fault_robot
from spinal.bench.faults.judge import Row, judge
from spinal.runtime.errors import BenchError, ProcessError, SpinalError

Tell = Callable[[str], None]
SOAK_S, QUICK_SOAK_S = 42.0, 12.0
MOST_WINDOWS = 20
STARTS = 3
"""A robot that does not start in so many attempts is given up."""


@dataclass
class Found:
    """All rows, by family, and the soak that they are held against."""

    soak: soak.Soak
    families: list[tuple[str, list[Row]]] = field(default_factory=list)

    @property
    def rows(self) -> list[Row]:
        """Of all families."""
        return [row for _, rows in self.families for row in rows]


def chosen(names: Sequence[str], quick: bool) -> list[tuple[str, list[Fault]]]:
    """The faults of these names or families; all, or the quick ones, for none. Raises BenchError in one line."""
    known = {fault.name for faults in FAMILIES.values() for fault in faults}
    for name in names:
        if name not in known and name not in FAMILIES:
            near = get_close_matches(name, [*known, *FAMILIES], n=1)
            guess = f"did you mean {near[0]}? " if near else ""
            raise BenchError(f"{name} is no fault", f"{guess}spinal faults run --list names them all")
    found = []
    for family, faults in FAMILIES.items():
        wanted = [
            fault
            for fault in faults
            if fault.name in names or family in names or (not names and (fault.quick or not quick))
        ]
        if wanted:
            found.append((family, wanted))
    return found


def run(families: Sequence[tuple[str, Sequence[Fault]]], soak_s: float, tell: Tell, hear: Tell) -> Found:
    """Tries every fault. ``tell`` is told how far it is, ``hear`` what the robot says.

    Raises ProcessError when the robot does not start or never gets in order.
    """
    robots = Robots(hear)
    total = sum(len(faults) for _, faults in families)
    try:
        tell(f"a clean soak of {soak_s:.0f} s: what steps and missed ticks are without any fault")
        found = Found(soak.soak(robots.fresh(()), soak_s, tell))
        count = 0
        for family, faults in families:
            rows: list[Row] = []
            found.families.append((family, rows))
            for fault in faults:
                count += 1
                began_s = time.monotonic()
                row = try_fault(robots, fault, found.soak)
                row.family = family
                rows.append(row)
                verdict = f"skipped, {row.skipped}" if row.skipped else "safe" if row.safe else "NOT SAFE"
                tell(f"[{count}/{total}] {fault.name}: {verdict} ({time.monotonic() - began_s:.0f} s)")
        return found
    finally:
        robots.close()


class Robots:
    """The robot that is there now, and a fresh one when it is worn, broken, or another is needed."""

    def __init__(self, hear: Tell) -> None:
        self._hear = hear
        self._stack = ExitStack()
        self._robot: FaultRobot | None = None
        self._modules: tuple[tuple[str, str], ...] = ()

    def fit(self, fault: Fault) -> FaultRobot:
        """One that ``fault`` can be tried on."""
        robot = self._robot
        if robot is None or robot.worn or not robot.ok or fault.modules != self._modules:
            return self.fresh(fault.modules)
        try:
            robot.until_moving()
        except ProcessError as error:
            self._hear(f"started afresh: {error.message}")
            return self.fresh(fault.modules)
        return robot

    def fresh(self, modules: tuple[tuple[str, str], ...]) -> FaultRobot:
        """A new one, that has started."""
        for attempt in range(1, STARTS + 1):
            self.close()
            try:
                self._robot = self._stack.enter_context(fault_robot(self._hear, modules=dict(modules)))
            except ProcessError:
                if attempt == STARTS:
                    raise
            else:
                self._modules = modules
                return self._robot
        raise ValueError("no attempt was made")

    def close(self) -> None:
        """Ends the one that is there."""
        self._robot = None
        self._stack.close()


def judge_misses(row: Row) -> None:
    """Not safe when more ticks were missed behind the fault than in any window without it."""
    if row.misses is not None and row.misses["behind"] > row.misses["most"]:
        row.why.append(f"{row.misses['behind']:.0f} ticks missed behind it")
        row.safe = False


def try_fault(robots: Robots, fault: Fault, clean: soak.Soak) -> Row:
    """One row. A robot that breaks down in the middle is a row that is not safe, and the next gets a fresh one."""
    absent = fault.absent()
    if absent:
        return Row(fault.name, safe=False, what=fault.what, skipped=absent)
    robot = robots.fit(fault)
    try:
        row = _tried(robot, fault, clean)
    except SpinalError as error:
        robots.close()
        return Row(fault.name, safe=False, what=fault.what, why=[error.message], recovery="never")
    if row.recovery == "never":
        robots.close()
    return row


def _tried(robot: FaultRobot, fault: Fault, clean: soak.Soak) -> Row:
    """Up to ``trial.TRIES`` times while the machine itself stands still in between and the row is not safe."""
    for attempt in range(1, trial.TRIES + 1):
        evidence = trial.cause(robot, fault)
        row = judge(evidence, clean.clean_steps)
        row.tries = attempt
        if fault.counts_misses:
            row.misses = trial.misses(robot, evidence, clean.windows[:MOST_WINDOWS])
            judge_misses(row)
        if (
            row.safe
            or row.recovery == "never"
            or row.stall_ms < trial.STALL_MS
            or fault.starves
            or not robot.ok
        ):
            break
    return row
