"""The default task: pick a block off a cart that drives about and turns at random.

The cart drives at 0.06-0.16 m/s, takes a new velocity 0.6 times a second (and turns back at the edges
of its field), and accelerates at 1.5 m/s^2 at most. The block must rise above 0.075 m in the hand and
stay there for 0.3 s, all within 5 s of its appearance; below 0.025 m it has been dropped.

Nothing here knows of controllers: the servos drive to what ``apply`` was given last, physics advances
by 2 ms a ``step``, and anyone may look. One thread only. The same seed and the same ``apply`` calls give
the same run to the last bit. Every purpose has a random generator of its own, so suppressing one turn
changes nothing but that turn.
"""

import math
from typing import Literal, NamedTuple

import mujoco
import numpy as np
from numpy.typing import NDArray

from spinal.drivers.sim import arm6

STEP_NS = 2_000_000
_STEP_S = STEP_NS * 1e-9

CART_SPEED_M_S = (0.06, 0.16)
TURN_RATE_HZ = 0.6
CART_ACCELERATION_M_S2 = 1.5
FIELD_M = ((0.14, 0.195), (-0.08, 0.08))
"""Where the cart turns back: (lowest, highest) x, then y."""
LIFTED_ABOVE_M = 0.075
HELD_NS = 300_000_000
TIME_LIMIT_NS = 5_000_000_000
DROPPED_BELOW_M = 0.025
IN_HAND_M = 0.03

BLOCK_HALF_M = (0.0125, 0.0125, 0.02)
LIFT_POINT_M = (0.17, 0.0, 0.115)
"""Tool point where a picked block is held, and where the ``lifted`` start puts the arm."""
JAW_CLOSED_M = 0.004
JAM_DAMPING = 1e5
"""N m s/rad (N s/m on the jaw): with all its torque a servo creeps by 0.1 rad an hour."""

Start = Literal["home", "lifted"]
Outcome = Literal["success", "dropped", "timeout"]
EventKind = Literal["spawn", "turn", "edge", "success", "dropped", "timeout"]

_CART_STIFFNESS, _CART_DAMPING = 4000.0, 160.0
_BODIES = f"""
  <body name="cart" pos="0 0 .01">
   <joint name="cart_x" type="slide" axis="1 0 0" damping="0" frictionloss="0" armature="0"/>
   <joint name="cart_y" type="slide" axis="0 1 0" damping="0" frictionloss="0" armature="0"/>
   <geom type="cylinder" size=".045 .01" contype="2" conaffinity="3" rgba=".2 .5 .8 1" mass="1"
    friction="1 .02 .001"/></body>
  <body name="block"><freejoint name="block"/>
   <geom name="block" type="box" size="{BLOCK_HALF_M[0]} {BLOCK_HALF_M[1]} {BLOCK_HALF_M[2]}" mass=".03"
    contype="6" conaffinity="3" friction="1 .02 .001" condim="4" rgba=".85 .15 .15 1"/></body>"""
_ACTUATORS = f"""
  <position joint="cart_x" kp="{_CART_STIFFNESS}" kv="{_CART_DAMPING}" forcerange="-200 200"/>
  <position joint="cart_y" kp="{_CART_STIFFNESS}" kv="{_CART_DAMPING}" forcerange="-200 200"/>"""


class Event(NamedTuple):
    """Something that happened in the world: when, in world time, and what."""

    time_ns: int
    kind: EventKind


class CartpickWorld:
    """Arm, cart and block under physics. Build once, then ``reset`` for every run.

    ``suppress_turn`` names the turn, counted from 0 over the whole run, that does not take place: the
    run with it is the twin of the run without, the same up to that turn's instant.
    """

    def __init__(self, suppress_turn: int | None = None) -> None:
        self.model = mujoco.MjModel.from_xml_string(arm6.mjcf(_BODIES, _ACTUATORS))
        self.data = mujoco.MjData(self.model)
        self._suppress_turn = suppress_turn
        self._qpos: NDArray[np.float64] = self.data.qpos
        self._qvel: NDArray[np.float64] = self.data.qvel
        self._ctrl: NDArray[np.float64] = self.data.ctrl
        self._gain = self.model.actuator_gainprm[:6].copy()
        self._bias = self.model.actuator_biasprm[:6].copy()
        self._force_limit = self.model.actuator_forcerange[:6, 1].copy()
        self._damping = self.model.dof_damping[:6].copy()
        self._torque_share = np.ones(6)
        self.reset(0)

    def reset(self, seed: int, start: Start = "home") -> None:
        """Start a run: arm at rest near ``home`` with the jaw open, or at the lift point with it closed."""
        spawn = np.random.default_rng([seed, 1])
        self._spawn = spawn
        self._turn_times = np.random.default_rng([seed, 2])
        self._turn_velocities = np.random.default_rng([seed, 3])
        arm = np.random.default_rng([seed, 4])
        mujoco.mj_resetData(self.model, self.data)
        x, y, z = LIFT_POINT_M
        if start == "home":
            joints = arm6.ik(
                x, arm.uniform(-0.06, 0.06), z + arm.uniform(-0.01, 0.01), arm.uniform(-0.8, 0.8)
            )
            jaw = arm6.JAW_OPEN
        else:
            joints = arm6.ik(x, y, z, arm.uniform(-1.6, 1.6))
            jaw = JAW_CLOSED_M
        self._qpos[:5] = joints
        self._qpos[5:7] = jaw
        self.time_ns = 0
        self.events: list[Event] = []
        self.turns = 0
        self._next_turn_ns = self._turn_gap_ns()
        self.apply(np.append(joints, jaw), np.ones(6))
        self.respawn()

    def respawn(self, rng: np.random.Generator | None = None) -> None:
        """Put cart and block at a new random place and start the task anew; the arm stays as it is.

        Without ``rng`` the run's own generator is drawn from. Places under a lowered hand are avoided.
        """
        rng = self._spawn if rng is None else rng
        tool = self.tool_point()
        while True:
            x, y = rng.uniform(*FIELD_M[0]), rng.uniform(*FIELD_M[1])
            if tool[2] > 0.095 or math.hypot(x - tool[0], y - tool[1]) > 0.08:
                break
        yaw, dx, dy = rng.uniform(-math.pi, math.pi), rng.uniform(-0.012, 0.012), rng.uniform(-0.012, 0.012)
        self._cart, self._cart_velocity = [x, y], [0.0, 0.0]
        self._wanted_velocity = _velocity(rng)
        self._qpos[7:9] = x, y
        self._qpos[9:12] = x + dx, y + dy, 0.04
        self._qpos[12:16] = math.cos(yaw / 2), 0.0, 0.0, math.sin(yaw / 2)
        self._qvel[7:15] = 0.0
        self._ctrl[6:8] = x, y
        self.spawn_ns = self.time_ns
        self.outcome: Outcome | None = None
        self._held_ns = 0
        self.events.append(Event(self.time_ns, "spawn"))

    def apply(self, references: NDArray[np.float64], torque_share: NDArray[np.float64]) -> None:
        """Set what the six servos drive to (rad, the jaw in m) and the share of their torque (0 is limp)."""
        self._ctrl[:6] = references
        if (torque_share == self._torque_share).all():
            return
        self._torque_share = np.array(torque_share, dtype=np.float64)
        on = (self._torque_share > 0)[:, None]
        self.model.actuator_gainprm[:6] = self._gain * on
        self.model.actuator_biasprm[:6] = self._bias * on
        limit = self._force_limit * np.maximum(self._torque_share, 1e-9)
        self.model.actuator_forcerange[:6] = np.stack([-limit, limit], axis=1)

    def disturb(self, push: NDArray[np.float64], jammed: NDArray[np.bool_]) -> None:
        """Push each joint [6] from outside (N m, N on the jaw), and hold those that are jammed where they are.

        It stays so until the next call. A jam is damping that nothing here moves against.
        """
        self.data.qfrc_applied[:6] = push
        self.model.dof_damping[:6] = np.where(jammed, JAM_DAMPING, self._damping)

    def step(self) -> None:
        """Advance by 2 ms: cart control, physics, then the task's bookkeeping."""
        self._drive_cart()
        mujoco.mj_step(self.model, self.data)
        self.time_ns += STEP_NS
        self._judge()

    @property
    def elapsed_ns(self) -> int:
        """Time since the block appeared."""
        return self.time_ns - self.spawn_ns

    @property
    def next_turn_ns(self) -> int:
        """World time at which the cart takes its next velocity."""
        return self._next_turn_ns

    def joint_position(self) -> NDArray[np.float64]:
        """True joint positions [6], rad, the jaw in m."""
        return self._qpos[:6].copy()

    def joint_velocity(self) -> NDArray[np.float64]:
        """True joint velocities [6], rad/s, the jaw in m/s."""
        return self._qvel[:6].copy()

    def joint_load(self) -> NDArray[np.float64]:
        """Servo force over its greatest [6], -1 to 1: what a servo's own load estimate reports."""
        load: NDArray[np.float64] = self.data.actuator_force[:6] / self._force_limit
        return load

    def tool_point(self) -> NDArray[np.float64]:
        """True tool point [3], m."""
        return arm6.fk(self._qpos[:5])

    def block_pose(self) -> tuple[float, float, float, float]:
        """True block pose: x, y, z in m, yaw in rad within (-pi, pi]."""
        x, y, z, w, i, j, k = self._qpos[9:16].tolist()
        return x, y, z, math.atan2(2 * (w * k + i * j), 1 - 2 * (j * j + k * k))

    def block_velocity(self) -> NDArray[np.float64]:
        """True block velocity [3], m/s: for a scripted expert, which no sensor tells."""
        return self._qvel[9:12].copy()

    def _turn_gap_ns(self) -> int:
        return self.time_ns + round(self._turn_times.exponential(1e9 / TURN_RATE_HZ))

    def _drive_cart(self) -> None:
        wanted = self._wanted_velocity
        if self.time_ns >= self._next_turn_ns:
            velocity = _velocity(self._turn_velocities)
            self._next_turn_ns = self._turn_gap_ns()
            if self.turns != self._suppress_turn:
                wanted = velocity
                self.events.append(Event(self.time_ns, "turn"))
            self.turns += 1
        for axis, (low, high) in enumerate(FIELD_M):
            place = self._cart[axis]
            if (place < low and wanted[axis] < 0) or (place > high and wanted[axis] > 0):
                wanted[axis] = -wanted[axis]
                self.events.append(Event(self.time_ns, "edge"))
        self._wanted_velocity = wanted
        dx, dy = wanted[0] - self._cart_velocity[0], wanted[1] - self._cart_velocity[1]
        change, most = math.hypot(dx, dy), CART_ACCELERATION_M_S2 * _STEP_S
        share = most / change if change > most else 1.0
        for axis, delta in enumerate((dx, dy)):
            self._cart_velocity[axis] += share * delta
            self._cart[axis] += self._cart_velocity[axis] * _STEP_S
            lead = self._cart_velocity[axis] * _CART_DAMPING / _CART_STIFFNESS
            self._ctrl[6 + axis] = self._cart[axis] + lead

    def _judge(self) -> None:
        if self.outcome is not None:
            return
        x, y, z = self._qpos[9:12].tolist()
        up = z > LIFTED_ABOVE_M and math.dist((x, y, z), self.tool_point()) < IN_HAND_M
        self._held_ns = self._held_ns + STEP_NS if up else 0
        if self._held_ns >= HELD_NS:
            self.outcome = "success"
        elif z < DROPPED_BELOW_M:
            self.outcome = "dropped"
        elif self.elapsed_ns >= TIME_LIMIT_NS:
            self.outcome = "timeout"
        if self.outcome is not None:
            self.events.append(Event(self.time_ns, self.outcome))


def _velocity(rng: np.random.Generator) -> list[float]:
    speed, heading = rng.uniform(*CART_SPEED_M_S), rng.uniform(-math.pi, math.pi)
    return [speed * math.cos(heading), speed * math.sin(heading)]
