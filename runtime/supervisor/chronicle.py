"""Writes a running robot's events into its journal: whatever changed since the last look.

Call ``watch`` every 10 to 20 ms, beside ``Supervisor.watch``. Changes of mode are kept by the loop in a mailbox of
64, so none is lost between two looks; everything else is compared with how it was.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from spinal.native import layout
from spinal.native.guard import TakeOver
from spinal.native.loop import edges, mode_name
from spinal.runtime.config.robot import RobotConfig
from spinal.runtime.segments import (
    LINK_ORDER,
    POLICY_REPORT,
    OrderReader,
    ReportReader,
    Transition,
    TransitionReader,
    Writer,
)
from spinal.runtime.supervisor.journal import Journal
from spinal.runtime.supervisor.latch import Latch
from spinal.runtime.supervisor.supervisor import Supervisor

EDGES = edges()


class Chronicle:
    """Of a started ``supervisor``. One thread."""

    def __init__(self, supervisor: Supervisor, journal: Journal) -> None:
        self._journal = journal
        self._robot = supervisor.robot
        self._children = supervisor.children
        self._stops = supervisor.stops
        self._supervisor = supervisor
        controller = supervisor.reader(Writer.CONTROLLER)
        self._transitions = TransitionReader(controller)
        self._orders = OrderReader(supervisor.reader(Writer.LINK), LINK_ORDER)
        self._lives: dict[str, tuple[int, int]] = {}
        self._pressed: dict[str, int] = {}
        self._guarded: TakeOver | None = None
        self._latch: Latch | None = None
        self._arming = 0
        self._speed = 1.0
        self._policy = ReportReader(supervisor.reader(Writer.POLICY), POLICY_REPORT)
        self._policy_seen = 0
        self._blind: Any = None
        self._verdict = ""
        self._exchange: tuple[int, str] = (0, "")
        self._complaint: str | None = None
        self.since_ns = 0
        """When the loop took the mode that it is in; 0: it has not begun."""

    def watch(self) -> None:
        """Writes what is new."""
        for change in self._transitions.take():
            self.since_ns = change.tick_ns
            self._journal.write("mode", change.tick_ns, **in_words(change, self._robot))
        self._watch_guard()
        self._watch_children()
        self._watch_stops()
        self._watch_latches()
        self._watch_orders()
        self._watch_policy()

    def _watch_children(self) -> None:
        for name, child in self._children.items():
            pid = child.process.pid if child.process is not None else 0
            deaths, before = self._lives.get(name, (0, 0))
            if child.deaths > deaths:
                end = "given up" if child.given_up else "dead"
                self._journal.write("process", name=name, what=end, pid=before, why=child.last_words)
            if pid and pid != before:
                self._journal.write("process", name=name, what="started", pid=pid, why="")
            self._lives[name] = child.deaths, pid

    def _watch_guard(self) -> None:
        """A take-over is told when the guard begins, and again with its end."""
        now, before = self._supervisor.bus.taken_over, self._guarded
        begins = now is not None and (before is None or before.detected_ns != now.detected_ns)
        if now is not None and begins:
            self._journal.write("guard", now.detected_ns, what="took over", why=now.cause)
        if (
            now is not None
            and now.outcome is not None
            and (begins or before is None or before.outcome is None)
        ):
            self._journal.write(
                "guard", what=now.outcome, why="", frames=now.frames, took_ms=milliseconds(now)
            )
        self._guarded = now

    def _watch_stops(self) -> None:
        now = {pressed.name: pressed for pressed in self._stops.pressed()}
        for name, pressed in now.items():
            if name not in self._pressed:
                self._journal.write("stop_line", pressed.since_ns, name=name, what="pressed", why=pressed.why)
        for name in self._pressed.keys() - now.keys():
            self._journal.write("stop_line", name=name, what="released", why="")
        self._pressed = {name: pressed.since_ns for name, pressed in now.items()}

    def _watch_latches(self) -> None:
        now, before = self._supervisor.latch, self._latch
        if now is not None and now != before:
            names = _names(now.conditions)
            self._journal.write("latched", now.since_ns, names=names, why=now.cause, final=now.final)
        elif now is None and before is not None:
            self._journal.write("unlatched", names=_names(before.conditions), why=before.cause)
        self._latch = now

    def _watch_orders(self) -> None:
        order = self._orders.read()
        if order is None:
            return
        if order.arming != self._arming:
            self._journal.write(
                "arming", order.stamp_ns, count=order.arming, why="a person asks to arm again"
            )
        if order.speed != self._speed:
            self._journal.write("speed", order.stamp_ns, percent=round(100 * order.speed, 1))
        self._arming, self._speed = order.arming, order.speed

    def _watch_policy(self) -> None:
        """Exchanges of models, and what the policy complains of: each once, when it begins."""
        if self._policy.latest == self._policy_seen:
            return
        self._policy_seen = self._policy.latest
        report = self._policy.read()
        told = report.get("exchange", {})
        state = (told.get("number", 0), told.get("status", ""))
        if state != self._exchange and state[0]:
            self._journal.write("policy", policy=report["policy"], **told)
        blind = report.get("ab")
        if blind is not None and blind != self._blind:
            self._journal.write("ab", **blind)
        self._blind = blind
        self._watch_detector(report.get("detector") or {})
        complaint = report.get("complaint")
        if complaint and _kind(complaint) != _kind(self._complaint or ""):
            self._journal.write("complaint", process="policy", why=complaint)
        self._exchange, self._complaint = state, complaint

    def _watch_detector(self, told: Mapping[str, Any]) -> None:
        """A verdict, once: when it changes."""
        label = told.get("label", "")
        if label != self._verdict:
            since_ns = told["since_ns"]
            share, holds = told["probability"], told["holds"]
            self._journal.write(
                "verdict", since_ns, label=label, before=self._verdict, probability=share, holds=holds
            )
        self._verdict = label


def _kind(words: str) -> str:
    """Without its numbers: a complaint that counts on is one complaint."""
    return re.sub(r"\d+", "", words)


def in_words(change: Transition, robot: RobotConfig) -> Mapping[str, Any]:
    """A change of mode: its edge, both modes, the cause, and the joint that it is about ("" for none)."""
    _, _, edge, when, _ = EDGES[change.edge]
    # What newly asks for the edge; else what asked for it all along, in a mode that did not heed it.
    cause = change.risen & when or change.conditions & when
    return {
        "edge": edge,
        "from": mode_name(change.before),
        "to": mode_name(change.after),
        "names": _names(cause),
        "why": causes(cause),
        "joint": robot.joints[change.joint].name if cause and 0 <= change.joint < len(robot.joints) else "",
        "tick": change.tick,
    }


def milliseconds(deed: TakeOver) -> dict[str, float | None]:
    """From what the guard noticed to each of its steps; None for one that did not come."""
    steps = {"dead": deed.dead_ns, "braking": deed.first_brake_ns, "at rest": deed.at_rest_ns}
    return {
        name: round((at_ns - deed.detected_ns) / 1e6, 3) if at_ns else None for name, at_ns in steps.items()
    }


def causes(conditions: int) -> str:
    """Conditions in words, for people."""
    return ", ".join(words for bit, words in layout.CONDITIONS.items() if conditions & bit)


def _names(conditions: int) -> list[str]:
    return [(bit.name or "").lower() for bit in layout.Condition if conditions & bit]
