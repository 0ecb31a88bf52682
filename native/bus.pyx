# cython: language_level=3
"""Buses for the native loop: what every kind has in common, and several as one. See ``core/bus.h``."""

import os

from libc.errno cimport EINVAL

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

    def torque(self, double share):
        """Switches torque: ``share`` of each joint's own limit, 0 to 1; 0 is off. The loop's thread alone.

        Raises OSError when the line fails, ValueError for a share that is none or a bus that cannot.
        """
        if self.view.torque == NULL:
            raise ValueError("this bus cannot switch torque")
        cdef int failure = self.view.torque(self.view.context, share)
        if failure == -EINVAL:
            raise ValueError(f"a share of torque is 0 to 1, not {share}")
        if failure:
            raise OSError(-failure, os.strerror(-failure))

    @property
    def health(self):
        """What each joint's motor says about itself, as dictionaries (sp_joint_health); None: it tells nothing."""
        if self.view.health == NULL:
            return None
        return [self.view.health[i] for i in range(self.joint_count)]


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
