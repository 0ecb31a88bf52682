"""The shared memory between the policy and an engine process: one sealed memfd, laid out as ``engines.md`` says.

    0     head: magic, version, sizes, the two sequence words, status, words for people
    512   table: one row of 320 bytes for each tensor, inputs first
    ...   the tensors, each at a multiple of 64

The policy lays it out and never reads its own words back: what an engine writes over them harms the engine alone.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinal.runtime.policy.signature import Tensor

MAGIC = 0x454E49_474E45_5053  # "SPENGINE" from its first byte on, little-endian
VERSION = 1
LINE = 64
MAX_TENSORS = 256
LARGEST_BYTES = 1 << 31

READY, OK, FAILED = 1, 2, 3
"""Status: loaded and warm; the request is answered; it is not, and ``words`` say why."""

HEAD = np.dtype(
    {
        "names": [
            "magic",
            "version",
            "inputs",
            "outputs",
            "bytes",
            "request",
            "response",
            "status",
            "inference_ns",
            "words",
        ],
        "formats": ["<u8", "<u4", "<u4", "<u4", "<u8", "<u8", "<u8", "<u4", "<u8", "S256"],
        "offsets": [0, 8, 12, 16, 24, 64, 128, 136, 144, 152],
        "itemsize": 512,
    }
)
ROW = np.dtype(
    {
        "names": ["name", "dtype", "rank", "shape", "offset", "bytes"],
        "formats": ["S200", "<u4", "<u4", ("<u8", 8), "<u8", "<u8"],
        "offsets": [0, 204, 208, 216, 280, 288],
        "itemsize": 320,
    }
)
DTYPES = ("float32", "float16", "int64", "int32", "uint8", "bool")
"""An element type's number in the table is its place here, from 1 on."""
MAX_RANK = 8
NAME_BYTES = 200


class EngineMemory:
    """Either side's view. ``head``: the words; ``inputs`` and ``outputs``: the tensors themselves, by name."""

    def __init__(
        self, fd: int, mapped: mmap.mmap, table: Sequence[tuple[str, Tensor, int]], inputs: int
    ) -> None:
        self.fd = fd
        self._mapped = mapped
        self.head = np.frombuffer(mapped, HEAD, 1)[0:1]
        views = [
            (name, np.frombuffer(mapped, tensor.dtype, _elements(tensor), offset).reshape(tensor.shape))
            for name, tensor, offset in table
        ]
        self.inputs: dict[str, NDArray[Any]] = dict(views[:inputs])
        self.outputs: dict[str, NDArray[Any]] = dict(views[inputs:])

    @staticmethod
    def create(inputs: Mapping[str, Tensor], outputs: Mapping[str, Tensor]) -> EngineMemory:
        """New memory for these tensors, zeroed. Raises ValueError when they cannot be described."""
        tensors = [*inputs.items(), *outputs.items()]
        if len(tensors) > MAX_TENSORS:
            raise ValueError(f"{len(tensors)} tensors, at most {MAX_TENSORS}")
        offset = _line(HEAD.itemsize + ROW.itemsize * len(tensors))
        rows, table = np.zeros(len(tensors), ROW), []
        for index, (name, tensor) in enumerate(tensors):
            encoded = name.encode()
            if len(encoded) > NAME_BYTES or len(tensor.shape) > MAX_RANK:
                raise ValueError(
                    f"{name}: names have up to {NAME_BYTES} bytes, tensors up to {MAX_RANK} axes"
                )
            size = _elements(tensor) * np.dtype(tensor.dtype).itemsize
            shape = (*tensor.shape, *(0,) * (MAX_RANK - len(tensor.shape)))
            rows[index] = (encoded, DTYPES.index(tensor.dtype) + 1, len(tensor.shape), shape, offset, size)
            table.append((name, tensor, offset))
            offset += _line(size)
        if offset > LARGEST_BYTES:
            raise ValueError(f"{offset} bytes of tensors, at most {LARGEST_BYTES}")
        fd = os.memfd_create("spinal-engine", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(fd, offset)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
        memory = EngineMemory(fd, mmap.mmap(fd, offset), table, len(inputs))
        weakref.finalize(memory, os.close, fd)  # the mapping goes with the last array that was taken from it
        head = memory.head[0]
        head["version"], head["inputs"], head["outputs"] = VERSION, len(inputs), len(outputs)
        head["bytes"] = offset
        np.frombuffer(memory._mapped, ROW, len(rows), HEAD.itemsize)[...] = rows
        head["magic"] = MAGIC
        return memory

    @staticmethod
    def attach(fd: int) -> EngineMemory:
        """The engine's view. Raises ValueError when it is not such memory, or of another version."""
        size = os.fstat(fd).st_size
        if size < HEAD.itemsize:
            raise ValueError(f"{size} bytes are no engine memory")
        mapped = mmap.mmap(fd, size)
        head = np.frombuffer(mapped, HEAD, 1)[0]
        if head["magic"] != MAGIC or head["version"] != VERSION:
            raise ValueError(
                f"engine memory of version {head['version']}, and version {VERSION} is spoken here"
            )
        count = int(head["inputs"]) + int(head["outputs"])
        if head["bytes"] != size or count > MAX_TENSORS or HEAD.itemsize + count * ROW.itemsize > size:
            raise ValueError("the head of the engine memory contradicts itself")
        table = []
        for row in np.frombuffer(mapped, ROW, count, HEAD.itemsize):
            shape = tuple(int(number) for number in row["shape"][: int(row["rank"])])
            tensor = Tensor(shape, DTYPES[int(row["dtype"]) - 1])
            table.append((row["name"].decode(), tensor, int(row["offset"])))
        return EngineMemory(fd, mapped, table, int(head["inputs"]))


def _elements(tensor: Tensor) -> int:
    elements = 1
    for number in tensor.shape:
        elements *= number
    return elements


def _line(size: int) -> int:
    return -(-size // LINE) * LINE
