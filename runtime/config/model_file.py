"""What can be said of a model file without running it: is it there, is it ONNX, and its SHA-256."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from spinal.runtime.config.load import unreadable
from spinal.runtime.errors import Problem

MAX_MODEL_BYTES = 512 << 20
"""A robot's fast policy is far smaller; more than this is a mistake."""

_LAST_IR_VERSION = 64
"""ONNX has reached 10-odd; what claims more than this is another format."""

_VARINT, _LENGTH_DELIMITED = 0, 2
_LAST_MODEL_FIELD = 26
"""ModelProto's fields go up to 25 (functions); one more for what comes."""


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """A model file: its size, its SHA-256 (empty when it could not be read), and what is wrong with it."""

    size_bytes: int
    sha256: str
    problems: tuple[Problem, ...]


def inspect_model(path: str | Path) -> ModelFacts:
    """Reads a model file once and never raises: what is wrong is in ``problems``."""
    name = Path(path).name
    try:
        with Path(path).open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            problem = _problem(name, file.read(64), size)
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest() if size <= MAX_MODEL_BYTES else ""
    except OSError as error:
        hint = "train or copy the model, or correct policy.model"
        return ModelFacts(0, "", (unreadable(error, name, hint),))
    return ModelFacts(size, digest, (problem,) if problem else ())


def _problem(name: str, head: bytes, size: int) -> Problem | None:
    if not size:
        return Problem(name, "is empty", "export or copy the model again")
    if size > MAX_MODEL_BYTES:
        limit = MAX_MODEL_BYTES >> 20
        hint = "a policy for the control loop is smaller"
        return Problem(name, f"has {size >> 20} MiB, more than {limit}", hint)
    if head.startswith(b"version https://git-lfs"):
        return Problem(name, "is a Git LFS pointer, not the model", "fetch the model: git lfs pull")
    if not _looks_like_onnx(head):
        return Problem(name, "is not an ONNX model", "export the policy with torch.onnx.export")
    return None


def _looks_like_onnx(head: bytes) -> bool:
    """Whether ``head`` begins like a serialised ModelProto: ir_version (field 1, a varint), then a field."""
    if len(head) < 4 or head[0] != (1 << 3 | _VARINT) or not 1 <= head[1] <= _LAST_IR_VERSION:
        return False
    field, wire = head[2] >> 3, head[2] & 7
    return 2 <= field <= _LAST_MODEL_FIELD and wire in (_VARINT, _LENGTH_DELIMITED)
