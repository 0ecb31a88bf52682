"""Reading other people's files: bounded, no code in them is ever run, and an error names the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinal.runtime.config.load import unreadable
from spinal.runtime.errors import ConfigError, Problem

MAX_TEXT_BYTES = 16 << 20
"""Of a JSON or YAML file; a GR00T statistics file with several embodiments has a few MB."""
MAX_HEADER_BYTES = 32 << 20
MAX_STATISTIC_BYTES = 1 << 20
"""Of one tensor that is a statistic."""

_DTYPES: dict[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}


def refusal(source: str | Path, path: str, message: str, hint: str = "") -> ConfigError:
    """An error with one problem; ``path`` is where in ``source``."""
    return ConfigError([Problem(path, message, hint)], str(source))


def read_text(path: Path, hint: str) -> str:
    """The text of ``path``. Raises ConfigError; ``hint`` is what to do when it is not there."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_TEXT_BYTES + 1)
    except OSError as error:
        raise ConfigError([unreadable(error, path.name, hint)], str(path)) from None
    if len(data) > MAX_TEXT_BYTES:
        raise refusal(path, path.name, f"is larger than {MAX_TEXT_BYTES >> 20} MiB", "these are no settings")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise refusal(path, path.name, "is not UTF-8 text", "copy it again") from None


def read_json(path: Path, hint: str) -> dict[str, Any]:
    """The object in a JSON file. Raises ConfigError."""
    try:
        raw = json.loads(read_text(path, hint))
    except (ValueError, RecursionError) as error:
        raise refusal(path, path.name, f"is not JSON: {error}", "copy it again") from None
    if not isinstance(raw, dict):
        raise refusal(path, path.name, "is not a JSON object", "name the file that the framework wrote")
    return raw


def read_safetensors(path: Path, wanted: str = "") -> dict[str, NDArray[Any]]:
    """The tensors of a safetensors file whose names contain ``wanted``; large ones are left out when it is set.

    Raises ConfigError for what is no such file. Nothing in it is run: it is a header and raw numbers.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= min(MAX_HEADER_BYTES, size - 8):
                raise refusal(path, path.name, "is not a safetensors file", "copy it again, or: git lfs pull")
            header: dict[str, Any] = json.loads(file.read(length))
            tensors = {}
            for name, entry in header.items():
                if name == "__metadata__" or wanted not in name:
                    continue
                begin, end = entry["data_offsets"]
                dtype = _DTYPES.get(entry["dtype"])
                if (
                    dtype is None
                    or end - begin > MAX_STATISTIC_BYTES
                    or not 0 <= begin <= end <= size - 8 - length
                ):
                    if wanted:
                        continue
                    said = f"has {name} ({entry['dtype']}, {end - begin} bytes), which is no statistic"
                    raise refusal(path, path.name, said, "statistics are small arrays of numbers")
                file.seek(8 + length + begin)
                data = np.frombuffer(file.read(end - begin), dtype)
                tensors[name] = data.reshape(entry["shape"])
    except OSError as error:
        raise ConfigError([unreadable(error, path.name, "it belongs to the checkpoint")], str(path)) from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise refusal(
            path, path.name, "is not a safetensors file", "copy it again, or: git lfs pull"
        ) from None
    return tensors


def safetensors_names(path: Path) -> list[str]:
    """The names of all tensors in a file that ``read_safetensors`` accepts. Raises ConfigError."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(min(length, MAX_HEADER_BYTES)))
        return [name for name in header if name != "__metadata__"]
    except OSError as error:
        raise ConfigError([unreadable(error, path.name, "it belongs to the checkpoint")], str(path)) from None
    except (ValueError, TypeError, RecursionError):
        raise refusal(
            path, path.name, "is not a safetensors file", "copy it again, or: git lfs pull"
        ) from None
