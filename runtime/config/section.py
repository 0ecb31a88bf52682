"""What every section of a settings file has in common: strict types, known keys only, frozen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from spinal.runtime.errors import Problem

Positive = Annotated[float, Field(gt=0)]
"""A finite number above 0."""

NAME_PATTERN = r"^[a-z][a-z0-9_]*$"
PORT_PATTERN = r"^(sim|/.+)$"
FILE_PATTERN = r"^/.+$"
PROVIDER_PATTERN = r"^\w+ExecutionProvider$"
SHA256_PATTERN = r"^[0-9a-f]{64}$"
STREAM_PATTERN = (
    r"^(joint_position|joint_velocity|joint_offset|joint_load|command|prefix|mask|noise|last_action|chunk_index"
    r"|base_action"
    r"|stream:[a-z][a-z0-9_]*\.(position|yaw|velocity|orientation|angular_velocity|acceleration|gravity)"
    r"|camera:[a-z][a-z0-9_]*|goal:(text|embedding|latent|waypoint|twist)|recurrent:.{1,200})$"
)
FILE_NAME_PATTERN = r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$"
LABEL_PATTERN = r"^[a-z][a-z_]{0,31}$"

PATTERNS = {
    NAME_PATTERN: "must be small letters, digits and underscores, with a letter first",
    PORT_PATTERN: 'must be "sim" or a path that begins with /',
    FILE_PATTERN: "must be a path that begins with /",
    PROVIDER_PATTERN: "must be a name that ends in ExecutionProvider",
    SHA256_PATTERN: "must be 64 hexadecimal digits in small letters",
    STREAM_PATTERN: "must be the name of a stream",
    STREAM_PATTERN.replace("^(", "^(|", 1): "must be the name of a stream",
    FILE_NAME_PATTERN: "must be a file name without a folder",
    LABEL_PATTERN: "must be up to 32 small letters and underscores, with a letter first",
}
"""What each form that a string may have is called in an error."""

Name = Annotated[str, Field(pattern=NAME_PATTERN, max_length=48)]
"""A name that can be a TOML key and a file name: small letters, digits and underscores."""

CROSS_CHECK = "cross_check"
"""The error type under which a section reports problems between its fields (see ``refuse``)."""


class Section(BaseModel):
    """A table of a settings file. Field descriptions are what an error shows as its hint."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


def refuse(problems: Sequence[Problem]) -> None:
    """Raises when there are problems, from within a pydantic validator.

    The problems' paths are relative to the section that the validator belongs to.
    """
    if problems:
        raise PydanticCustomError(
            CROSS_CHECK, "{text}", {"text": "; ".join(map(str, problems)), "problems": tuple(problems)}
        )
