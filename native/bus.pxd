from libc.stdint cimport uint64_t

cdef extern from "bus.h" nogil:
    ctypedef struct sp_bus_counts:
        uint64_t cycles
        uint64_t missing_replies
        uint64_t bad_packets
        uint64_t failed_writes
    ctypedef struct sp_bus:
        void *context


cdef class Bus:
    cdef sp_bus view
    cdef readonly int joint_count
    cdef object owners
