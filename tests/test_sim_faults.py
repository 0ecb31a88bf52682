"""What the simulated robot does when something is wrong: asked for in shared memory, seen on the wire."""

import math
import socket
from dataclasses import dataclass, field

import numpy as np
import pytest
from waiting import until

from spinal.drivers.sim.cartpick import CartpickWorld
from spinal.drivers.sim.faults import FAR_M, Faults, FaultyPoses
from spinal.drivers.sim.servos import SimulatedServos
from spinal.drivers.sim.supply import AMBIENT_C, SOURCE_OHM, STALL_A, STANDBY_A, SUPPLY_V, Supply, drawn
from spinal.native import feetech, layout
from spinal.native.clock import now_ns
from spinal.native.emulator import Emulator, EmulatorServer, MemoryTransport
from spinal.runtime.config.load import load_robot
from spinal.runtime.segments import FaultsReader, FaultsWriter, PoseSample, Writer, create

MS = 1_000_000
STEP_NS = 2 * MS
JOINTS = 6


@pytest.fixture(scope="module")
def world():
    return CartpickWorld()


@dataclass
class SimRobot:
    """The simulated robot without its process: servos on a memory transport, physics a step at a time."""

    world: CartpickWorld
    now_ns: int = 1_000_000_000
    cycled: list[int] = field(default_factory=list)

    def __post_init__(self):
        self.world.reset(3)
        self.robot = load_robot("launch/robots/so101_sim.toml")
        self.servos = SimulatedServos(self.robot.joints, self.world, 1_000_000)
        self.emulator = self.servos.emulator
        self.wire = MemoryTransport(self.emulator)
        self.segment = create(Writer.SUPERVISOR, JOINTS)
        self.writer = FaultsWriter(self.segment)
        self.begin()

    def begin(self):
        self.faults = Faults(FaultsReader(self.segment), self.servos, self.world, self._power_cycle)
        self.poses = FaultyPoses(self.faults)

    def _power_cycle(self, index):
        self.cycled.append(index)
        self.emulator.power_cycle(index)

    def hold(self):
        """Torque on where it stands."""
        for index in range(JOINTS):
            self.emulator.put_register(index, 42, self.emulator.register(index, 56, 2), 2)
            self.emulator.put_register(index, 40, 1)
        return self

    def step(self, count=1):
        for _ in range(count):
            self.now_ns += STEP_NS
            self.faults.apply()
            self.servos.drive(self.now_ns)
            self.world.step()
            self.servos.measure()

    def ask(self, index, address=56, width=15):
        """One read of servo ``index``, or None."""
        self.wire.write(feetech.read(self.emulator.ids[index], address, width))
        packets = feetech.scan(self.wire.read(self.wire.now_ns + 10 * MS)).packets
        return packets[0] if packets else None

    def servo(self, index, **faults):
        for word, value in faults.items():
            self.writer.faults["servos"][index][word] = value
        self.writer.publish()
        self.step()


@pytest.fixture
def arm(world):
    return SimRobot(world).hold()


def test_nothing_is_wrong_unless_it_is_asked_for(arm):
    arm.step(5)
    for index in range(JOINTS):
        answer = arm.ask(index)
        assert answer is not None
        assert answer.error == 0
    assert arm.cycled == []


def test_what_only_rises_happens_once_a_rise(arm):
    arm.servo(1, drop_replies=2)
    assert [arm.ask(1) is None for _ in range(4)] == [True, True, False, False]
    arm.servo(2, silent=1)
    assert arm.ask(1), "another fault was published: nothing more is lost of the first"
    arm.servo(1, drop_replies=3)
    assert [arm.ask(1) is None for _ in range(2)] == [True, False]
    arm.servo(1, corrupt_replies=1)
    assert [arm.ask(1) is None for _ in range(2)] == [True, False]


def test_a_simulator_that_is_restarted_does_not_repeat_what_was(arm):
    arm.servo(1, drop_replies=2, power_cycles=1, silent=1)
    assert arm.cycled == [1]
    arm.emulator.set_faults(1)
    arm.begin()
    assert arm.cycled == [1]
    assert arm.ask(1) is None, "what lasts is in force again"
    arm.servo(1, silent=0)
    assert arm.ask(1) is not None


def test_silent_unplugged_delayed_and_complaining_servos(arm):
    arm.servo(0, silent=1)
    arm.servo(1, unplugged=1)
    arm.servo(2, error_bits=0x20)
    assert arm.ask(0) is None
    assert arm.ask(1) is None
    assert arm.ask(2).error == 0x20
    arm.servo(3, extra_delay_ns=3 * MS)
    before_ns = arm.wire.now_ns
    assert arm.ask(3) is not None
    assert arm.wire.now_ns - before_ns > 3 * MS
    arm.writer.clear()
    arm.step()
    assert all(arm.ask(index).error == 0 for index in range(JOINTS))


def test_a_power_cycle_takes_the_torque_and_the_settings(arm):
    arm.emulator.put_register(2, 48, 700, 2)
    arm.servo(2, power_cycles=1)
    assert arm.emulator.register(2, 40) == 0
    assert arm.emulator.register(2, 48, 2) == 1000
    arm.writer.clear()
    arm.step()
    assert arm.cycled == [2], "clearing is no further cycle"


def test_a_frozen_servo_says_the_same_bytes_while_its_joint_moves(arm):
    arm.step(50)
    frozen = arm.ask(1).params
    arm.servo(1, frozen=1)
    arm.servo(1, push=-2.0)
    arm.step(100)
    assert arm.ask(1).params == frozen
    arm.servo(1, frozen=0)
    assert arm.ask(1).params != frozen


def test_a_push_moves_a_joint_and_a_jam_holds_it(arm):
    arm.step(100)
    before = arm.world.joint_position()
    arm.servo(0, push=2.5)
    arm.step(100)
    pushed = arm.world.joint_position()
    assert pushed[0] - before[0] > 0.005
    assert np.abs(pushed[1:] - before[1:]).max() < 0.002
    arm.servo(0, push=0.0)
    arm.step(200)
    assert abs(arm.world.joint_position()[0] - before[0]) < 0.001, "nothing stays of it"

    for index in (1, 5):
        arm.servo(index, jam=1)
    stuck = arm.world.joint_position()
    for index, away in ((1, 300), (5, -500)):
        goal = arm.emulator.register(index, 56, 2) + away
        arm.emulator.put_register(index, 42, goal, 2)
    arm.step(300)
    assert np.abs(arm.world.joint_position()[[1, 5]] - stuck[[1, 5]]).max() < 1e-3
    assert abs(arm.world.joint_load()[1]) == pytest.approx(1.0), "it pushes with all it has"
    arm.writer.clear()
    arm.step(300)
    assert abs(arm.world.joint_position()[1] - stuck[1]) > 0.3


def test_supply_and_temperature_follow_the_physics_until_they_are_overridden(arm):
    arm.step(100)
    idle_volts, idle_celsius = arm.emulator.register(1, 62), arm.emulator.register(1, 63)
    assert idle_volts == pytest.approx(120, abs=2)
    assert idle_celsius == AMBIENT_C
    arm.servo(1, jam=1)
    arm.emulator.put_register(1, 42, arm.emulator.register(1, 56, 2) + 400, 2)
    arm.emulator.put_register(1, 36, 100)  # or overload protection would end it after two seconds
    arm.step(5000)
    assert arm.emulator.register(1, 69, 2) * 6.5e-3 == pytest.approx(STANDBY_A + STALL_A, abs=0.02)
    assert arm.emulator.register(1, 63) - idle_celsius == pytest.approx(4, abs=1), "of 99 K, ten of 260 s"
    assert arm.emulator.register(0, 63) - idle_celsius < 3
    assert arm.emulator.register(0, 62) <= idle_volts - 2, "one supply for all"
    arm.servo(4, decivolts=71, celsius=68)
    arm.step(50)
    assert (arm.emulator.register(4, 62), arm.emulator.register(4, 63)) == (71, 68)
    assert arm.emulator.register(3, 62) != 71


def test_a_whole_arm_at_its_limits_and_one_that_rests():
    loads = np.array([1.0, -1.0, 0.0])
    assert drawn(loads).tolist() == pytest.approx([STANDBY_A + STALL_A] * 2 + [STANDBY_A])
    supply = Supply(3)
    supply.advance(drawn(loads), 1.0)
    assert supply.volts == pytest.approx(SUPPLY_V - SOURCE_OHM * (2 * STALL_A + 3 * STANDBY_A))
    assert supply.celsius[0] == supply.celsius[1] > supply.celsius[2] >= AMBIENT_C


@pytest.mark.parametrize("cuts", [1, 7, 100])
def test_warmth_does_not_depend_on_how_time_is_cut(cuts):
    whole, cut = Supply(2), Supply(2)
    amperes = np.array([2.0, 0.5])
    whole.advance(amperes, 70.0)
    for _ in range(cuts):
        cut.advance(amperes, 70.0 / cuts)
    assert cut.celsius == pytest.approx(whole.celsius)


def sample(number):
    return PoseSample(number * 10 * MS, number * 10 * MS + 8 * MS, 0.1 + number, 0.2, 0.3, 0.4)


def passed(arm, numbers):
    through = []
    for number in numbers:
        one = sample(number)
        through += arm.poses.passed([one], one.arrival_ns)
    return through


def pose(arm, **faults):
    for word, value in faults.items():
        arm.writer.faults[word] = value
    arm.writer.publish()
    arm.step()


def test_a_healthy_pose_stream_passes_untouched(arm):
    assert passed(arm, range(5)) == [sample(number) for number in range(5)]


def test_a_pose_stream_that_ends_and_comes_back(arm):
    pose(arm, pose_kind=layout.POSE_OFF)
    assert passed(arm, range(5)) == []
    pose(arm, pose_kind=layout.POSE_AS_IT_IS)
    assert passed(arm, range(5, 7)) == [sample(5), sample(6)]


def test_a_stuck_pose_stream_has_fresh_stamps_and_one_pose(arm):
    pose(arm, pose_kind=layout.POSE_STUCK)
    stuck = passed(arm, range(3, 8))
    assert {one[2:] for one in stuck} == {sample(3)[2:]}
    assert [one.capture_ns for one in stuck] == [sample(number).capture_ns for number in range(3, 8)]
    pose(arm, pose_kind=layout.POSE_AS_IT_IS)
    passed(arm, [8])
    pose(arm, pose_kind=layout.POSE_STUCK)
    assert passed(arm, [9])[0].x == sample(9).x, "stuck anew"


def test_garbage_poses_are_no_numbers_or_far_away(arm):
    pose(arm, pose_kind=layout.POSE_NAN)
    assert all(math.isnan(value) for value in passed(arm, [1])[0][2:])
    pose(arm, pose_kind=layout.POSE_FAR)
    assert passed(arm, [2]) == [sample(2)._replace(x=sample(2).x + FAR_M)]


def test_a_late_pose_stream_keeps_its_capture_stamps(arm):
    pose(arm, pose_delay_ns=25 * MS)
    late = passed(arm, range(6))
    assert late == [sample(number) for number in range(3)], "25 ms behind: two and a half periods"


def test_a_thinned_pose_stream_passes_each_third(arm):
    pose(arm, pose_every=3)
    assert len(passed(arm, range(9))) == 3


def test_a_served_servo_loses_its_power_though_nobody_speaks():
    here, there = socket.socketpair()
    emulator = Emulator((1, 2))
    for index in (0, 1):
        emulator.put_register(index, 40, 1)
    server = EmulatorServer(emulator, there.fileno())
    with here, there, server:
        server.power_cycle(1)

        def torque():
            emulator.advance(now_ns())
            return [drive.torque for drive in emulator.references()]

        until(lambda: torque() == [True, False], "servo 2 without torque")
        with pytest.raises(ValueError, match="no such servo"):
            server.power_cycle(2)


def test_a_servo_loses_its_power_when_nobody_serves_too():
    emulator = Emulator((1, 2))
    emulator.put_register(1, 40, 1)
    EmulatorServer(emulator, 0).power_cycle(1)
    assert emulator.register(1, 40) == 0


def test_the_simulated_arm_holds_where_it_stands_until_a_controller_comes(world):
    arm = SimRobot(world)
    arm.step(5)
    before = arm.world.joint_position()
    arm.step(500)
    assert np.abs(arm.world.joint_position() - before).max() < 0.005
    for index in range(JOINTS):
        arm.emulator.put_register(index, 40, 0)
    arm.step(500)
    assert np.abs(arm.world.joint_position() - before).max() > 0.1, "and would fall"
