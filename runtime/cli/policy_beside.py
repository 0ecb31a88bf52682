"""``spinal policy show`` and ``check`` of a model that runs beside a policy: a residual or a detector."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from rich.text import Text

from spinal.runtime.cli.check_report import BESIDE, dicts
from spinal.runtime.cli.check_view import to_console
from spinal.runtime.cli.policy_view import file_line, input_table, joint_table
from spinal.runtime.config.card.beside import BesideCard, BesideFile, kind_of, read_beside
from spinal.runtime.config.card.detector import DetectorCard
from spinal.runtime.config.card.residual import ResidualCard
from spinal.runtime.config.load import load_robot
from spinal.runtime.config.match import CardMatch, match_beside
from spinal.runtime.config.model_file import printable
from spinal.runtime.config.robot import RobotConfig
from spinal.runtime.errors import ConfigError, Problem


@dataclass(frozen=True, slots=True)
class BesideReport:
    """A model beside a policy, and how it fits a robot where one is given."""

    kind: str
    found: BesideFile
    robot: RobotConfig | None
    match: CardMatch | None

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What refuses it."""
        return (*self.found.problems, *(self.match.problems if self.match else ()))

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """What does not."""
        return self.match.warnings if self.match else ()


def beside_report(model: str, robot: str | None = None) -> BesideReport | None:
    """Of ``model``; None for a policy. Raises ConfigError when the robot file itself is wrong."""
    kind = kind_of(model)
    if kind not in BESIDE:
        return None
    found, config = read_beside(model, BESIDE[kind]), load_robot(robot) if robot else None
    match = match_beside(found.card, config) if found.card and config else None
    return BesideReport(kind, found, config, match)


def check(report: BesideReport, model: str, robot: str | None, as_json: bool) -> int:
    """Prints it: 0, or 2 with every problem."""
    if as_json:
        print(json.dumps(_dict(report, model)))
        return ConfigError.exit_code if report.problems else 0
    show(report, model)
    if report.problems:
        again = f"spinal policy check {model}" + (f" --robot {robot}" if robot else "")
        raise ConfigError(report.problems, model, f"correct this and run: {again}")
    fits = f", and it fits {report.robot.name}" if report.robot else ""
    ok = Text.assemble(("ok: ", "green"), f"model and card agree{fits}. {_where(report.kind)}")
    to_console().print(ok)
    return 0


def show(report: BesideReport, model: str, as_json: bool = False) -> int:
    """Prints what it eats and answers; 0 also where it has problems."""
    if as_json:
        print(json.dumps(_dict(report, model)))
        return 0
    out, card = to_console(), report.found.card
    if card is None:
        out.print(Text.assemble((report.found.path.name, "bold"), f"  a {report.kind}  ", (model, "dim")))
        return 0
    out.print(Text.assemble((f"{card.name} {card.version}", "bold"), f"  a {report.kind}  ", (model, "dim")))
    for line in _answers(card):
        out.print(line)
    out.print(file_line("model", report.found.facts))
    out.print(f"card from {report.found.source}")
    out.print()
    input_table(out, card.inputs)
    if card.joints:
        out.print()
        joint_table(out, card.joints, report.match)
    out.print()
    for warning in report.warnings:
        out.print(Text.assemble(("warning: ", "yellow"), str(warning)))
    return 0


def _answers(card: BesideCard) -> list[str]:
    name, shape, dtype = card.output_tensor
    lines = [f"output {printable(name)} {dtype} {list(shape)}"]
    if isinstance(card, ResidualCard):
        beside = f"beside {card.base}" if card.base else "beside any policy"
        lines.insert(0, f"corrects {', '.join(card.names)}, {beside} with steps of {card.step_ms:g} ms")
    if isinstance(card, DetectorCard):
        thresholds = card.thresholds * (len(card.labels) if len(card.thresholds) == 1 else 1)
        words = (f"{label} from {least:g}" for label, least in zip(card.labels, thresholds, strict=True))
        lines.insert(0, f"sees {', '.join(words)}; changes after {card.patience_ms:g} ms")
    if card.inference_ms is not None:
        lines.append(f"an inference takes {card.inference_ms:g} ms where it was measured")
    return lines


def _where(kind: str) -> str:
    return f"[policy.{kind}] of a robot file takes it"


def _dict(report: BesideReport, model: str) -> dict[str, Any]:
    found, card = report.found, report.found.card
    return {
        "ok": not report.problems,
        "file": model,
        "kind": report.kind,
        "size_bytes": found.facts.size_bytes,
        "sha256": found.facts.sha256,
        "card_from": found.source or None,
        "card": card and card.model_dump(mode="json", by_alias=True, exclude_defaults=True),
        "robot": report.robot and report.robot.name,
        "problems": dicts(report.problems),
        "warnings": dicts(report.warnings),
    }
