# cython: language_level=3
"""The limiter of one joint, for tests and tools; the tick calls the same C. See ``core/limiter.h``."""

POSITION = SP_LIMITED_POSITION
VELOCITY = SP_LIMITED_VELOCITY
ACCELERATION = SP_LIMITED_ACCELERATION
JERK = SP_LIMITED_JERK
INVALID = SP_LIMITED_INVALID
EMERGENCY = SP_LIMITED_EMERGENCY
OUTSIDE_POSITION = SP_OUTSIDE_POSITION
OUTSIDE_VELOCITY = SP_OUTSIDE_VELOCITY
OUTSIDE_ACCELERATION = SP_OUTSIDE_ACCELERATION
OUTSIDE_JERK = SP_OUTSIDE_JERK


cdef sp_limits as_limits(limits) except *:
    low, high, velocity, acceleration, jerk = limits
    return sp_limits(low, high, velocity, acceleration, jerk)


cdef class Limiter:
    """One joint at rest at ``position``; each call is one tick of ``dt_s`` seconds.

    ``limits`` and ``emergency``: (position_min, position_max, velocity, acceleration, jerk), rad or m and seconds.
    Without ``emergency`` its limits are those at the start. ValueError where ``position`` is not finite.
    Calls return the bits of what kept the request from passing unchanged, 0 for nothing.
    """

    cdef sp_limits _limits
    cdef sp_limits _emergency
    cdef sp_limiter joint
    cdef double dt_s

    def __init__(self, limits, double dt_s, double position=0.0, emergency=None):
        self._limits = as_limits(limits)
        self._emergency = self._limits if emergency is None else as_limits(emergency)
        self.dt_s = dt_s
        if not sp_limiter_rest(&self.joint, position):
            raise ValueError(f"a joint cannot rest at {position}")

    def step(self, double position, double velocity=0.0, double acceleration=0.0):
        """Towards a setpoint; from outside the viable set, back into it."""
        cdef sp_motion request = sp_motion(position, velocity, acceleration)
        return sp_limiter_step_or_return(&self.joint, &self._limits, &self._emergency, self.dt_s, &request)

    def brake(self):
        """Towards rest."""
        return sp_limiter_brake_or_return(&self.joint, &self._limits, &self._emergency, self.dt_s)

    def step_normal(self, double position, double velocity=0.0, double acceleration=0.0):
        """As ``step``, without emergency limits."""
        cdef sp_motion request = sp_motion(position, velocity, acceleration)
        return sp_limiter_step(&self.joint, &self._limits, self.dt_s, &request)

    def brake_normal(self):
        """As ``brake``, without emergency limits."""
        return sp_limiter_brake(&self.joint, &self._limits, self.dt_s)

    def step_gripper(self, double position):
        """A step, limited in position and speed."""
        return sp_limiter_step_gripper(&self.joint, &self._limits, self.dt_s, position)

    def rest(self, double position):
        """Puts the joint at rest there; False, and nothing done, where it is not finite."""
        return bool(sp_limiter_rest(&self.joint, position))

    def push(self, double position, double velocity=0.0, double acceleration=0.0):
        """Puts the joint into this state, whatever it is."""
        self.joint = sp_limiter(position, velocity, acceleration, sp_motion(position, velocity, acceleration))

    def is_viable(self):
        """Whether the limits are usable and a brake inside them keeps the joint inside them."""
        return bool(sp_limiter_is_viable(&self.joint, &self._limits, self.dt_s))

    def brake_path(self):
        """(lowest, highest, rest): where a brake inside the limits passes from now on, and where it ends."""
        cdef sp_brake_path path = sp_limiter_brake_path(&self.joint, &self._limits, self.dt_s)
        return path.lowest, path.highest, path.rest

    @property
    def limits(self):
        """May be changed live."""
        cdef sp_limits now = self._limits
        return now.position_min, now.position_max, now.velocity, now.acceleration, now.jerk

    @limits.setter
    def limits(self, limits):
        self._limits = as_limits(limits)

    @property
    def position(self):
        return self.joint.position

    @property
    def velocity(self):
        """Backward difference of the emitted positions."""
        return self.joint.velocity

    @property
    def acceleration(self):
        """Second backward difference."""
        return self.joint.acceleration

    @property
    def setpoint(self):
        """The motion (position, velocity, acceleration) that the last command stands for."""
        return (self.joint.setpoint.position, self.joint.setpoint.velocity, self.joint.setpoint.acceleration)


def scaled(limits, double scale):
    """The limits at a speed scale of 0 to 1: velocity alone is scaled, so that a joint stops as well as before."""
    cdef sp_limits whole = as_limits(limits)
    cdef sp_limits slow = sp_limits_scaled(&whole, scale)
    return slow.position_min, slow.position_max, slow.velocity, slow.acceleration, slow.jerk


def between(before, one, other, double share, double dt_s):
    """The step of a joint between two from ``before``, each (position, velocity, acceleration): at 0 the one."""
    cdef sp_limiter states[3]
    for k, (position, velocity, acceleration) in enumerate((before, one, other)):
        states[k] = sp_limiter(position, velocity, acceleration, sp_motion(position, velocity, acceleration))
    cdef sp_limiter there = sp_limiter_between(&states[0], &states[1], &states[2], share, dt_s)
    return there.position, there.velocity, there.acceleration
