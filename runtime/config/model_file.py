"""What can be said of a model file without running it: is it there, is it ONNX, what is inside, and its SHA-256.

Models come from strangers. Embedded weights only, operators that onnxruntime has by itself only, bounded size; the
file is read once, and what is judged is what was hashed.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from spinal.runtime.config.load import unreadable
from spinal.runtime.config.onnx_graph import CARD_KEY, ModelGraph, read_graph
from spinal.runtime.config.protobuf import LENGTH, VARINT, MalformedError
from spinal.runtime.errors import Problem

MAX_MODEL_BYTES = 512 << 20
"""A robot's fast policy is far smaller; more than this is a mistake."""

_LAST_IR_VERSION = 64
"""ONNX has reached 10-odd; what claims more than this is another format."""

_LAST_MODEL_FIELD = 26
"""ModelProto's fields go up to 26 (configuration)."""


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """A model file: its size, its SHA-256 (empty when it could not be read), and what is wrong with it.

    ``content_sha256`` is the digest of the file without a card in its metadata, which is what an embedded card can
    know; for a file without one it is ``sha256``.
    """

    size_bytes: int
    sha256: str
    problems: tuple[Problem, ...]
    content_sha256: str = ""
    graph: ModelGraph | None = None

    @property
    def card_text(self) -> str | None:
        """The card that it carries, as JSON."""
        return None if self.graph is None else self.graph.metadata.get(CARD_KEY)


def inspect_model(path: str | Path, onnx: bool = True) -> ModelFacts:
    """Reads a model file once and never raises: what is wrong is in ``problems``.

    ``onnx`` False: the model is another engine's; only size and digests are looked at.
    """
    name = Path(path).name
    try:
        with Path(path).open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            problem = _problem(name, file.read(64), size, onnx)
            file.seek(0)
            data = file.read(MAX_MODEL_BYTES + 1) if size <= MAX_MODEL_BYTES else b""
    except OSError as error:
        hint = "train or copy the model, or correct policy.model"
        return ModelFacts(0, "", (unreadable(error, name, hint),))
    digest = hashlib.sha256(data).hexdigest() if size <= MAX_MODEL_BYTES else ""
    if problem or not onnx:
        return ModelFacts(size, digest, (problem,) if problem else (), digest)
    try:
        graph = read_graph(data)
    except MalformedError as error:
        hint = "copy the model again and compare sha256sum on both sides, or export it again"
        return ModelFacts(size, digest, (Problem(name, f"is not an ONNX model: it {error}", hint),), digest)
    content = hashlib.sha256(without_cards(data, graph)).hexdigest() if graph.cards else digest
    return ModelFacts(size, digest, tuple(_graph_problems(name, graph)), content, graph)


def without_cards(data: bytes, graph: ModelGraph) -> bytes:
    """``data`` less the cards in its metadata; every other byte as it was."""
    kept, at = [], 0
    for begin, end in graph.cards:
        kept.append(data[at:begin])
        at = end
    return b"".join((*kept, data[at:]))


def _problem(name: str, head: bytes, size: int, onnx: bool) -> Problem | None:
    if not size:
        return Problem(name, "is empty", "export or copy the model again")
    if size > MAX_MODEL_BYTES:
        limit = MAX_MODEL_BYTES >> 20
        hint = "a policy for the control loop is smaller"
        return Problem(name, f"has {size >> 20} MiB, more than {limit}", hint)
    if head.startswith(b"version https://git-lfs"):
        return Problem(name, "is a Git LFS pointer, not the model", "fetch the model: git lfs pull")
    if onnx and not _looks_like_onnx(head):
        return Problem(name, "is not an ONNX model", "export the policy with torch.onnx.export")
    return None


def _looks_like_onnx(head: bytes) -> bool:
    """Whether ``head`` begins like a serialised ModelProto: ir_version (field 1, a varint), then a field."""
    if len(head) < 4 or head[0] != (1 << 3 | VARINT) or not 1 <= head[1] <= _LAST_IR_VERSION:
        return False
    field, wire = head[2] >> 3, head[2] & 7
    return 2 <= field <= _LAST_MODEL_FIELD and wire in (VARINT, LENGTH)


def _graph_problems(name: str, graph: ModelGraph) -> list[Problem]:
    problems = []
    if graph.external:
        said = f"keeps the data of {_few(graph.external)} in other files"
        hint = "export it with its weights inside: torch.onnx.export(..., external_data=False)"
        problems.append(Problem(name, said, hint))
    if graph.foreign:
        said = f"needs operators that onnxruntime does not have by itself: {_few(graph.foreign)}"
        hint = "no operator libraries are loaded here: export it with standard operators"
        problems.append(Problem(name, said, hint))
    if len(graph.cards) > 1:
        said = f"carries {len(graph.cards)} cards"
        problems.append(
            Problem(name, said, "stamp it again, with the one that you mean: spinal policy stamp")
        )
    return problems


def _few(names: tuple[str, ...]) -> str:
    shown = ", ".join(printable(name) or "a tensor without a name" for name in names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"


def printable(text: str, most: int = 120) -> str:
    """A stranger's text on one line: no control characters, and not too much of it."""
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[: most + 1])
    return shown if len(shown) <= most else f"{shown[: most - 3]}..."
