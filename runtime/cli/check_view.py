"""How ``spinal check`` looks to a person: one table of joints, one of buses, a line about the policy."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from spinal.runtime.cli.check_report import CheckReport
from spinal.runtime.config.budget import BusBudget
from spinal.runtime.config.joints import ArmJoint, Joint

_VERDICT_STYLE = {"fits": "green", "tight": "yellow", "over": "red"}

_FILE_WIDTH = 120
"""Columns when the output goes to a file or a pipe, where nothing should be cut."""


def show(report: CheckReport, path: str, console: Console | None = None) -> None:
    """Prints the report without its problems, which belong on stderr."""
    out = to_console(console)
    robot = report.robot
    out.print(Text.assemble((robot.name, "bold"), f"  {robot.description}  ", (path, "dim")))
    out.print(f"servo {robot.control.servo_hz} Hz, real-time permissions: {robot.control.realtime}")
    out.print(_policy_line(report))
    for line in _beside_lines(report):
        out.print(line)
    out.print()
    out.print(_joints(report))
    out.print(Text("rest: from full speed inside the limits; brake: with the emergency limits", "dim"))
    out.print()
    out.print(_buses(report))
    out.print()
    for line in (
        report.fence.lines() if report.fence else ["fence: none, the arm may go wherever its joints reach"]
    ):
        out.print(line)
    out.print()
    for warning in report.warnings:
        out.print(Text.assemble(("warning: ", "yellow"), str(warning)))
    if not report.problems:
        out.print(Text.assemble(("ok: ", "green"), f"nothing was moved. next: spinal run {path}"))


def to_console(console: Console | None = None) -> Console:
    """``console``, or stdout, which takes text as it is; wide where nothing should be cut."""
    out = console or Console(highlight=False, soft_wrap=True, markup=False, emoji=False)
    if not out.is_terminal:
        out.width = _FILE_WIDTH
    return out


def _policy_line(report: CheckReport) -> str:
    policy, card = report.robot.policy, report.card
    if policy is None:
        return "policy: none, the robot follows a planner's chunks"
    if card is None or any(problem.path.startswith("policy.model") for problem in report.problems):
        return f"policy: {policy.model} cannot be used, see below"
    chunk = f"{card.chunk.steps} steps of {card.chunk.step_ms:g} ms"
    digest = (card.sha256 or "")[:12]
    return f"policy {card.name} {card.version}: {policy.hz} Hz, chunks of {chunk}, sha256 {digest}"


def _beside_lines(report: CheckReport) -> list[str]:
    """What runs beside the policy, a line each."""
    policy = report.robot.policy
    if policy is None:
        return []
    lines = []
    for section, card in report.beside.items():
        how = ""
        if section == "residual" and policy.residual is not None:
            often = f"{policy.residual.hz} Hz" if policy.residual.hz else "for each answer"
            how = f"{often}, at most {policy.residual.max_share:g} of a period's travel"
        elif policy.detector is not None:
            hold = policy.detector.hold_on
            how = f"holds on {', '.join(hold)}" if hold else "looks on"
        lines.append(f"{section} {card.name} {card.version}: {how}")
    return lines


def _joints(report: CheckReport) -> Table:
    table = table_of("joint", "motor", "range", "speed", "accel.", "jerk", "torque", "rest", "brake", "card")
    differences = {row.index: row.difference for row in report.match.joints} if report.match else {}
    for index, joint in enumerate(report.robot.joints):
        difference = differences.get(index)
        matched = "" if difference is None else Text(difference or "same", "red" if difference else "green")
        table.add_row(*_joint_cells(joint), matched)
    return table


def _joint_cells(joint: Joint) -> list[str]:
    limits = joint.limits
    span = f"{limits.position_min:g}..{limits.position_max:g} {joint.unit}"
    cells = [joint.name, f"{joint.bus}:{joint.id}", span, f"{limits.velocity:g}/s"]
    torque = f"{100 * limits.torque_fraction:.0f} %"
    if not isinstance(joint, ArmJoint):
        return [*cells, "", "", torque, "", ""]
    seconds = (joint.time_to_rest_s, joint.emergency_time_to_rest_s)
    rest = [f"{1000 * time_s:.0f} ms" for time_s in seconds]
    return [*cells, f"{joint.limits.acceleration:g}/s²", f"{joint.limits.jerk:g}/s³", torque, *rest]


def _buses(report: CheckReport) -> Table:
    table = table_of(
        "bus", "driver", "port", "baud", "read us", "write us", "gaps us", "cycle us", "of tick", "health"
    )
    for name, settings in report.robot.buses.items():
        cells = [name, settings.protocol, settings.port, str(settings.baud)]
        budget = report.budgets.get(name)
        if budget:
            cells += [f"{us:.0f}" for us in (budget.read_us, budget.write_us, budget.gap_us, budget.cycle_us)]
            share = Text(f"{100 * budget.share:.0f} %", _VERDICT_STYLE[budget.verdict])
            table.add_row(*cells, share, _health(budget))
        else:
            table.add_row(*cells, "", "", "", "", "not known", "")
    return table


def _health(budget: BusBudget) -> str:
    """Bytes that asking a motor about itself adds to a cycle, and in which."""
    if not budget.health_every:
        return "no room"
    often = "each cycle" if budget.health_every == 1 else f"1 in {budget.health_every}"
    return f"+{budget.health_bytes} B, {often}"


def table_of(*headings: str) -> Table:
    """A plain table of ours; the first column is left-aligned."""
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    for index, heading in enumerate(headings):
        table.add_column(heading, justify="left" if index == 0 else "right", no_wrap=True)
    return table
