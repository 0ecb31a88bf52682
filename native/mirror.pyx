# cython: language_level=3
"""Ideal servos in memory, for measuring what a tick costs by itself. See ``core/mirror.h``."""

from libc.stdint cimport uint8_t, uint16_t

from spinal.native.transport cimport sp_transport

cdef extern from "mirror.h" nogil:
    ctypedef struct sp_mirror:
        uint16_t counts[256]
        uint8_t torque[256]
        uint16_t limits[256]
    void sp_mirror_init(sp_mirror *, uint16_t) noexcept
    sp_transport sp_mirror_transport(sp_mirror *) noexcept


cdef class MirrorTransport:
    """Servos of every id, each at its last goal, all at ``count`` (register counts) to begin with."""

    cdef sp_mirror mirror
    cdef sp_transport transport

    def __init__(self, int count=2048):
        if not 0 <= count <= 4095:
            raise ValueError(f"a servo stands at 0 to 4095 counts, not {count}")
        sp_mirror_init(&self.mirror, count)
        self.transport = sp_mirror_transport(&self.mirror)

    @property
    def address(self):
        """Where the C transport lies, for a bus."""
        return <size_t>&self.transport

    def count(self, int servo):
        """Where a servo stands, register counts."""
        if not 0 <= servo <= 255:
            raise ValueError(f"no servo has the id {servo}")
        return self.mirror.counts[servo]

    def torque(self, int servo):
        """The torque limit of a servo that is on, permille; 0: it is off."""
        if not 0 <= servo <= 255:
            raise ValueError(f"no servo has the id {servo}")
        return self.mirror.limits[servo] if self.mirror.torque[servo] else 0
