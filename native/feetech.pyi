"""The Feetech STS codec for Python: values to bytes and back, no I/O.

The bytes come from the native codec (``core/feetech.h``) that the tick uses. Every builder raises
``ValueError`` when the frame would not fit the protocol (250 bytes) or an id or register range is out of
bounds, and ``OverflowError`` when a number is no byte.
"""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

BROADCAST: Final[int]
MAX_FRAME: Final[int]
MAX_PARAMS: Final[int]

class Packet(NamedTuple):
    """A frame whose checksum was right; ``error`` is the instruction when requests are scanned."""

    id: int
    error: int
    params: bytes

class Scan(NamedTuple):
    """What a buffer held: its packets in order, and how many bytes are done with or were in no packet."""

    packets: list[Packet]
    consumed: int
    garbage: int
    bad_checksums: int

def ping(id: int) -> bytes:
    """Ask one servo, or all in the order of their ids (``BROADCAST``), for an empty status."""

def action(id: int = ...) -> bytes:
    """Let servos carry out the reg write they hold."""

def read(id: int, address: int, length: int) -> bytes:
    """Read ``length`` bytes of registers from ``address`` on."""

def write(id: int, address: int, data: bytes) -> bytes:
    """Write registers from ``address`` on."""

def reg_write(id: int, address: int, data: bytes) -> bytes:
    """Write registers from ``address`` on at the next action frame."""

def sync_read(ids: Iterable[int], address: int, length: int) -> bytes:
    """Read the same registers of many servos; each replies by itself, in the order of ``ids``."""

def sync_write(address: int, data: Mapping[int, bytes]) -> bytes:
    """Write the same registers of many servos (id to bytes, all of one length); nobody replies."""

def status(id: int, error: int = 0, params: bytes = b"") -> bytes:
    """Build a servo's reply."""

def replies_size(n: int, length: int) -> int:
    """Bytes on the wire of n replies with ``length`` data bytes each."""

def encode(value: int, sign_bit: int) -> int:
    """Sign and magnitude in 16 bits; a magnitude past the sign bit's reach is held at it."""

def decode(word: int, sign_bit: int) -> int:
    """Invert ``encode``; bits above the sign bit are ignored."""

def scan(data: bytes, *, max_params: int = ..., last: bool = False) -> Scan:
    """Find every whole frame, past garbage and bad checksums.

    Frames of more than ``max_params`` parameters are garbage. ``last`` says that no more bytes will come,
    so that a partial frame is garbage too and what lies behind it is seen.
    """
