"""What ``spinal policy show`` and ``check`` find, for machines. Keys are stable, and more may be added."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from spinal.runtime.cli.check_report import dicts
from spinal.runtime.config.card import PolicyCard
from spinal.runtime.config.card.examine import Examination, examine_policy
from spinal.runtime.config.load import load_robot
from spinal.runtime.config.match import CardMatch, match_card
from spinal.runtime.config.onnx_graph import ModelGraph, ModelTensor
from spinal.runtime.config.robot import RobotConfig
from spinal.runtime.errors import Problem


@dataclass(frozen=True, slots=True)
class PolicyReport:
    """A policy, and how it fits a robot where one is given; it is fit to run when ``problems`` is empty."""

    found: Examination
    robot: RobotConfig | None
    match: CardMatch | None
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]


def report_of(model: str, robot: str | None = None) -> PolicyReport:
    """Everything about ``model``. Raises ``ConfigError`` when the robot file itself is wrong."""
    found = examine_policy(model)
    card, config = found.file.card, load_robot(robot) if robot else None
    match = match_card(card, config) if card and config else None
    return PolicyReport(
        found,
        config,
        match,
        (*found.problems, *(match.problems if match else ())),
        (*found.warnings, *(match.warnings if match else ())),
    )


def as_json(report: PolicyReport, model: str) -> dict[str, Any]:
    """The report for machines."""
    found, file = report.found, report.found.file
    facts, exported = file.facts, found.exported
    return {
        "ok": not report.problems,
        "file": model,
        "size_bytes": facts.size_bytes,
        "sha256": facts.sha256,
        "content_sha256": facts.content_sha256,
        "card_from": file.source or None,
        "card": file.card and card_dict(file.card),
        "model": facts.graph and _graph(facts.graph),
        "encoder": found.encoder and found.encoder.graph and _graph(found.encoder.graph),
        "exporter": exported
        and {
            "joints": [
                {
                    "name": joint.name,
                    "default_position": joint.default_position,
                    "stiffness": joint.stiffness,
                    "damping": joint.damping,
                    "action_scale": joint.action_scale,
                }
                for joint in exported.joints
            ],
            "unassigned": {word: exported.lists[word] for word in exported.unassigned},
            "observations": exported.observations,
            "commands": exported.commands,
            "bodies": exported.bodies,
            **exported.words,
        },
        "robot": report.robot and report.robot.name,
        "joints": report.match
        and [
            {"card": row.card, "robot": row.robot, "difference": row.difference}
            for row in report.match.joints
        ],
        "problems": dicts(report.problems),
        "warnings": dicts(report.warnings),
    }


def card_dict(card: PolicyCard) -> dict[str, Any]:
    """What the card says, without defaults."""
    return card.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def _graph(graph: ModelGraph) -> dict[str, Any]:
    return {
        "producer": graph.producer,
        "ir_version": graph.ir_version,
        "opsets": graph.opsets,
        "operators": graph.operators,
        "inputs": [_tensor(tensor) for tensor in graph.inputs],
        "outputs": [_tensor(tensor) for tensor in graph.outputs],
        "metadata": sorted(graph.metadata),
    }


def _tensor(tensor: ModelTensor) -> dict[str, Any]:
    return {"name": tensor.name, "dtype": tensor.dtype, "shape": tensor.shape}
