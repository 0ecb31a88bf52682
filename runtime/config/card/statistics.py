"""Normalisation statistics from a file beside the model: safetensors, as LeRobot writes them, or JSON, as openpi
and GR00T do.

Safetensors is a length, a JSON header and raw little-endian numbers. The ``safetensors`` package is a compiled
library for mapping gigabytes of weights; for a few vectors of a bounded size forty lines do, and the core stays
light. Without numpy, too: a check of a robot file must not take long to begin.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator, Mapping
from math import isfinite
from pathlib import Path
from typing import Any, TypeGuard

from spinal.runtime.config.card.normalise import MAX_NUMBERS, REQUIRED
from spinal.runtime.config.load import unreadable
from spinal.runtime.errors import Problem

MAX_STATISTICS_BYTES = 64 << 20
MAX_HEADER_BYTES = 4 << 20
_TYPES = {"F32": ("f", 4), "F64": ("d", 8), "I64": ("q", 8)}
"""Element type: its letter for ``struct``, and its bytes."""
_DEEPEST = 6
"""inputs, a row, parts, a row, normalise, and its keys."""


class StatisticsError(ValueError):
    """The file holds no statistics, or others."""


def resolve(raw: Mapping[str, Any], folder: Path) -> tuple[dict[str, Any], list[Problem]]:
    """The card's tables with the numbers of its statistics files in them, and what kept them out.

    Tables that name a file are completed; ``raw`` itself stays as it is. What is not a table where one should stand
    is left to the card's own checks.
    """
    card = _copy(raw, _DEEPEST)
    problems: list[Problem] = []
    read: dict[str, tuple[bytes, str] | Problem] = {}
    for path, table in _normalisations(card):
        name, mode = table.get("file"), table.get("mode")
        if not isinstance(name, str) or not isinstance(mode, str) or mode not in REQUIRED:
            continue
        if name not in read:
            read[name] = _read(folder, name)
        found = read[name]
        if isinstance(found, Problem):
            problems.append(Problem(f"{path}.file", found.message, found.hint))
            continue
        data, digest = found
        if table.get("sha256") != digest:
            said = f"is {table.get('sha256', 'missing')}, and that of {name} is {digest}"
            hint = f'if the file is the one you mean, write: sha256 = "{digest}"'
            problems.append(Problem(f"{path}.sha256", said, hint))
            continue
        key = table.get("key", "")
        try:
            numbers = statistics_of(data, name, key if isinstance(key, str) else "", REQUIRED[mode])
        except StatisticsError as error:
            hint = "look into the file: key is what the statistics stand under"
            problems.append(Problem(f"{path}.key", f"{name} {error}", hint))
            continue
        for word in ("file", "sha256", "key"):
            table.pop(word, None)
        table.update(numbers)
    return card, problems


def _copy(value: Any, depth: int) -> Any:
    """A copy of tables and lists down to where normalisations stand; what lies deeper is shared."""
    if depth and isinstance(value, Mapping):
        return {key: _copy(inner, depth - 1) for key, inner in value.items()}
    return (
        [_copy(inner, depth - 1) for inner in value] if depth and isinstance(value, list | tuple) else value
    )


def statistics_of(data: bytes, name: str, key: str, words: tuple[str, ...]) -> dict[str, list[float]]:
    """Each of ``words`` under ``key`` in the file ``name``. Raises StatisticsError."""
    tensors = _safetensors(data) if name.endswith(".safetensors") else None
    tables = None if tensors is not None else _json(data)
    found = {}
    for word in words:
        full = f"{key}.{word}" if key else word
        values = _tensor(data, tensors, full) if tensors is not None else _number_list(tables, full)
        if values is None:
            raise StatisticsError(f"has no {full}")
        if len(values) > MAX_NUMBERS:
            raise StatisticsError(f"has {len(values)} numbers as {full}, more than {MAX_NUMBERS}")
        if not all(map(isfinite, values)):
            raise StatisticsError(f"has numbers that are not finite as {full}")
        found[word] = [float(value) for value in values]
    return found


def _normalisations(card: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    if not isinstance(card, dict):
        return
    places: list[tuple[str, Any]] = [("output", card.get("output"))]
    inputs = card.get("inputs")
    for index, tensor in enumerate(inputs if isinstance(inputs, list) else ()):
        if isinstance(tensor, dict):
            label = f"inputs[{index}]" + (
                f" ({tensor['name']})" if isinstance(tensor.get("name"), str) else ""
            )
            places.append((label, tensor))
            parts = tensor.get("parts")
            places += [
                (f"{label}.parts[{k}]", part)
                for k, part in enumerate(parts if isinstance(parts, list) else ())
            ]
    for label, table in places:
        found = table.get("normalise") if isinstance(table, dict) else None
        if isinstance(found, dict):
            yield f"{label}.normalise", found


def _read(folder: Path, name: str) -> tuple[bytes, str] | Problem:
    if not name or name in (".", "..") or "/" in name or "\\" in name:
        return Problem("", "must be a file name without a folder", "the file stands beside the model")
    if not name.endswith((".safetensors", ".json")):
        return Problem("", f"is {name}, and only .safetensors and .json are read", "convert the statistics")
    try:
        with (folder / name).open("rb") as file:
            data = file.read(MAX_STATISTICS_BYTES + 1)
    except OSError as error:
        problem = unreadable(error, "", "copy it to the model's folder, or write the numbers into the card")
        return Problem("", f"{name} {problem.message}", problem.hint)
    if len(data) > MAX_STATISTICS_BYTES:
        return Problem("", f"{name} has more than {MAX_STATISTICS_BYTES >> 20} MiB", "statistics are small")
    return data, hashlib.sha256(data).hexdigest()


def _safetensors(data: bytes) -> Mapping[str, Any]:
    """The header: {name: {dtype, shape, data_offsets}}, the offsets still to be checked."""
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or not 2 <= length <= min(MAX_HEADER_BYTES, len(data) - 8):
        raise StatisticsError("is not a safetensors file")
    header = _json(data[8 : 8 + length])
    if not isinstance(header, dict):
        raise StatisticsError("is not a safetensors file")
    return {"": 8 + length, **header}


def _tensor(data: bytes, header: Mapping[str, Any], name: str) -> list[float] | None:
    """The tensor ``name``, flattened; None when there is none."""
    entry = header.get(name)
    if not isinstance(entry, dict) or not name:
        return None
    kind, offsets, shape = entry.get("dtype"), entry.get("data_offsets"), entry.get("shape")
    if not isinstance(kind, str) or kind not in _TYPES:
        raise StatisticsError(f"has {name} as {kind}, and {', '.join(_TYPES)} are read")
    if not _sizes(offsets) or len(offsets) != 2 or not _sizes(shape):
        raise StatisticsError(f"does not say where {name} is")
    begin, end = (header[""] + offset for offset in offsets)
    count = 1
    for size in shape:
        count *= size
    letter, width = _TYPES[kind]
    if not header[""] <= begin <= end <= len(data) or end - begin != count * width:
        raise StatisticsError(f"ends before {name} does, or says its size wrongly")
    if count > MAX_NUMBERS:
        raise StatisticsError(f"has {count} numbers as {name}, more than {MAX_NUMBERS}")
    return list(struct.unpack(f"<{count}{letter}", data[begin:end]))


def _sizes(value: Any) -> TypeGuard[list[int]]:
    return (
        isinstance(value, list)
        and len(value) <= 8
        and all(
            isinstance(size, int) and not isinstance(size, bool) and 0 <= size <= MAX_STATISTICS_BYTES
            for size in value
        )
    )


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise StatisticsError(f"is not JSON: {error}") from None


def _number_list(tables: Any, name: str) -> list[float] | None:
    """The list at ``name``, whose dots lead from table to table and may also stand in a key; None without."""
    if isinstance(tables, dict):
        if name in tables:
            return _flat(tables[name], name)
        for key, inner in tables.items():
            if isinstance(key, str) and name.startswith(f"{key}."):
                found = _number_list(inner, name[len(key) + 1 :])
                if found is not None:
                    return found
    return None


def _flat(values: Any, name: str) -> list[float]:
    """Numbers of a list, or of lists in it (LeRobot's image statistics: [[[x]], ...]), in order."""
    stack, flat = [values], []
    while stack:
        value = stack.pop()
        if isinstance(value, list) and len(value) <= MAX_NUMBERS:
            stack.extend(reversed(value))
        elif isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300:
            flat.append(float(value))
        else:
            raise StatisticsError(f"has something that is no number as {name}")
        if len(stack) + len(flat) > 2 * MAX_NUMBERS:
            raise StatisticsError(f"has more than {MAX_NUMBERS} numbers as {name}")
    return flat
