"""The card of a residual model: small numbers that are added to what a policy answered (A2C2; a sim-to-real delta).

It is asked again on fresh observations while a chunk is executed, so it makes up for what happened since the policy
looked. It is shown the policy's own action at the coming waypoints (``base_action``), where in the chunk they stand
(``chunk_index``), and whatever else a policy may see.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from spinal.runtime.config.card.actions import MAX_STEPS, CardOutput, ChunkShape
from spinal.runtime.config.card.beside import BesideCard, shape_problem
from spinal.runtime.config.card.card import PolicyCard
from spinal.runtime.config.card.inputs import Shape
from spinal.runtime.config.cross import did_you_mean
from spinal.runtime.config.section import Name, refuse
from spinal.runtime.errors import Problem


class ResidualCard(BesideCard):
    """What a residual model promises. Raises ``ConfigError`` from ``load_beside``, with every problem."""

    TAKEN_BY: ClassVar[str] = "[policy.residual]"
    OWN_STREAMS: ClassVar[tuple[str, ...]] = ("base_action", "chunk_index")

    kind: Literal["residual"] = Field(description='"residual"')
    base: Name | None = Field(
        default=None,
        description="the policy that it was trained beside; without, it corrects whichever runs",
    )
    steps: int = Field(
        default=1,
        ge=1,
        le=MAX_STEPS,
        description="coming waypoints that it is shown; a correction of one row stands for all that come",
    )
    corrected: Annotated[tuple[Name, ...], Field(strict=False)] | None = Field(
        default=None,
        description="the joints of its output's channels, in their order; without, all of kind arm: a gripper is"
        " corrected where it is named, and never else",
    )
    output: CardOutput = Field(
        description="the correction, in the joints' units: [1, corrected joints], or a row for each coming waypoint"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        refuse([*self.input_faults(), *self._faults()])
        return self

    @property
    def chunk(self) -> ChunkShape:
        """What it is shown of the policy's chunk."""
        return ChunkShape(steps=self.steps, step_ms=self.step_ms)

    @property
    def names(self) -> tuple[str, ...]:
        """The joints that it corrects, in its output's order."""
        if self.corrected is not None:
            return self.corrected
        return tuple(joint.name for joint in self.joints if joint.kind == "arm")

    @property
    def output_tensor(self) -> tuple[str, Shape, str]:
        """As ``BesideCard``."""
        return self.output.name, self.output.shape, self.output.dtype

    def misfit(self, policy: PolicyCard) -> str | None:
        """Why the answers of ``policy`` are not corrected; None where they are."""
        if self.base not in (None, policy.name):
            return f"was trained beside {self.base}, and {policy.name} runs"
        if round(self.step_ms * 1e6) != policy.chunk.step_ns:
            return (
                f"was trained for steps of {self.step_ms:g} ms, and the policy's are {policy.chunk.step_ms:g}"
            )
        return None

    def _faults(self) -> Iterator[Problem]:
        known = [joint.name for joint in self.joints]
        for index, name in enumerate(self.corrected or ()):
            if name not in known:
                hint = did_you_mean(name, known, "the joints of this card are")
                yield Problem(f"corrected[{index}]", f"names a joint that is not there: {name}", hint)
            elif name in (self.corrected or ())[:index]:
                yield Problem(f"corrected[{index}]", f"names {name} again", "each joint once")
        count = len(self.names)
        if not count:
            yield Problem(
                "joints", "has nothing to correct", "list the robot's joints, as a policy's card does"
            )
            return
        wanted: list[tuple[int, ...]] = [(1, count), (1, self.steps, count)]
        hint = f"a number for each of {', '.join(self.names)}; with steps = n a row for each coming waypoint"
        yield from shape_problem(self.output.shape, wanted, "output.shape", hint)
        if self.output.dtype not in ("float32", "float16"):
            yield Problem("output.dtype", f"is {self.output.dtype}", "a correction has a fraction: float32")
        for word, size in (self.output.normalise.sizes() if self.output.normalise else {}).items():
            if size not in (1, count):
                said = f"has {size} numbers, and there are {count} channels"
                yield Problem(
                    f"output.normalise.{word}", said, "one number a channel, or one for all of them"
                )
