from libc.stdint cimport int64_t, uint8_t, uint64_t

from spinal.native.bus cimport Bus, sp_bus
from spinal.native.clock cimport sp_clock
from spinal.native.transport cimport sp_transport

cdef extern from "serial.h" nogil:
    ctypedef struct sp_serial:
        int fd
    int sp_serial_init(sp_serial *, int) noexcept
    sp_transport sp_serial_transport(sp_serial *) noexcept

cdef extern from "feetech_bus.h" nogil:
    enum: SP_FEETECH_ERROR_SENSOR
    enum: SP_FEETECH_ERROR_HEAT
    enum: SP_FEETECH_ERROR_CURRENT
    enum: SP_FEETECH_ERROR_OVERLOAD
    ctypedef struct sp_feetech_joint:
        uint8_t id
        double zero_count
        double unit_per_count
        double count_min
        double count_max
        double torque_limit
    ctypedef struct sp_feetech_health:
        uint64_t missed
    ctypedef struct sp_feetech_bus:
        int count
        sp_feetech_health health
    int sp_feetech_bus_init(sp_feetech_bus *, const sp_feetech_joint *, int, int, int, sp_transport, sp_clock) noexcept
    int64_t sp_feetech_bus_health_wire_ns(const sp_feetech_bus *) noexcept
    int64_t sp_feetech_bus_wire_ns(const sp_feetech_bus *) noexcept
    sp_bus sp_feetech_bus_view(sp_feetech_bus *) noexcept


cdef class SerialLine:
    cdef sp_serial line
    cdef sp_transport transport


cdef class FeetechBus(Bus):
    cdef sp_feetech_bus bus
