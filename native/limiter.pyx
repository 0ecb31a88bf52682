# cython: language_level=3
"""The limiter of one joint, for tests and tools; the tick calls the same C. See ``core/limiter.h``."""

POSITION = SP_LIMITED_POSITION
VELOCITY = SP_LIMITED_VELOCITY
ACCELERATION = SP_LIMITED_ACCELERATION
JERK = SP_LIMITED_JERK
INVALID = SP_LIMITED_INVALID


cdef class Limiter:
    """One joint at rest at ``position``; each call is one tick of ``dt_s`` seconds.

    ``limits``: (position_min, position_max, velocity, acceleration, jerk), rad or m and seconds.
    Calls return the bits of what kept the request from passing unchanged, 0 for nothing.
    """

    cdef sp_limits limits
    cdef sp_limiter joint
    cdef double dt_s

    def __init__(self, limits, double dt_s, double position=0.0):
        low, high, velocity, acceleration, jerk = limits
        self.limits = sp_limits(low, high, velocity, acceleration, jerk)
        self.dt_s = dt_s
        sp_limiter_rest(&self.joint, position)

    def step(self, double position, double velocity=0.0, double acceleration=0.0):
        """Towards a setpoint."""
        cdef sp_motion request = sp_motion(position, velocity, acceleration)
        return sp_limiter_step(&self.joint, &self.limits, self.dt_s, &request)

    def brake(self):
        """Towards rest."""
        return sp_limiter_brake(&self.joint, &self.limits, self.dt_s)

    def step_gripper(self, double position):
        """A step, limited in position and speed."""
        return sp_limiter_step_gripper(&self.joint, &self.limits, self.dt_s, position)

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


def stop_position_max(limits, double position, double velocity, double acceleration):
    """Where a brake ends at the latest, upwards; continuous time, closed form."""
    low, high, top, a, jerk = limits
    cdef sp_limits bounds = sp_limits(low, high, top, a, jerk)
    return sp_stop_position_max(&bounds, position, velocity, acceleration)
