"""Setting servos up, against emulated ones on a manual clock: what is written, in which order, and what fails."""

from dataclasses import replace

import pytest
from servo_bus import Bus

from spinal.drivers.feetech.configure import ServoSetup, configure, release, setups
from spinal.drivers.feetech.registers import BY_NAME
from spinal.native import feetech
from spinal.runtime.config.load import load_robot
from spinal.runtime.errors import BusError

SERVOS = (ServoSetup(1, "elbow", 0.8), ServoSetup(2, "gripper", 0.5))
EEPROM_END = 40
NAMES = {register.address: register.name for register in BY_NAME.values()}


class Watched:
    """A wire that remembers every write that went over it, as (servo, register, value)."""

    def __init__(self, wire):
        self._wire = wire
        self.writes = []

    def __getattr__(self, name):
        return getattr(self._wire, name)

    def write(self, data):
        servo, instruction, *rest = data[2], *data[4:-1]
        if instruction == 3:
            self.writes.append((servo, NAMES[rest[0]], int.from_bytes(bytes(rest[1:]), "little")))
        self._wire.write(data)


@pytest.fixture
def bus():
    """Two servos as a person left them: moved by hand, with another program's profile and torque limit."""
    bus = Bus((1, 2))
    bus.emulator.set_present(0, 1234)
    bus.emulator.set_present(1, 3000)
    for index in (0, 1):
        put(bus, index, acceleration=50, goal_velocity=300, goal_time=7, torque_limit=700, lock=1)
    bus.watched = Watched(bus.wire)
    return bus


def put(bus, index, **registers):
    for name, value in registers.items():
        bus.emulator.put_register(index, BY_NAME[name].address, value, BY_NAME[name].width)


def register(bus, index, name):
    return bus.emulator.register(index, BY_NAME[name].address, BY_NAME[name].width)


def test_the_loop_finds_servos_without_a_profile_and_with_goals_where_they_are(bus):
    configure(bus.watched, SERVOS)
    for index, (present, limit) in enumerate([(1234, 800), (3000, 500)]):
        found = {
            name: register(bus, index, name)
            for name in ("acceleration", "goal_velocity", "goal_time", "torque_limit", "goal_position")
        }
        assert found == {
            "acceleration": 0,
            "goal_velocity": 0,
            "goal_time": 0,
            "torque_limit": limit,
            "goal_position": present,
        }


@pytest.mark.parametrize("torque", [0, 1])
def test_torque_is_left_as_it_is_found_and_the_goal_comes_last(bus, torque):
    for index in (0, 1):
        put(bus, index, torque_enable=torque)
    configure(bus.watched, SERVOS)
    for index, (servo, present) in enumerate([(1, 1234), (2, 3000)]):
        written = [(name, value) for who, name, value in bus.watched.writes if who == servo]
        assert written[-1] == ("goal_position", present)
        assert "torque_enable" not in [name for name, _ in written]
        assert register(bus, index, "torque_enable") == torque


@pytest.mark.parametrize(("torque", "goal"), [(1, 2700), (0, 3000)])
def test_a_gripper_that_holds_keeps_the_goal_that_it_cannot_reach(bus, torque, goal):
    put(bus, 1, torque_enable=torque, goal_position=2700)
    put(bus, 0, torque_enable=1, goal_position=900)
    configure(bus.watched, [SERVOS[0], replace(SERVOS[1], grips=True)])
    assert register(bus, 0, "goal_position") == 1234
    assert register(bus, 1, "goal_position") == goal
    assert register(bus, 1, "torque_enable") == torque


def test_nothing_is_saved_that_is_already_right(bus):
    configure(bus.watched, SERVOS)
    saved = [name for _, name, _ in bus.watched.writes if BY_NAME[name].address < EEPROM_END]
    assert saved == []
    assert "lock" not in [name for _, name, _ in bus.watched.writes]


@pytest.mark.parametrize("changed", ["mode", "return_delay"])
def test_what_must_be_saved_is_saved_and_locked_again(bus, changed):
    put(bus, 1, **{changed: 3})
    configure(bus.watched, SERVOS)
    assert not [name for who, name, _ in bus.watched.writes if who == 1 and name in ("mode", "return_delay")]
    written = [
        (name, value) for who, name, value in bus.watched.writes if who == 2 and name != "torque_enable"
    ]
    assert written[:4] == [("lock", 0), ("mode", 0), ("return_delay", 0), ("lock", 1)]
    bus.emulator.power_cycle(1)
    assert register(bus, 1, changed) == 0, "it was saved"


def test_an_arm_that_holds_is_never_let_go_for_a_setting_of_the_line(bus):
    """Its reference stays at the goal that it holds, through every frame of the set-up."""
    held = []

    class Holding(Watched):
        def write(self, data):
            super().write(data)
            bus.emulator.advance(bus.wire.now_ns)
            held.append([drive.torque for drive in bus.emulator.references()])

    for index in (0, 1):
        put(bus, index, torque_enable=1, return_delay=250)
    configure(Holding(bus.wire), SERVOS)
    assert len(held) > 20
    assert all(held_one == [True, True] for held_one in held)
    assert register(bus, 0, "return_delay") == 0


def test_a_servo_in_another_mode_lets_go_before_its_goal_means_something_else(bus):
    put(bus, 1, mode=3, torque_enable=1)
    configure(bus.watched, SERVOS)
    assert next((name, value) for who, name, value in bus.watched.writes if who == 2) == ("torque_enable", 0)
    bus.emulator.advance(1)
    assert register(bus, 1, "torque_enable") == 0
    assert register(bus, 1, "goal_position") == 3000, "the loop will hold it where it is"


def test_a_servo_that_answers_reads_only_is_asked_what_it_made_of_each_write(bus):
    put(bus, 1, status_level=0, return_delay=250)
    configure(bus.watched, SERVOS)
    found = [
        register(bus, 1, name) for name in ("return_delay", "acceleration", "torque_limit", "goal_position")
    ]
    assert found == [0, 0, 500, 3000]
    assert register(bus, 1, "status_level") == 0, "as its owner set it"
    bus.watched.writes.clear()
    release(bus.watched, SERVOS)
    assert bus.watched.writes == [(1, "torque_enable", 0), (2, "torque_enable", 0)]


def test_a_servo_that_takes_no_value_is_named_with_the_register(bus):
    """At status level 0 nobody says so by himself."""
    put(bus, 1, status_level=0)

    class Deaf(Watched):
        def write(self, data):
            if data[2] == 2 and data[4] == 3 and data[5] == BY_NAME["torque_limit"].address:
                data = data[:6] + b"\x07" + data[7:]  # garbled: its checksum is wrong
            super().write(data)

    with pytest.raises(BusError, match=r"gripper \(id 2\) does not take 500 as its torque_limit"):
        configure(Deaf(bus.wire), SERVOS)


def test_every_silent_servo_is_named_and_none_is_touched(bus):
    bus.emulator.set_faults(1, unplugged=True)
    with pytest.raises(BusError, match=r"no answer from gripper \(id 2\)") as raised:
        configure(bus.watched, SERVOS)
    assert "power and cabling" in raised.value.hint
    assert bus.watched.writes == []
    bus.emulator.set_faults(0, silent=True)
    with pytest.raises(BusError, match=r"no answer from elbow \(id 1\), gripper \(id 2\)"):
        configure(bus.watched, SERVOS)
    assert bus.watched.writes == []


def test_another_model_is_refused_untouched(bus):
    put(bus, 1, model_number=1284)
    with pytest.raises(BusError, match="not an STS3215: gripper: model 1284"):
        configure(bus.watched, SERVOS)
    assert bus.watched.writes == []


def test_an_arm_that_stands_outside_its_limits_is_refused_untouched(bus):
    servos = (ServoSetup(1, "elbow", 1.0, 1300, 2900), ServoSetup(2, "gripper", 1.0))
    with pytest.raises(BusError, match=r"outside its limits: elbow \(count 1234, allowed 1300 to 2900\)"):
        configure(bus.watched, servos)
    assert bus.watched.writes == []
    bus.emulator.set_present(0, 1300)
    configure(bus.watched, servos)
    assert register(bus, 0, "goal_position") == 1300


@pytest.mark.parametrize("fault", ["drop_replies", "corrupt_replies"])
def test_a_lost_reply_is_asked_for_again(bus, fault):
    bus.emulator.set_faults(0, **{fault: 2})
    configure(bus.watched, SERVOS)
    assert register(bus, 0, "goal_position") == 1234


def test_a_servo_that_falls_silent_in_the_middle_is_named(bus):
    class Falling(Watched):
        def write(self, data):
            super().write(data)
            if self.writes and self.writes[-1][:2] == (2, "acceleration"):
                bus.emulator.set_faults(1, silent=True)

    with pytest.raises(BusError, match=r"gripper \(id 2\) stopped answering during set-up"):
        configure(Falling(bus.wire), SERVOS)
    assert register(bus, 1, "torque_enable") == 0


def test_replies_that_arrive_from_before_are_not_taken_for_answers(bus):
    bus.wire.write(feetech.read(1, BY_NAME["present_position"].address, 2))
    bus.wire.now_ns += 5_000_000  # its reply, 1234, lies in the line: no model number
    configure(bus.watched, SERVOS)
    assert register(bus, 0, "goal_position") == 1234


def test_release_switches_torque_off_and_nothing_else(bus):
    configure(bus.watched, SERVOS)
    bus.watched.writes.clear()
    release(bus.watched, SERVOS)
    assert bus.watched.writes == [(1, "torque_enable", 0), (2, "torque_enable", 0)]


def test_set_up_takes_each_motors_share_of_torque_from_the_robot_file(tmp_path):
    from robot_files import write_robot

    robot = load_robot(write_robot(tmp_path, ("torque_fraction = 1.0", "torque_fraction = 0.8")))
    found = setups(robot.joints)
    assert [(servo.id, servo.name, servo.torque_fraction) for servo in found] == [
        (1, "elbow", 0.8),
        (2, "gripper", 0.5),
    ]
    elbow, gripper = robot.joints
    for end in (elbow.limits.position_min, elbow.limits.position_max):
        count = elbow.count_at_zero + elbow.counts_per_unit * end
        assert found[0].count_min < count < found[0].count_max, "the limits themselves are allowed"
    assert found[1].count_max == float("inf"), gripper.name
