# cython: language_level=3
"""A bus whose motors are numbers in memory, for tests of the loop. See ``core/memory_bus.h``."""

from libc.stdint cimport uint32_t, uint64_t

from spinal.native.bus cimport Bus, sp_bus, sp_joint_health, sp_joint_sample
from spinal.native.limiter cimport sp_limiter

cdef extern from "memory_bus.h" nogil:
    ctypedef struct sp_memory_bus:
        sp_joint_sample samples[16]
        sp_joint_health healths[16]
        sp_limiter written[16]
        int read_failure
        int write_failure
        int torque_failure
        uint64_t writes
        double shares[256]
        uint64_t share_writes[256]
        int share_count
    int sp_memory_bus_init(sp_memory_bus *, int) noexcept
    sp_bus sp_memory_bus_view(sp_memory_bus *, int) noexcept


cdef class MemoryBus(Bus):
    """``joints`` motors that nobody has seen yet. ``tells``: whether it knows of torque and health.

    ValueError for no joint, or too many.
    """

    cdef sp_memory_bus bus

    def __init__(self, int joints, bint tells=True):
        if sp_memory_bus_init(&self.bus, joints):
            raise ValueError(f"a bus of {joints} joints: 1 to 16")
        self.view = sp_memory_bus_view(&self.bus, tells)
        self.joint_count = joints

    cdef int place(self, int joint) except -1:
        if not 0 <= joint < self.joint_count:
            raise IndexError(f"no joint {joint}")
        return joint

    def measure(self, int joint, *, stamp_ns, double position=0.0, double velocity=0.0,
                double load=0.0, bint fresh=True, uint32_t error=0):
        """What the next reads give for a joint; not ``fresh`` is no reply, and the rest does not matter."""
        self.bus.samples[self.place(joint)] = sp_joint_sample(position, velocity, load, stamp_ns, error, fresh)

    def tell(self, int joint, *, stamp_ns, double voltage=12.0, double temperature=30.0, bint torque=True):
        """What a motor says about itself from now on."""
        self.bus.healths[self.place(joint)] = sp_joint_health(stamp_ns, voltage, temperature, 0, 0, torque)

    def fail(self, *, int read=0, int write=0, int torque=0):
        """Calls fail with these (-errno) until it is called again; 0 is success."""
        self.bus.read_failure, self.bus.write_failure, self.bus.torque_failure = read, write, torque

    @property
    def goals(self):
        """Positions of the last write; zeros before the first."""
        return [self.bus.written[i].position for i in range(self.joint_count)]

    @property
    def writes(self):
        """How many writes did not fail."""
        return self.bus.writes

    @property
    def torque_shares(self):
        """Every order about torque so far: (share, writes before it)."""
        return [(self.bus.shares[i], self.bus.share_writes[i]) for i in range(self.bus.share_count)]
