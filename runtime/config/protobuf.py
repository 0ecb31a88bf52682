"""Protocol Buffers' wire format, walked in place: as little of it as a model file needs.

The ``protobuf`` and ``onnx`` packages build the whole message in memory before one may ask how large it is, and the
core has no other use for them. Here nothing is copied, groups (which no model has) are refused, every length is
checked against what encloses it, and all fields of a file are counted, so that none keeps the reader busy.
"""

from __future__ import annotations

from collections.abc import Iterator

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
MAX_FIELDS = 2_000_000
"""Of one file; a model of a thousand operators has thirty thousand. About a second's work."""

Field = tuple[int, int, int, int, int]
"""(number, wire type, where it begins, value, where it ends): ``value`` is a varint's number, or where the payload
of a field with a length begins, which goes on to its end."""


class MalformedError(ValueError):
    """The bytes are not what they claim to be, or more than one reader may be asked for."""


class Wire:
    """The fields of messages inside ``data``. One thread. Raises MalformedError."""

    def __init__(self, data: bytes, most: int = MAX_FIELDS) -> None:
        self.data = data
        self._left = most

    def fields(self, begin: int, end: int) -> Iterator[Field]:
        """Those of the message in ``data[begin:end]``, in order."""
        at = begin
        while at < end:
            self._left -= 1
            if self._left < 0:
                raise MalformedError("has more fields than a model has")
            start = at
            tag, at = self._varint(at, end)
            number, wire = tag >> 3, tag & 7
            if not number:
                raise MalformedError(f"has a field without a number at byte {start}")
            if wire == VARINT:
                value, at = self._varint(at, end)
                yield number, wire, start, value, at
                continue
            if wire == LENGTH:
                length, at = self._varint(at, end)
            elif wire in (FIXED32, FIXED64):
                length = 4 if wire == FIXED32 else 8
            else:
                raise MalformedError(f"has a field of unknown type {wire} at byte {start}")
            if length > end - at:
                raise MalformedError(f"ends in the middle of the field at byte {start}")
            yield number, wire, start, at, at + length
            at += length

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        value = shift = 0
        start = at
        while at < end:
            byte = self.data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value & 0xFFFFFFFFFFFFFFFF, at
            shift += 7
            if shift >= 70:
                raise MalformedError(f"has a number that does not end at byte {start}")
        raise MalformedError(f"ends in the middle of a number at byte {start}")


def varint(value: int) -> bytes:
    """``value``, not negative, as a varint."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))


def with_length(number: int, payload: bytes) -> bytes:
    """``payload`` as field ``number``."""
    return varint(number << 3 | LENGTH) + varint(len(payload)) + payload
