# cython: language_level=3
"""The reflexes of one joint, for tests and tools; the tick calls the same C. See ``core/reflex.h``."""


cdef class Reflex:
    """One joint; each call is one tick. ``limits``: a ``loop.ReflexLimits``."""

    cdef sp_reflex_limits _limits
    cdef sp_reflex reflex

    def __init__(self, limits):
        self._limits = limits._asdict()
        sp_reflex_begin(&self.reflex)

    def tick(self, int64_t tick_ns, double command=0.0, double position=0.0, double velocity=0.0, double load=0.0, *,
             bint fresh=True, health=None, bint energised=True, uint32_t error=0):
        """The conditions (``layout.Condition`` bits) of a tick at which this was measured.

        ``command``: what was written last. ``health``: (stamp_ns, voltage, temperature) of the newest reading, V and
        degree Celsius; None is a bus that tells nothing. ``error``: the motor's own error bits.
        """
        cdef sp_joint_sample sample = sp_joint_sample(position, velocity, load, tick_ns, error, fresh)
        cdef sp_joint_health reading
        cdef sp_limiter commanded
        commanded.position = command
        if health is None:
            return sp_reflex_tick(&self.reflex, &self._limits, &sample, NULL, &commanded, tick_ns, energised)
        stamp_ns, voltage, temperature = health
        reading = sp_joint_health(stamp_ns, voltage, temperature, 0, 0, 1)
        return sp_reflex_tick(&self.reflex, &self._limits, &sample, &reading, &commanded, tick_ns, energised)

    @property
    def lagged(self):
        """The command as the servo should have followed it by the last tick; rad or m."""
        return self.reflex.lagged

    @property
    def outside(self):
        """Torque that the joint's own motion does not explain, as a share of the motor's greatest."""
        return self.reflex.outside

    @property
    def rest(self):
        """What of it the joint carries anyway."""
        return self.reflex.rest
