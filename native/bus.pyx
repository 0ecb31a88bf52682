# cython: language_level=3
"""Buses for the native loop: what every kind has in common, and several as one. See ``core/bus.h``."""

cdef extern from "bus_group.h" nogil:
    enum:
        SP_GROUP_BUSES
    ctypedef struct sp_bus_group:
        int count
    int sp_bus_group_init(sp_bus_group *, const sp_bus *, const int *, int) noexcept
    sp_bus sp_bus_group_view(sp_bus_group *) noexcept

MAX_BUSES = SP_GROUP_BUSES


cdef class Bus:
    """A kind of bus fills ``view`` and ``joint_count``."""


cdef class BusGroup(Bus):
    """Several buses as one: all are asked before any is read. Joints come in the order of ``buses``.

    Raises ValueError for no bus, or more than MAX_BUSES.
    """

    cdef sp_bus_group group

    def __init__(self, buses):
        cdef sp_bus views[SP_GROUP_BUSES]
        cdef int joints[SP_GROUP_BUSES]
        cdef Bus bus
        if not 1 <= len(buses) <= SP_GROUP_BUSES:
            raise ValueError(f"a group has 1 to {SP_GROUP_BUSES} buses, not {len(buses)}")
        for i, one in enumerate(buses):
            bus = one
            views[i] = bus.view
            joints[i] = bus.joint_count
        if sp_bus_group_init(&self.group, views, joints, len(buses)):
            raise ValueError("a bus without joints")
        self.view = sp_bus_group_view(&self.group)
        self.joint_count = sum(bus.joint_count for bus in buses)
        self.owners = list(buses)
