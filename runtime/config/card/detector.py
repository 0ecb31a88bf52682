"""The card of a detector: a model that looks at what a policy sees, and says how it goes: success, failure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from spinal.runtime.config.card.beside import BesideCard, shape_problem
from spinal.runtime.config.card.inputs import Shape
from spinal.runtime.config.cross import did_you_mean
from spinal.runtime.config.robot import RobotConfig
from spinal.runtime.config.section import LABEL_PATTERN, Section, refuse
from spinal.runtime.errors import Problem

Label = Annotated[str, Field(pattern=LABEL_PATTERN)]


class DetectorOutput(Section):
    """The tensor that holds a number for each label."""

    name: str = Field(min_length=1, max_length=200, description="the tensor's name in the model")
    shape: Shape = Field(description="the tensor's shape: [1, number of labels]")
    dtype: Literal["float32", "float16"] = Field(default="float32", description="the type of its elements")
    scores: Literal["probabilities", "logits"] = Field(
        default="probabilities",
        description='what its numbers are: "probabilities", or "logits" of which the softmax is taken',
    )


class DetectorCard(BesideCard):
    """What a detector promises. Raises ``ConfigError`` from ``load_beside``, with every problem."""

    TAKEN_BY: ClassVar[str] = "[policy.detector]"

    kind: Literal["detector"] = Field(description='"detector"')
    labels: Annotated[tuple[Label, ...], Field(strict=False)] = Field(
        min_length=1, max_length=16, description='its verdicts, in the order of its output, e.g. ["failure"]'
    )
    thresholds: Annotated[tuple[Annotated[float, Field(gt=0, le=1)], ...], Field(strict=False)] = Field(
        default=(0.5,),
        min_length=1,
        max_length=16,
        description="the probability from which a label counts: one for each, or one for all",
    )
    patience_ms: float = Field(
        default=200.0,
        ge=0,
        le=60_000,
        description="a verdict changes once it was another for so long without a break, in ms",
    )
    output: DetectorOutput = Field(description="the tensor that holds a number for each label")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        refuse([*self.input_faults(), *self._faults()])
        return self

    @property
    def output_tensor(self) -> tuple[str, Shape, str]:
        """As ``BesideCard``."""
        return self.output.name, self.output.shape, self.output.dtype

    def _faults(self) -> Iterator[Problem]:
        count = len(self.labels)
        for index, label in enumerate(self.labels):
            if label in self.labels[:index]:
                yield Problem(f"labels[{index}]", f"is {label} again", "each verdict has a word of its own")
        if len(self.thresholds) not in (1, count):
            said = f"has {len(self.thresholds)} numbers, and there are {count} labels"
            yield Problem("thresholds", said, "one for each label, or one for all")
        hint = "a number for each label, in their order"
        yield from shape_problem(self.output.shape, [(1, count)], "output.shape", hint)


def hold_problems(robot: RobotConfig, card: BesideCard | None) -> list[Problem]:
    """Verdicts of [policy.detector] hold_on that ``card`` never gives."""
    settings = robot.policy.detector if robot.policy else None
    if settings is None or not isinstance(card, DetectorCard):
        return []
    return [
        Problem(
            f"policy.detector.hold_on[{index}]",
            f"names a verdict that the detector never gives: {label}",
            did_you_mean(label, card.labels, "its labels are"),
        )
        for index, label in enumerate(settings.hold_on)
        if label not in card.labels
    ]
