"""Cards of models that run beside a policy: what they have in common, and how they are read.

A residual model corrects the policy's answers (``residual.py``), a detector judges how it goes (``detector.py``).
Their card stands where a policy's stands and says ``kind``; [policy.residual] or [policy.detector] of the robot
file names the model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import Field, ValidationError

from spinal.runtime.config.card.actions import CardJoint, ChunkShape, Recurrent
from spinal.runtime.config.card.input_checks import input_problems
from spinal.runtime.config.card.inputs import CardInput, Shape
from spinal.runtime.config.card.load import card_path, card_tables
from spinal.runtime.config.card.statistics import resolve
from spinal.runtime.config.cross import row_label
from spinal.runtime.config.load import read_toml
from spinal.runtime.config.model_file import ModelFacts, inspect_model
from spinal.runtime.config.section import SHA256_PATTERN, Name, Section
from spinal.runtime.config.words import problems_of
from spinal.runtime.errors import ConfigError, Problem

COMMON_STREAMS = ("joints", "stream", "camera", "goal")
"""Kinds of streams that any model may be fed from."""


class BesideCard(Section):
    """What a residual's and a detector's card have in common."""

    TAKEN_BY: ClassVar[str] = ""
    """The section of the robot file that takes such a model."""
    OWN_STREAMS: ClassVar[tuple[str, ...]] = ()
    """Streams besides ``COMMON_STREAMS``."""

    schema_version: Literal[1] = Field(alias="schema", description="the version of this file format: 1")
    name: Name = Field(description="the model's name")
    version: str = Field(min_length=1, max_length=48, description='the model\'s version, e.g. "0.1.0"')
    sha256: Annotated[str, Field(pattern=SHA256_PATTERN)] | None = Field(
        default=None, description="the SHA-256 of the model file without a card in its metadata"
    )
    robot: Name | None = Field(default=None, description="the embodiment that the model was trained for")
    inference_ms: float | None = Field(
        default=None,
        gt=0,
        le=60_000,
        description="what an inference takes where it was measured; ten times is a fault",
    )
    step_ms: float = Field(
        default=20.0,
        ge=1,
        le=1000,
        description="time between two actions of the policy beside which it was trained, in ms; a history's step"
        " where an input gives none",
    )
    joints: Annotated[tuple[CardJoint, ...], Field(strict=False)] = Field(
        default=(), description="the robot's joints, in the model's order; none for a model that sees none"
    )
    inputs: Annotated[tuple[CardInput, ...], Field(strict=False)] = Field(
        min_length=1, description="the model's input tensors"
    )

    @property
    def output_tensor(self) -> tuple[str, Shape, str]:
        """(name, shape, type) of what it answers."""
        raise NotImplementedError

    @property
    def chunk(self) -> ChunkShape:
        """As ``FedCard``."""
        return ChunkShape(steps=1, step_ms=self.step_ms)

    @property
    def channels(self) -> int:
        """As ``FedCard``."""
        return len(self.joints)

    @property
    def noise(self) -> Literal["zero"]:
        """As ``FedCard``."""
        return "zero"

    @property
    def recurrent(self) -> tuple[Recurrent, ...]:
        """As ``FedCard``."""
        return ()

    @property
    def filled_by_head(self) -> frozenset[str]:
        """As ``FedCard``."""
        return frozenset()

    def input_faults(self) -> Iterator[Problem]:
        """Every problem of the inputs and of the joints."""
        fitting = True
        for index, tensor in enumerate(self.inputs):
            for part in tensor.filled_by:
                kind, name = part.source
                path = row_label("inputs", index, {"name": tensor.name})
                if kind not in COMMON_STREAMS and name not in self.OWN_STREAMS:
                    fitting = False
                    hint = "it sees joints, sensors, cameras and goals"
                    if self.OWN_STREAMS:
                        hint += f", and {' and '.join(self.OWN_STREAMS)}"
                    yield Problem(f"{path}.stream", f"is {part.stream}, which such a model is not fed", hint)
                elif not self.joints and (kind == "joints" or name == "base_action"):
                    fitting = False
                    hint = "list the robot's joints, as a policy's card does"
                    yield Problem("joints", f"is missing, and {tensor.name} is of joints", hint)
        if fitting:
            yield from input_problems(self)
        names = [joint.name for joint in self.joints]
        for index, name in enumerate(names):
            if name in names[:index]:
                path = row_label("joints", index, {"name": name})
                yield Problem(f"{path}.name", "stands here before", "each joint stands here once")


Card = TypeVar("Card", bound=BesideCard)


@dataclass(frozen=True, slots=True)
class BesideFile:
    """A model with its card, as far as they could be read; fit to run without ``problems``."""

    path: Path
    facts: ModelFacts
    card: BesideCard | None
    source: str
    problems: tuple[Problem, ...]


def kind_of(model: str | Path) -> str:
    """What the card of ``model`` says that it is: policy, residual, detector; policy where nothing can be read."""
    found = _tables(Path(model), None)
    kind = found[0].get("kind", "policy") if found is not None else "policy"
    return kind if isinstance(kind, str) else "policy"


def load_beside(model: str | Path, kind: type[Card]) -> Card:
    """The card of ``model``, after the model file's own checks. Raises ConfigError with every problem of both."""
    found = read_beside(model, kind)
    if found.problems or not isinstance(found.card, kind):
        raise ConfigError(found.problems, str(model))
    return found.card


def read_beside(model: str | Path, kind: type[BesideCard]) -> BesideFile:
    """The model file and its card; never raises."""
    from spinal.runtime.config.card.tensors import beside_tensor_problems

    path = Path(model)
    facts = inspect_model(path)
    problems = list(facts.problems)
    try:
        found = _tables(path, facts)
    except ConfigError as error:
        problems += error.problems
        return BesideFile(path, facts, None, "", tuple(problems))
    if found is None:
        hint = "write its card there: see runtime/config/card/README.md"
        problems.append(Problem(card_path(path).name, "is missing beside the model", hint))
        return BesideFile(path, facts, None, "", tuple(problems))
    raw, source = found
    completed, wrong = resolve(raw, path.parent)
    card = None
    try:
        card = parse_beside(completed, kind, source)
    except ConfigError as error:
        wrong += error.problems
    if card is not None and facts.graph is not None:
        wrong += beside_tensor_problems(card, facts.graph)
    stranger = card is not None and card.sha256 not in (facts.sha256, facts.content_sha256)
    if card is not None and facts.sha256 and stranger and (card.sha256 or source != "spinal.card"):
        said = f"is {card.sha256}" if card.sha256 else "is missing"
        hint = f'if the model is the one you mean, write: sha256 = "{facts.content_sha256}"'
        wrong.append(Problem("sha256", f"{said}, and the model's is {facts.content_sha256}", hint))
    problems += [Problem(f"{source}: {p.path}" if p.path else source, p.message, p.hint) for p in wrong]
    return BesideFile(path, facts, card, source, tuple(problems))


def parse_beside(raw: Mapping[str, Any], kind: type[Card], source: str) -> Card:
    """The card in ``raw`` tables. Raises ConfigError with every problem."""
    wanted = kind.model_fields["kind"].annotation.__args__[0]  # type: ignore[union-attr]
    said = raw.get("kind", "policy")
    if said != wanted:
        hint = f'{kind.TAKEN_BY} takes a model whose card says: kind = "{wanted}"'
        raise ConfigError([Problem("kind", f"must be {wanted}, and is {said}", hint)], source)
    try:
        return kind.model_validate(dict(raw))
    except ValidationError as error:
        raise ConfigError(problems_of(error, raw, kind), source) from None


def shape_problem(shape: Shape, wanted: list[tuple[int, ...]], path: str, hint: str) -> Iterator[Problem]:
    """None where ``shape`` is one of ``wanted``."""
    if shape not in wanted:
        words = " or ".join(str(list(each)) for each in dict.fromkeys(wanted))
        yield Problem(path, f"must be {words}, and is {list(shape)}: {prod(shape)} numbers", hint)


def _tables(path: Path, facts: ModelFacts | None) -> tuple[dict[str, Any], str] | None:
    """The card's tables and where they stand. Raises ConfigError, with ``facts`` given, for what cannot be read."""
    beside = card_path(path)
    try:
        return read_toml(beside), beside.name
    except ConfigError as error:
        if beside.exists() and facts is not None:
            raise ConfigError(
                [Problem(f"{beside.name}: {p.path}", p.message, p.hint) for p in error.problems], str(path)
            ) from None
    text = (facts or inspect_model(path)).card_text
    if text is None:
        return None
    try:
        return card_tables(text, path.name), "spinal.card"
    except ConfigError:
        if facts is None:
            return None
        raise
