"""Arrays on the wire: bytes, dtype and shape, nothing else.

Numpy's own formats are not used because they can carry object dtypes, which means pickle: here the
dtype is one of a short list and the bytes are only ever looked at with `np.frombuffer`.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self, get_args

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import ArrayLike, NDArray

MAX_ARRAY_BYTES = 1 << 16
MAX_DIMENSIONS = 4

Dtype = Literal["<f4", "<f8", "<i4", "<i8", "|u1"]
DTYPES: frozenset[str] = frozenset(get_args(Dtype))
Dimension = Annotated[int, Meta(ge=0, le=MAX_ARRAY_BYTES)]


class Array(msgspec.Struct, array_like=True, frozen=True):
    """A numeric array as it travels: little-endian, C order, every float finite.

    Raises ValueError when bytes, dtype and shape disagree, or when a number is NaN or infinite.
    """

    data: Annotated[bytes, Meta(max_length=MAX_ARRAY_BYTES)] = b""
    dtype: Dtype = "<f8"
    shape: Annotated[tuple[Dimension, ...], Meta(max_length=MAX_DIMENSIONS)] = (0,)

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype {self.dtype!r} is not one of {sorted(DTYPES)}")
        if math.prod(self.shape) * np.dtype(self.dtype).itemsize != len(self.data):
            raise ValueError(f"{len(self.data)} bytes do not make shape {self.shape} of {self.dtype}")
        if self.dtype[1] == "f" and not np.isfinite(self.numpy()).all():
            raise ValueError("an array holds NaN or infinity")

    @classmethod
    def of(cls, values: ArrayLike) -> Self:
        """The wire form of `values`; ValueError for a dtype that does not travel, NaN or infinity."""
        array = np.ascontiguousarray(values)
        little = array.astype(array.dtype.newbyteorder("<"), copy=False)
        name = little.dtype.str
        if name not in DTYPES:
            raise ValueError(f"dtype {name!r} is not one of {sorted(DTYPES)}")
        return cls(little.tobytes(), name, np.shape(values))  # type: ignore[arg-type]  # checked above

    def numpy(self) -> NDArray[Any]:
        """A read-only view of the bytes, in the declared shape."""
        return np.frombuffer(self.data, dtype=self.dtype).reshape(self.shape)
