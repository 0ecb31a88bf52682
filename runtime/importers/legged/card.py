"""A walking policy's files as a card: terms -> parts, one action a step, gains and default pose with its joints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from spinal.runtime.errors import ConfigError, Problem
from spinal.runtime.importers.draft import Draft, policy_name
from spinal.runtime.importers.joints import renamed
from spinal.runtime.importers.legged.deploy import read_deploy
from spinal.runtime.importers.legged.metadata import read_metadata
from spinal.runtime.importers.legged.recipe import Numbers, Recipe, Term, over, spread
from spinal.runtime.importers.legged.terms import part_of, sources_of
from spinal.runtime.importers.onnx_file import OnnxFile, read_onnx
from spinal.runtime.importers.source import refusal

REPEAT = 4
"""Steps that an action stands for when the next answer is late: what a spline needs (``actions.MIN_STEPS``)."""
RECURRENT = (("h_in", "h_out"), ("c_in", "c_out"))
"""rsl_rl's names of the state that a recurrent network hands to itself."""
FARTHEST = 12.6
"""rad: bounds of a target beyond two turns bind no leg."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What a person said beside the files."""

    joints: tuple[str, ...] | None = None
    """The robot's joints in the policy's order, where no file has names."""
    driven: tuple[str, ...] | None = None
    renames: Mapping[str, str] = field(default_factory=dict)
    terms: Mapping[str, str] = field(default_factory=dict)
    """term -> stream of a card"""
    scales: Mapping[str, float] = field(default_factory=dict)
    """term -> scale, for files that do not say it"""
    histories: Mapping[str, int] = field(default_factory=dict)
    default: Numbers | None = None
    action_scale: Numbers | None = None
    step_ms: float | None = None
    base: str = "base"
    without_clip: bool = False
    robot: str | None = None
    name: str | None = None


def read_legged(model: Path, deploy: Path | None, answers: Answers) -> tuple[Draft, Recipe]:
    """The draft of ``model`` with what its metadata and ``deploy`` say. Raises ConfigError with every problem."""
    onnx = read_onnx(model)
    output, actions = _output(onnx)
    inside = read_metadata(onnx.metadata, actions, model.name, answers.driven)
    beside = read_deploy(deploy, actions) if deploy is not None else Recipe(source="")
    recipe = _completed(over(beside, inside), answers, actions, model)
    names, problems = renamed(recipe.joints or (), answers.renames)
    if problems:
        raise ConfigError(problems, str(model))
    draft = Draft(policy_name(answers.name or model.stem, str(model)), recipe.source or model.name, {})
    draft.tables = {
        "schema": 1,
        "name": draft.name,
        "version": "imported",
        "representation": "absolute",
        "chunk": {"steps": 1, "repeat": REPEAT, "step_ms": recipe.step_ms},
        "joints": _joints(names, recipe),
        "inputs": _inputs(onnx, recipe, answers, actions),
        "output": {
            "name": output,
            "shape": list(onnx.outputs[output]),
            "normalise": {
                "mode": "scale",
                "scale": list(recipe.action_scale or ()),
                "offset": list(recipe.action_offset or recipe.default or ()),
            },
        },
    }
    if answers.robot is not None:
        draft.tables["robot"] = answers.robot
    handed = [pair for pair in RECURRENT if pair[0] in onnx.inputs and pair[1] in onnx.outputs]
    if handed:
        draft.tables["recurrent"] = [{"output": out, "input": into} for into, out in handed]
    draft.files[draft.model] = onnx.data
    draft.notes += recipe.notes
    return draft, recipe


def _output(onnx: OnnxFile) -> tuple[str, int]:
    """The tensor of actions, and how many there are."""
    recurrent = {out for _, out in RECURRENT}
    found = [name for name in onnx.outputs if name not in recurrent]
    if "actions" in found:
        found = ["actions"]
    if "time_step" in onnx.inputs or len(found) != 1:
        said = f"has inputs {', '.join(onnx.inputs)} and outputs {', '.join(onnx.outputs)}"
        hint = "one output of actions is expected; motion tracking (time_step) has its reference in the graph"
        raise refusal(onnx.path, "the model", said, hint)
    shape = onnx.outputs[found[0]]
    if len(shape) != 2 or shape[0] != 1:
        raise refusal(onnx.path, found[0], f"has the shape {list(shape)}", "[1, actions] is expected")
    return found[0], shape[1]


def _completed(recipe: Recipe, answers: Answers, actions: int, model: Path) -> Recipe:
    """With the answers over it, and nothing missing. Raises ConfigError with everything that is."""
    given = Recipe(
        source="",
        joints=answers.joints,
        default=answers.default,
        action_scale=answers.action_scale,
        step_ms=answers.step_ms,
    )
    recipe = over(given, recipe)
    if recipe.action_clip is not None:
        if min(map(abs, recipe.action_clip)) < FARTHEST and not answers.without_clip:
            said = f"is {list(recipe.action_clip)}: bounds of the targets, which a card does not have"
            hint = "write them into the robot file's limits, and say --without-clip"
            raise refusal(model, "actions clip", said, hint)
        note = f"the action's clip {list(recipe.action_clip)} is left out: the robot file's limits hold"
        recipe = replace(recipe, action_clip=None, notes=(*recipe.notes, note))
    if recipe.terms is not None:
        recipe = replace(recipe, terms=tuple(_answered(term, answers) for term in recipe.terms))
    wanted = {
        "joints": "--joints NAME,NAME,... in the policy's order",
        "default": "--default-pos RAD,RAD,...",
        "action_scale": "--action-scale NUMBER or one a joint",
        "terms": "give params/deploy.yaml: --deploy FILE",
        "step_ms": "--step-ms 20",
    }
    problems = [
        Problem(word.replace("_", " "), "is in no file", hint)
        for word, hint in wanted.items()
        if getattr(recipe, word) is None
    ]
    if recipe.action_scale is not None:
        recipe = replace(recipe, action_scale=spread(recipe.action_scale, actions) or recipe.action_scale)
    for word in ("joints", "default", "action_scale", "action_offset", "stiffness", "damping"):
        values = getattr(recipe, word)
        if values is not None and len(values) != actions:
            said = f"has {len(values)} entries, and the model answers {actions}"
            problems.append(
                Problem(word.replace("_", " "), said, "one for each action, in the policy's order")
            )
    if problems:
        raise ConfigError(problems, str(model))
    return recipe


def _answered(term: Term, answers: Answers) -> Term:
    scale = answers.scales.get(term.name)
    past = answers.histories.get(term.name)
    return replace(
        term, scale=term.scale if scale is None else (scale,), history=term.history if past is None else past
    )


def _joints(names: Sequence[str], recipe: Recipe) -> list[dict[str, Any]]:
    rows = []
    for index, name in enumerate(names):
        row: dict[str, Any] = {"name": name, "kind": "arm", "unit": "rad"}
        for word, values in (
            ("default_position", recipe.default),
            ("stiffness", recipe.stiffness),
            ("damping", recipe.damping),
        ):
            if values is not None:
                row[word] = values[index]
        rows.append(row)
    return rows


def _inputs(onnx: OnnxFile, recipe: Recipe, answers: Answers, actions: int) -> list[dict[str, Any]]:
    """The observation, of parts, and the states that a recurrent network hands to itself."""
    handed = dict(RECURRENT)
    observed = [name for name in onnx.inputs if name not in handed]
    terms = recipe.terms or ()
    if len(observed) != 1 or len(onnx.inputs[observed[0]]) != 2:
        said = f"has inputs {', '.join(onnx.inputs)}"
        raise refusal(onnx.path, "the model", said, "one observation [1, numbers] is expected")
    where = f"the observation of {onnx.path.name}"
    rows = [
        part_of(term, source, actions, answers.base, where)
        for term, source in zip(terms, sources_of(terms, answers.terms, where), strict=True)
    ]
    total, wanted = sum(size for _, size in rows), onnx.inputs[observed[0]][1]
    if total != wanted:
        listed = ", ".join(f"{term.name} {size}" for term, (_, size) in zip(terms, rows, strict=True))
        said = f"takes {wanted} numbers, and the terms give {total}: {listed}"
        hint = "histories that no file says: --history TERM=N; the stream of a term: --term NAME=STREAM"
        raise refusal(onnx.path, observed[0], said, hint)
    inputs: list[dict[str, Any]] = [
        {"name": observed[0], "shape": [1, wanted], "parts": [part for part, _ in rows]}
    ]
    inputs += [
        {"name": name, "shape": list(shape), "stream": f"recurrent:{handed[name]}"}
        for name, shape in onnx.inputs.items()
        if name in handed
    ]
    return inputs
