"""What stands beside a model and is not trusted more than it: bytes of a bounded number, by their SHA-256."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinal.runtime.errors import PolicyError

MOST_BYTES = 64 << 20
SAFETENSORS_TYPES = {"F64": np.float64, "F32": np.float32, "F16": np.float16}
MOST_HEADER_BYTES = 1 << 20


def read_beside(folder: Path, name: str, sha256: str, most_bytes: int = MOST_BYTES) -> bytes:
    """The file ``name`` in ``folder``. Raises PolicyError when it is not there, too large, or another."""
    path = folder / name
    try:
        with path.open("rb") as file:
            content = file.read(most_bytes + 1)
    except OSError as error:
        raise PolicyError(
            f"{name} cannot be read: {error.strerror}", hint=f"copy it into the model's folder, {folder}"
        ) from None
    if len(content) > most_bytes:
        raise PolicyError(
            f"{name} has more than {most_bytes >> 10} KiB", hint="it is not the file that is meant"
        )
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise PolicyError(
            f"the SHA-256 of {name} is {found}, and its card says {sha256}",
            hint="copy the file again, or correct the card's decoder if this is the one you mean",
        )
    return content


def json_of(content: bytes, name: str) -> dict[str, Any]:
    """The JSON object in ``content``. Raises PolicyError."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise PolicyError(f"{name} is not a JSON object", hint="copy or export it again")
    return found


def safetensors_of(content: bytes, name: str) -> dict[str, NDArray[np.float64]]:
    """Tensors by name from ``content`` in the safetensors format, as float64. Raises PolicyError.

    Eight bytes (little endian) say how long the JSON header is, which says where each tensor lies behind it.
    """
    size = int.from_bytes(content[:8], "little")
    if len(content) < 8 or size > min(MOST_HEADER_BYTES, len(content) - 8):
        raise PolicyError(f"{name} is not a safetensors file", hint="export it again with safetensors")
    header = json_of(content[8 : 8 + size], f"the header of {name}")
    data = memoryview(content)[8 + size :]
    tensors = {}
    for key, said in header.items():
        if key != "__metadata__":
            tensors[key] = _tensor(data, said, f"{key} of {name}")
    return tensors


def _tensor(data: memoryview, said: Any, name: str) -> NDArray[np.float64]:
    try:
        dtype, shape = np.dtype(SAFETENSORS_TYPES[said["dtype"]]), tuple(int(n) for n in said["shape"])
        begin, end = (int(n) for n in said["data_offsets"])
        if not 0 <= begin <= end <= len(data) or any(n < 0 for n in shape) or len(shape) > 8:
            raise ValueError
        tensor = np.frombuffer(data[begin:end], dtype.newbyteorder("<")).reshape(shape)
    except (KeyError, TypeError, ValueError):
        raise PolicyError(
            f"{name} is not described as safetensors does, or its type is none of {', '.join(SAFETENSORS_TYPES)}",
            hint="export it again, as float32",
        ) from None
    return tensor.astype(np.float64)
