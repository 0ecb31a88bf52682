"""Setting servos up, against emulated ones on a manual clock: what is written, in which order, and what fails."""

import pytest
from servo_bus import Bus

from spinal.drivers.feetech.configure import ServoSetup, configure, release, setups
from spinal.drivers.feetech.registers import BY_NAME
from spinal.native import feetech
from spinal.runtime.config.load import load_robot
from spinal.runtime.errors import BusError

SERVOS = (ServoSetup(1, "elbow"), ServoSetup(2, "gripper", torque_fraction=0.5))
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


def test_the_loop_finds_servos_without_a_profile_holding_where_they_are(bus):
    configure(bus.watched, SERVOS)
    for index, (present, limit) in enumerate([(1234, 1000), (3000, 500)]):
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
        assert register(bus, index, "torque_enable") == 1


def test_torque_comes_last_with_the_goal_at_the_present_position(bus):
    configure(bus.watched, SERVOS)
    for servo, present in ((1, 1234), (2, 3000)):
        written = [(name, value) for who, name, value in bus.watched.writes if who == servo]
        assert written[-2:] == [("goal_position", present), ("torque_enable", 1)]
        assert [name for name, _ in written].count("torque_enable") == 1


def test_nothing_is_saved_that_is_already_right(bus):
    configure(bus.watched, SERVOS)
    saved = [name for _, name, _ in bus.watched.writes if BY_NAME[name].address < EEPROM_END]
    assert saved == []
    assert "lock" not in [name for _, name, _ in bus.watched.writes]


@pytest.mark.parametrize("changed", ["mode", "return_delay"])
def test_what_must_be_saved_is_written_with_torque_off_and_locked_again(bus, changed):
    put(bus, 1, **{changed: 3, "torque_enable": 1})
    configure(bus.watched, SERVOS)
    assert not [name for who, name, _ in bus.watched.writes if who == 1 and name in ("mode", "return_delay")]
    written = [(name, value) for who, name, value in bus.watched.writes if who == 2]
    assert written[:5] == [
        ("torque_enable", 0),
        ("lock", 0),
        ("mode", 0),
        ("return_delay", 0),
        ("lock", 1),
    ]
    bus.emulator.power_cycle(1)
    assert register(bus, 1, changed) == 0, "it was saved"


def test_an_arm_that_holds_is_never_let_go(bus):
    put(bus, 0, torque_enable=1)
    configure(bus.watched, SERVOS)
    assert ("torque_enable", 0) not in [(name, value) for _, name, value in bus.watched.writes]


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
    servos = (ServoSetup(1, "elbow", 1.0, 1300, 2900), ServoSetup(2, "gripper"))
    with pytest.raises(BusError, match=r"outside its limits: elbow \(count 1234, allowed 1300 to 2900\)"):
        configure(bus.watched, servos)
    assert bus.watched.writes == []
    bus.emulator.set_present(0, 1300)
    configure(bus.watched, servos)
    assert register(bus, 0, "torque_enable") == 1


@pytest.mark.parametrize("fault", ["drop_replies", "corrupt_replies"])
def test_a_lost_reply_is_asked_for_again(bus, fault):
    bus.emulator.set_faults(0, **{fault: 2})
    configure(bus.watched, SERVOS)
    assert register(bus, 0, "torque_enable") == 1


def test_a_servo_that_falls_silent_in_the_middle_is_named(bus):
    class Falling(Watched):
        def write(self, data):
            super().write(data)
            if self.writes and self.writes[-1][:2] == (2, "acceleration"):
                bus.emulator.set_faults(1, silent=True)

    with pytest.raises(BusError, match=r"gripper \(id 2\) stopped answering during set-up"):
        configure(Falling(bus.wire), SERVOS)
    assert register(bus, 1, "torque_enable") == 0, "torque comes last"


def test_replies_that_arrive_from_before_are_not_taken_for_answers(bus):
    bus.wire.write(feetech.read(1, BY_NAME["present_position"].address, 2))
    bus.wire.now_ns += 5_000_000  # its reply, 1234, lies in the line: no model number
    configure(bus.watched, SERVOS)
    assert register(bus, 0, "torque_enable") == 1


def test_release_switches_torque_off_and_nothing_else(bus):
    configure(bus.watched, SERVOS)
    bus.watched.writes.clear()
    release(bus.watched, SERVOS)
    assert bus.watched.writes == [(1, "torque_enable", 0), (2, "torque_enable", 0)]


def test_set_up_takes_a_grippers_share_of_torque_from_the_robot_file(tmp_path):
    from robot_files import write_robot

    robot = load_robot(write_robot(tmp_path))
    found = setups(robot.joints)
    assert [(servo.id, servo.name, servo.torque_fraction) for servo in found] == [
        (servo.id, servo.name, servo.torque_fraction) for servo in SERVOS
    ]
    elbow, gripper = robot.joints
    for end in (elbow.limits.position_min, elbow.limits.position_max):
        count = elbow.count_at_zero + elbow.counts_per_unit * end
        assert found[0].count_min < count < found[0].count_max, "the limits themselves are allowed"
    assert found[1].count_max == float("inf"), gripper.name
