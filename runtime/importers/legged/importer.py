"""``import legged``: the draft, and our observation against the exporter's own assembly, written out once more."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinal.runtime.errors import PolicyError
from spinal.runtime.importers.draft import Draft
from spinal.runtime.importers.legged.card import Answers, read_legged
from spinal.runtime.importers.legged.recipe import Recipe
from spinal.runtime.importers.legged.terms import sources_of
from spinal.runtime.importers.ours import OurPath, observation
from spinal.runtime.importers.verify import Verification, compare
from spinal.runtime.policy.fill.sources import FIELDS
from spinal.runtime.types import Goal, Observation, StreamValue

Array = NDArray[np.float64]


def import_legged(model: Path, deploy: Path | None, answers: Answers) -> tuple[Draft, list[Verification]]:
    """The verified draft. Raises ConfigError, PolicyError; nothing is written."""
    draft, recipe = read_legged(model, deploy, answers)
    path = OurPath(draft)
    walker = _Walker(recipe, answers, path, model.name)
    seen = compare(
        "fill",
        "the exporter's assembly of its terms",
        walker.run(),
        walker.ours_observed,
        walker.theirs_observed,
    )
    meant = compare(
        "onnxruntime and meaning",
        "offset + scale * action",
        walker.run(),
        walker.ours_targets,
        walker.theirs_targets,
    )
    draft.notes.append(
        "the robot must stand in the default pose before the policy takes over: spinal policy check --robot"
    )
    return draft, [seen, meant]


class _Walker:
    """A body that moves at random, and what each term of its observation is, in the exporter's words."""

    def __init__(self, recipe: Recipe, answers: Answers, path: OurPath, where: str) -> None:
        self._recipe, self._path = recipe, path
        self._terms = recipe.terms or ()
        sources = sources_of(self._terms, answers.terms, where)
        self._streams = [source.stream.format(base=answers.base) for source in sources]
        self._rng = np.random.default_rng(0)
        tensor = next(t for t in path.card.inputs if t.parts)
        self._buffer = path.engine.inputs[tensor.name]
        self._sensors = {
            stream.partition(":")[2].partition(".")[0] for stream in self._streams if ":" in stream
        }
        self._twist = next((p.size for p in tensor.parts if p.stream == "goal:twist"), 3) or 3
        self._now_ns = 0

    def run(self) -> Iterator[Observation]:
        """One run: histories and the last action go from step to step."""
        self._path.restart()
        self._past: list[deque[Array]] = [deque(maxlen=term.history) for term in self._terms]
        self._said = np.zeros(len(self._recipe.default or ()))
        self._now_ns += 10_000_000_000
        while True:
            self._now_ns += self._path.card.chunk.step_ns
            yield self._observed()

    def ours_observed(self, seen: Observation) -> Array:
        """The model's observation as our fill makes it; the answer is heard, as in a run."""
        self._targets = self._path.answer(seen)
        return np.array(self._buffer[0], np.float64)

    def theirs_observed(self, seen: Observation) -> Array:
        """Each term: clipped, scaled, behind its own history; then one behind the other."""
        rows = []
        for term, stream, past in zip(self._terms, self._streams, self._past, strict=True):
            x = np.asarray(self._raw(stream, seen), np.float64)
            x = x if term.clip is None else np.clip(x, *term.clip)
            x = x * np.asarray(term.scale)
            past.extend([x] * (term.history if not past else 1))
            rows.append(np.concatenate(list(past)))
        self._said = np.array(self._path.engine.outputs[self._path.card.output.name], np.float64).ravel()
        return np.concatenate(rows)

    def ours_targets(self, seen: Observation) -> Array:
        """[joint] in rad."""
        self._targets = self._path.answer(seen)
        return np.array(self._targets[0])

    def theirs_targets(self, seen: Observation) -> Array:
        """As the exporter's action term has it, of the graph's own answer."""
        action = np.array(self._path.engine.outputs[self._path.card.output.name], np.float64).ravel()
        offset = self._recipe.action_offset or self._recipe.default
        return np.asarray(np.asarray(offset) + np.asarray(self._recipe.action_scale) * action)

    def _observed(self) -> Observation:
        default = np.asarray(self._recipe.default)
        position = default + self._rng.uniform(-0.6, 0.6, len(default))
        streams = {
            name: self._body() for name in self._sensors if any(f"stream:{name}." in s for s in self._streams)
        }
        twist = self._rng.uniform(-1, 1, self._twist).astype(np.float32)
        goal = Goal("twist", self._now_ns, self._now_ns, self._now_ns + 10**12, twist)
        seen = observation(self._now_ns, position, self._rng.uniform(-8, 8, len(default)), streams=streams)
        return _with_goal(seen, goal)

    def _body(self) -> StreamValue:
        quaternion = self._rng.normal(size=4)
        return StreamValue(
            position_m=self._rng.uniform(-2, 2, 3),
            velocity_m_s=self._rng.uniform(-2, 2, 3),
            yaw_rad=float(self._rng.uniform(-3, 3)),
            capture_ns=self._now_ns,
            orientation_wxyz=quaternion / np.linalg.norm(quaternion),
            angular_velocity_rad_s=self._rng.uniform(-4, 4, 3),
            acceleration_m_s2=self._rng.uniform(-12, 12, 3),
        )

    def _raw(self, stream: str, seen: Observation) -> Any:
        match stream:
            case "joint_offset":
                return seen.position - np.asarray(self._recipe.default)
            case "joint_position":
                return seen.position
            case "joint_velocity":
                return seen.velocity
            case "last_action":
                return self._said
            case "goal:twist":
                return seen.goals["twist"].payload
        sensor, _, field = stream.removeprefix("stream:").partition(".")
        if stream.startswith("stream:") and field == "gravity":
            return _gravity(seen.streams[sensor].orientation_wxyz)
        if stream.startswith("stream:") and field in FIELDS:
            return FIELDS[field](seen.streams[sensor])
        raise PolicyError(f"nothing can be compared for {stream}", hint="write that card by hand")


def _gravity(quaternion: Array | None) -> Array:
    """The unit vector downwards, seen from the body: Isaac Lab's quat_apply_inverse(q, [0, 0, -1])."""
    if quaternion is None:
        raise ValueError("no orientation")
    w, x, y, z = quaternion
    return np.array([2 * (w * y - x * z), -2 * (y * z + w * x), -(1 - 2 * (x * x + y * y))])


def _with_goal(seen: Observation, goal: Goal) -> Observation:
    return replace(seen, goals={goal.kind: goal})
