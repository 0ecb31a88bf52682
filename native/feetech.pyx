# cython: language_level=3, boundscheck=False, wraparound=False
"""The Feetech STS codec for Python: values to bytes and back, no I/O.

The bytes come from the native codec (``core/feetech.h``) that the tick uses. Every builder raises
``ValueError`` when the frame would not fit the protocol (250 bytes) or an id or register range is out of
bounds, and ``OverflowError`` when a number is no byte.
"""

from typing import NamedTuple

from spinal.native.feetech cimport (
    SP_FEETECH_BROADCAST,
    SP_FEETECH_MAX_FRAME,
    SP_FEETECH_MAX_PARAMS,
    sp_feetech_action,
    sp_feetech_decode,
    sp_feetech_encode,
    sp_feetech_packet,
    sp_feetech_ping,
    sp_feetech_read,
    sp_feetech_reg_write,
    sp_feetech_replies_size,
    sp_feetech_scan,
    sp_feetech_status,
    sp_feetech_sync_read,
    sp_feetech_sync_write,
    sp_feetech_write,
)

BROADCAST = SP_FEETECH_BROADCAST
MAX_FRAME = SP_FEETECH_MAX_FRAME
MAX_PARAMS = SP_FEETECH_MAX_PARAMS


class Packet(NamedTuple):
    """A frame whose checksum was right; ``error`` is the instruction when requests are scanned."""

    id: int
    error: int
    params: bytes


class Scan(NamedTuple):
    """What a buffer held: its packets in order, and how many bytes are done with or were in no packet."""

    packets: list
    consumed: int
    garbage: int
    bad_checksums: int


cdef bytes _frame(const uint8_t *buffer, size_t size):
    if size == 0:
        raise ValueError("no such frame: an id, a register range or the frame's size is out of bounds")
    return (<const char *>buffer)[:size]


def ping(uint8_t id):
    """Ask one servo, or all in the order of their ids (``BROADCAST``), for an empty status."""
    cdef uint8_t buffer[SP_FEETECH_MAX_FRAME]
    return _frame(buffer, sp_feetech_ping(buffer, sizeof(buffer), id))


def action(uint8_t id=SP_FEETECH_BROADCAST):
    """Let servos carry out the reg write they hold."""
    cdef uint8_t buffer[SP_FEETECH_MAX_FRAME]
    return _frame(buffer, sp_feetech_action(buffer, sizeof(buffer), id))


def read(uint8_t id, uint8_t address, uint8_t length):
    """Read ``length`` bytes of registers from ``address`` on."""
    cdef uint8_t buffer[SP_FEETECH_MAX_FRAME]
    return _frame(buffer, sp_feetech_read(buffer, sizeof(buffer), id, address, length))


cdef uint8_t _length(bytes data) except? 0:
    if not 0 < len(data) <= SP_FEETECH_MAX_PARAMS:
        raise ValueError(f"{len(data)} data bytes: a frame carries 1 to {SP_FEETECH_MAX_PARAMS - 1}")
    return <uint8_t>len(data)


def write(uint8_t id, uint8_t address, bytes data):
    """Write registers from ``address`` on."""
    cdef uint8_t buffer[SP_FEETECH_MAX_FRAME]
    cdef uint8_t length = _length(data)
    return _frame(buffer, sp_feetech_write(buffer, sizeof(buffer), id, address, data, length))


def reg_write(uint8_t id, uint8_t address, bytes data):
    """Write registers from ``address`` on at the next action frame."""
    cdef uint8_t buffer[SP_FEETECH_MAX_FRAME]
    cdef uint8_t length = _length(data)
    return _frame(buffer, sp_feetech_reg_write(buffer, sizeof(buffer), id, address, data, length))


def sync_read(ids, uint8_t address, uint8_t length):
    """Read the same registers of many servos; each replies by itself, in the order of ``ids``."""
    cdef uint8_t buffer[SP_FEETECH_MAX_FRAME]
    cdef bytes raw = bytes(ids)
    return _frame(buffer, sp_feetech_sync_read(buffer, sizeof(buffer), raw, len(raw), address, length))


def sync_write(uint8_t address, data):
    """Write the same registers of many servos (id to bytes, all of one length); nobody replies."""
    cdef uint8_t buffer[SP_FEETECH_MAX_FRAME]
    cdef bytes ids = bytes(data)
    cdef bytes runs = b"".join(data.values())
    lengths = {len(run) for run in data.values()}
    if len(lengths) != 1:
        raise ValueError("a sync write needs at least one servo and the same number of bytes for each")
    cdef uint8_t length = _length(next(iter(data.values())))
    return _frame(buffer, sp_feetech_sync_write(buffer, sizeof(buffer), ids, len(ids), address, length, runs))


def status(uint8_t id, uint8_t error=0, bytes params=b""):
    """Build a servo's reply."""
    cdef uint8_t buffer[SP_FEETECH_MAX_FRAME]
    return _frame(buffer, sp_feetech_status(buffer, sizeof(buffer), id, error, params, len(params)))


def replies_size(size_t n, uint8_t length):
    """Bytes on the wire of n replies with ``length`` data bytes each."""
    return sp_feetech_replies_size(n, length)


def encode(int32_t value, int sign_bit):
    """Sign and magnitude in 16 bits; a magnitude past the sign bit's reach is held at it."""
    if not 0 < sign_bit < 16:
        raise ValueError(f"sign bit {sign_bit} is not in 1 to 15")
    return sp_feetech_encode(value, sign_bit)


def decode(uint16_t word, int sign_bit):
    """Invert ``encode``; bits above the sign bit are ignored."""
    if not 0 < sign_bit < 16:
        raise ValueError(f"sign bit {sign_bit} is not in 1 to 15")
    return sp_feetech_decode(word, sign_bit)


def scan(bytes data, *, size_t max_params=SP_FEETECH_MAX_PARAMS, bint last=False):
    """Find every whole frame, past garbage and bad checksums.

    Frames of more than ``max_params`` parameters are garbage. ``last`` says that no more bytes will come,
    so that a partial frame is garbage too and what lies behind it is seen.
    """
    cdef const uint8_t *raw = data
    cdef size_t size = len(data), at = 0, garbage = 0, bad = 0
    cdef sp_feetech_packet packet
    packets = []
    while True:
        found = sp_feetech_scan(raw + at, size - at, max_params, last, &packet)
        at += packet.consumed
        garbage += packet.garbage
        bad += packet.bad_checksums
        if not found:
            return Scan(packets, at, garbage, bad)
        packets.append(Packet(packet.id, packet.error, (<const char *>packet.params)[:packet.count]))
