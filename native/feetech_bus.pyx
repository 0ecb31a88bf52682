# cython: language_level=3
"""A Feetech bus for the native loop: a sync read and a sync write a cycle, over any native transport."""

from spinal.native.clock cimport ManualClock, sp_clock_manual, sp_clock_monotonic

DEF_SERVOS = 32
PROTECTS = SP_FEETECH_ERROR_SENSOR | SP_FEETECH_ERROR_HEAT | SP_FEETECH_ERROR_CURRENT | SP_FEETECH_ERROR_OVERLOAD
"""Error bits of a reply by which a servo says that it protects itself: it gives less torque, or none."""
PUSHES = SP_FEETECH_ERROR_CURRENT | SP_FEETECH_ERROR_OVERLOAD
"""Those of them that pushing for long may raise, as a gripper does."""


cdef class SerialLine:
    """An open serial line, pty or socketpair end (``fd``, which the caller keeps open) as a transport.

    Raises OSError when the descriptor cannot be made non-blocking.
    """

    def __init__(self, int fd):
        cdef int failure = sp_serial_init(&self.line, fd)
        if failure:
            raise OSError(-failure, f"descriptor {fd} cannot be used as a serial line")
        self.transport = sp_serial_transport(&self.line)

    @property
    def address(self):
        """Where the C transport lies, for a bus."""
        return <size_t>&self.transport


cdef class FeetechBus(Bus):
    """Joints on one Feetech line.

    ``joints``: per joint (id, zero_count, unit_per_count, count_min, count_max, torque_limit), unit rad or m, the
    last as share of the motor's greatest torque.
    ``transport``: whatever has a ``address``: a SerialLine or an emulator's memory transport.
    ``clock``: a ManualClock for lock-step, None for CLOCK_MONOTONIC.
    ``health_every``: each so many-th cycle asks one servo about itself (voltage, temperature, current, torque),
    in turns; 0: never.
    Raises ValueError for joints that the protocol cannot carry.
    """

    def __init__(self, joints, int baud, transport not None, ManualClock clock=None, int health_every=0):
        cdef sp_feetech_joint plan[32]
        cdef size_t address = transport.address
        if len(joints) > DEF_SERVOS:
            raise ValueError(f"{len(joints)} joints on one bus: at most {DEF_SERVOS}")
        for i, (servo, zero_count, unit_per_count, count_min, count_max, torque_limit) in enumerate(joints):
            plan[i] = sp_feetech_joint(servo, zero_count, unit_per_count, count_min, count_max, torque_limit)
        failure = sp_feetech_bus_init(
            &self.bus, plan, len(joints), baud, health_every, (<sp_transport *>address)[0],
            sp_clock_monotonic() if clock is None else sp_clock_manual(&clock.clock),
        )
        if failure:
            raise ValueError(f"a Feetech bus cannot have these joints: {joints}")
        self.view = sp_feetech_bus_view(&self.bus)
        self.joint_count = len(joints)
        self.owners = (transport, clock)

    @property
    def wire_ns(self):
        """How long one cycle of reading and writing occupies the wire, ns."""
        return sp_feetech_bus_wire_ns(&self.bus)

    @property
    def health_wire_ns(self):
        """And how much longer one that asks a servo about itself, at most, ns: while the tick sleeps."""
        return sp_feetech_bus_health_wire_ns(&self.bus)

    @property
    def health_missed(self):
        """How many servos did not say how they are when it was their turn."""
        return self.bus.health.missed
