"""What ``spinal check`` finds: robot file, policy card and model, ports, bus budgets.

It looks at ports without opening them, so it can run beside a robot that moves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from spinal.drivers.ports import PortFacts, port_facts, serial_ports
from spinal.runtime.config.budget import CYCLES, BusBudget, budget_problems, bus_budget
from spinal.runtime.config.card import PolicyCard
from spinal.runtime.config.card.beside import BesideCard, read_beside
from spinal.runtime.config.card.detector import DetectorCard, hold_problems
from spinal.runtime.config.card.examine import examine_policy
from spinal.runtime.config.card.residual import ResidualCard
from spinal.runtime.config.cross import did_you_mean
from spinal.runtime.config.load import load_robot
from spinal.runtime.config.match import CardMatch, match_beside, match_card
from spinal.runtime.config.robot import RobotConfig
from spinal.runtime.errors import Problem

if TYPE_CHECKING:
    from spinal.runtime.cli.check_fence import FenceFacts


BESIDE: dict[str, type[BesideCard]] = {"residual": ResidualCard, "detector": DetectorCard}
"""Section of [policy]: the card of its model."""


@dataclass(slots=True)
class CheckReport:
    """What ``spinal check`` found; the robot is fit to run when ``problems`` is empty."""

    robot: RobotConfig
    card: PolicyCard | None = None
    match: CardMatch | None = None
    beside: dict[str, BesideCard] = field(default_factory=dict)
    """What runs beside the policy, by its section."""
    ports: dict[str, PortFacts] = field(default_factory=dict)
    budgets: dict[str, BusBudget] = field(default_factory=dict)
    fence: FenceFacts | None = None
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)


def examine(path: str) -> CheckReport:
    """Everything about the robot at ``path``. Raises ``ConfigError`` when the robot file itself is wrong."""
    report = CheckReport(load_robot(path))
    _examine_policy(report)
    _examine_beside(report)
    for name in report.robot.buses:
        _examine_bus(report, name)
    if report.robot.fence is not None:
        from spinal.runtime.cli.check_fence import (
            fence_facts,
        )  # needs numpy, which a file without one does not

        report.fence = fence_facts(report.robot)
        report.warnings += report.fence.warnings() if report.fence else []
    problems, warnings = budget_problems(report.robot)
    report.problems += problems
    report.warnings += warnings
    return report


def as_json(report: CheckReport, path: str) -> dict[str, Any]:
    """The report for machines; keys are stable, and more may be added."""
    robot, card = report.robot, report.card
    return {
        "ok": not report.problems,
        "file": path,
        "robot": robot.name,
        "servo_hz": robot.control.servo_hz,
        "realtime": robot.control.realtime,
        "joints": [
            {
                "name": joint.name,
                "kind": joint.kind,
                "unit": joint.unit,
                "bus": joint.bus,
                "id": joint.id,
                "limits": joint.limits.model_dump(),
                "time_to_rest_s": joint.time_to_rest_s,
                "emergency_time_to_rest_s": joint.emergency_time_to_rest_s,
            }
            for joint in robot.joints
        ],
        "buses": [_bus_json(report, name) for name in robot.buses],
        "fence": report.fence and report.fence.as_json(),
        "policy": card
        and {
            "name": card.name,
            "version": card.version,
            "sha256": card.sha256,
            "steps": card.chunk.steps,
            "step_ms": card.chunk.step_ms,
            "hz": robot.policy.hz if robot.policy else None,
        },
        "beside": {
            section: {"name": card.name, "version": card.version, "sha256": card.sha256}
            for section, card in report.beside.items()
        },
        "problems": dicts(report.problems),
        "warnings": dicts(report.warnings),
    }


def _examine_policy(report: CheckReport) -> None:
    policy = report.robot.policy
    if policy is None:
        return
    found = examine_policy(policy.model)
    report.problems += [Problem(f"policy.model: {p.path}", p.message, p.hint) for p in found.problems]
    report.warnings += [Problem(f"policy.model: {p.path}", p.message, p.hint) for p in found.warnings]
    report.card = found.file.card
    if report.card is None:
        return
    report.match = match_card(report.card, report.robot)
    report.problems += report.match.problems
    report.warnings += report.match.warnings


def _examine_beside(report: CheckReport) -> None:
    """The models that run beside the policy: what is wrong with them, and with them on this robot."""
    policy = report.robot.policy
    if policy is None:
        return
    for section, kind in BESIDE.items():
        settings = getattr(policy, section)
        if settings is None:
            continue
        found = read_beside(settings.model, kind)
        problems = list(found.problems)
        if found.card is not None:
            match = match_beside(found.card, report.robot)
            problems += match.problems
            report.warnings += match.warnings
            report.beside[section] = found.card
        report.problems += [Problem(f"policy.{section}.model: {p.path}", p.message, p.hint) for p in problems]
    report.problems += hold_problems(report.robot, report.beside.get("detector"))
    base = report.beside.get("residual")
    if isinstance(base, ResidualCard) and report.card is not None:
        own = base.misfit(report.card)
        if own is not None:
            hint = "it corrects nothing here: take the one that was trained beside this policy"
            report.problems.append(Problem("policy.residual.model", own, hint))


def _examine_bus(report: CheckReport, name: str) -> None:
    settings = report.robot.buses[name]
    drivers = {*CYCLES, *(entry.name for entry in entry_points(group="spinal.drivers"))}
    if settings.protocol not in drivers:
        hint = did_you_mean(settings.protocol, drivers, "the drivers here are")
        report.problems.append(
            Problem(f"buses.{name}.protocol", f'has no driver: "{settings.protocol}"', hint)
        )
    budget = bus_budget(report.robot, name)
    if budget:
        report.budgets[name] = budget
    elif settings.protocol in drivers:
        said = f"has no known bus budget for {settings.protocol}"
        report.warnings.append(Problem(f"buses.{name}", said, "watch the measured cycle time when it runs"))
    if not settings.simulated:
        report.ports[name] = port_facts(settings.port)
        report.problems += _port_problems(f"buses.{name}.port", report.ports[name])


def _port_problems(path: str, port: PortFacts) -> list[Problem]:
    if not port.exists:
        ports = ", ".join(f"{device} ({text})" for device, text in serial_ports().items())
        hint = f"ports here: {ports}" if ports else "plug the adapter in; this machine has no serial port"
        return [Problem(path, f"is not there: {port.path}", hint)]
    if not port.is_terminal:
        return [Problem(path, f"is not a serial port: {port.path}", "name a device such as /dev/ttyACM0")]
    if not port.may_use:
        hint = f"sudo usermod -aG {port.group or 'dialout'} $USER, then log in again"
        return [Problem(path, f"may not be used by this user: {port.path}", hint)]
    return [
        Problem(
            path, f"is in use by {holder.command} (pid {holder.pid}): {port.path}", "end that program first"
        )
        for holder in port.holders
    ]


def _bus_json(report: CheckReport, name: str) -> dict[str, Any]:
    settings, budget, port = report.robot.buses[name], report.budgets.get(name), report.ports.get(name)
    return {
        "name": name,
        "protocol": settings.protocol,
        "port": settings.port,
        "baud": settings.baud,
        "budget": budget
        and {
            "period_us": budget.period_us,
            "read_us": budget.read_us,
            "write_us": budget.write_us,
            "gap_us": budget.gap_us,
            "cycle_us": budget.cycle_us,
            "share": budget.share,
            "verdict": budget.verdict,
            "health_bytes": budget.health_bytes,
            "health_us": budget.health_us,
            "health_every": budget.health_every,
            "health_turn_s": budget.health_turn_s,
        },
        "port_holders": [holder.pid for holder in port.holders] if port else [],
    }


def dicts(problems: Sequence[Problem]) -> list[dict[str, str]]:
    """Problems for machines."""
    return [{"path": p.path, "message": p.message, "hint": p.hint} for p in problems]
