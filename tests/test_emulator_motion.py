"""What an emulated servo tells its motor: the goal, the profile, limits, protection."""

import math
import socket
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from servo_bus import encoded

from spinal.drivers.feetech.registers import BY_NAME
from spinal.native import feetech
from spinal.native.emulator import Drive, Emulator, EmulatorServer, MemoryTransport

TICK_NS = 1_000_000


class Servo:
    """One servo, its physics stepped by the test."""

    def __init__(self, position_counts: float = 2048.0, **registers: int) -> None:
        self.emulator = Emulator([1], positions_counts=[position_counts])
        self.wire = MemoryTransport(self.emulator)
        self.emulator.advance(0)
        self.set(**registers)

    def set(self, **registers: int) -> None:
        for name, value in registers.items():
            self.wire.write(feetech.write(1, BY_NAME[name].address, encoded(name, value)))
            self.wire.read(self.wire.now_ns + TICK_NS)

    def after(self, seconds: float) -> Drive:
        self.wire.now_ns += round(seconds * 1e9)
        self.emulator.advance(self.wire.now_ns)
        return self.emulator.reference(0)


def test_without_profile_the_reference_is_the_goal_at_once() -> None:
    servo = Servo(torque_enable=1, goal_position=3000)
    drive = servo.after(0)
    assert (drive.position_counts, drive.velocity_counts_s, drive.torque) == (3000, 0, True)
    assert (drive.mode, drive.torque_limit_permille, drive.p) == (0, 1000, 32)


def test_torque_off_lets_the_reference_follow_the_shaft() -> None:
    servo = Servo(goal_position=3000)
    servo.emulator.set_present(0, 1111.0)
    drive = servo.after(0.01)
    assert (drive.position_counts, drive.torque) == (1111, False)


def test_goals_are_held_inside_the_position_limits_and_kept_in_their_register() -> None:
    servo = Servo(torque_enable=1, min_position=1000, max_position=3000, goal_position=3500)
    assert servo.after(0).position_counts == 3000
    assert servo.emulator.register(0, 42, 2) == 3500
    servo.set(goal_position=10)
    assert servo.after(0).position_counts == 1000


def test_homing_offset_moves_the_reference_on_the_shaft() -> None:
    servo = Servo(position_counts=1000.0, torque_enable=128)
    servo.set(torque_enable=1, goal_position=2048 + 50)
    assert servo.after(0).position_counts == pytest.approx(1050)


def test_the_reference_keeps_to_the_turn_that_the_shaft_is_in() -> None:
    servo = Servo(position_counts=2 * 4096 + 2000.0, torque_enable=1, goal_position=2100)
    assert servo.after(0).position_counts == 2 * 4096 + 2100


def test_speed_register_alone_is_a_ramp() -> None:
    servo = Servo(goal_velocity=500, torque_enable=1, goal_position=2548)
    servo.after(0)
    start = servo.emulator.reference(0).position_counts
    drive = servo.after(0.4)
    assert drive.position_counts == pytest.approx(start + 200)
    assert drive.velocity_counts_s == 500
    drive = servo.after(2)
    assert (drive.position_counts, drive.velocity_counts_s) == (2548, 0)


def test_trapezoid_has_the_textbook_duration_and_peak() -> None:
    """1000 counts at 1000 counts/s and 2000 counts/s^2: 0.5 s up, 0.5 s across, 0.5 s down."""
    servo = Servo(acceleration=20, goal_velocity=1000, torque_enable=1)
    servo.after(0)
    servo.set(goal_position=3048)
    servo.emulator.advance(servo.wire.now_ns)
    begun = servo.emulator.reference(0)
    lead_s = begun.velocity_counts_s / 2000  # what passed while the frame was answered
    quarter = servo.after(0.25 - lead_s)
    assert quarter.velocity_counts_s == pytest.approx(500)
    assert quarter.position_counts == pytest.approx(2048 + 62.5)
    middle = servo.after(0.5)
    assert (middle.velocity_counts_s, middle.position_counts) == pytest.approx((1000, 2048 + 500))
    late = servo.after(0.5)
    assert (late.velocity_counts_s, late.position_counts) == pytest.approx((500, 3048 - 62.5))
    done = servo.after(0.25)
    assert (done.velocity_counts_s, done.position_counts) == pytest.approx((0, 3048), abs=1e-3)


@given(
    st.integers(1, 254),
    st.integers(1, 4000),
    st.lists(st.tuples(st.integers(0, 4095), st.integers(1, 400)), min_size=1, max_size=5),
)
def test_profile_keeps_its_limits_whatever_the_goals_and_arrives(
    acceleration: int, speed: int, moves: list[tuple[int, int]]
) -> None:
    servo = Servo(acceleration=acceleration, goal_velocity=speed, torque_enable=1)
    last = servo.after(0)
    limit = acceleration * 100
    for goal, ticks in moves:
        before_ns = servo.wire.now_ns
        servo.set(goal_position=goal)
        for _ in range(ticks):
            drive = servo.after(0.001)
            dt_s = (servo.wire.now_ns - before_ns) * 1e-9
            before_ns = servo.wire.now_ns
            assert abs(drive.velocity_counts_s) <= speed + 1e-6
            assert abs(drive.velocity_counts_s - last.velocity_counts_s) <= limit * dt_s + 1e-6
            assert abs(drive.position_counts - last.position_counts) <= speed * dt_s + 1e-6
            last = drive
    assert servo.after(8200 / speed + 2 * speed / limit + 200).position_counts == moves[-1][0]


@given(st.lists(st.floats(1e-4, 0.2), min_size=1, max_size=40))
def test_the_profile_does_not_depend_on_how_time_is_cut(steps: list[float]) -> None:
    def run(cuts: list[float]) -> Drive:
        servo = Servo(acceleration=10, goal_velocity=700, torque_enable=1, goal_position=4000)
        servo.after(0)
        for cut in cuts:
            servo.after(cut)
        return servo.emulator.reference(0)

    whole, cut = run([sum(round(s * 1e9) for s in steps) * 1e-9]), run(steps)
    assert cut.position_counts == pytest.approx(whole.position_counts, abs=1e-3)
    assert cut.velocity_counts_s == pytest.approx(whole.velocity_counts_s, abs=1e-2)


def test_time_that_goes_back_is_ignored() -> None:
    servo = Servo(goal_velocity=100, torque_enable=1, goal_position=4000)
    before = servo.after(1.0)
    servo.emulator.advance(servo.wire.now_ns - 500_000_000)
    assert servo.emulator.reference(0) == before


def test_velocity_pwm_and_step_mode() -> None:
    servo = Servo(mode=1, torque_enable=1, goal_velocity=-300, acceleration=1)
    servo.after(0)
    begun = servo.emulator.reference(0).velocity_counts_s
    assert servo.after(0.5).velocity_counts_s == pytest.approx(begun - 50)
    assert servo.after(10).velocity_counts_s == -300
    servo.set(mode=2, goal_time=-250)
    assert servo.after(0).pwm_permille == -250
    servo.set(mode=3, acceleration=0, goal_velocity=0, goal_position=-100)
    servo.set(goal_position=-100)
    assert servo.after(0).position_counts == 2048 - 200


def test_overload_cuts_the_torque_until_torque_is_written_again() -> None:
    servo = Servo(torque_enable=1, protection_time=10, overload_torque=25, protective_torque=5)
    servo.emulator.set_present(0, 2048.0, load_permille=-300)
    servo.after(0)
    assert servo.after(0.099).torque_limit_permille == 1000
    assert servo.after(0.002).torque_limit_permille == 50
    assert servo.emulator.register(0, 65) == 0x20
    servo.emulator.set_present(0, 2048.0, load_permille=0)
    assert servo.after(1).torque_limit_permille == 50
    servo.set(torque_enable=1)
    assert servo.after(0).torque_limit_permille == 1000
    assert servo.emulator.register(0, 65) == 0


def test_a_short_load_is_no_overload() -> None:
    servo = Servo(torque_enable=1, protection_time=10, overload_torque=25)
    for _ in range(5):
        servo.emulator.set_present(0, 2048.0, load_permille=300)
        servo.after(0.08)
        servo.emulator.set_present(0, 2048.0, load_permille=100)
        assert servo.after(0.08).torque_limit_permille == 1000


def test_followers_approach_as_a_first_order_lag() -> None:
    servo = Servo(torque_enable=1, goal_position=3048)
    servo.emulator.follow(servo.wire.now_ns, 20_000_000)
    servo.emulator.follow(servo.wire.now_ns + 20_000_000, 20_000_000)
    assert servo.emulator.register(0, 56, 2) == round(3048 - 1000 / math.e)
    assert servo.emulator.register(0, 66) == 1
    servo.emulator.follow(servo.wire.now_ns + 2_000_000_000, 20_000_000)
    assert servo.emulator.register(0, 56, 2) == 3048


def receive(line: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = line.recv(size - len(data))
        assert part, "the server closed the line"
        data += part
    return data


def test_server_answers_on_a_socketpair_and_stops() -> None:
    emulator = Emulator((1, 2, 3))
    ours, theirs = socket.socketpair()
    ours.settimeout(30)
    with ours, theirs, EmulatorServer(emulator, theirs.fileno(), priority=5) as server:
        for _ in range(20):
            ours.send(feetech.sync_read((1, 2, 3), 56, 2))
            assert [p.id for p in feetech.scan(receive(ours, 24)).packets] == [1, 2, 3]
        with pytest.raises(RuntimeError, match="wire side"):
            emulator.take(0)
        emulator.set_present(1, 777.0)
        ours.send(feetech.read(2, 56, 2))
        assert feetech.scan(receive(ours, 8)).packets[0].params == encoded("present_position", 777)
        running = server.report()
        assert running.late_count >= 60
        assert 0 <= running.late_p50_ns <= running.late_max_ns
        assert running.fifo == (running.realtime_error == 0)
        server.stop()
        server.stop()
        assert not server.report().running
        assert emulator.stats().packets == 21
    assert emulator.take(10**18) == b""  # the wire side is ours again


def test_server_ends_when_the_other_end_is_gone() -> None:
    emulator = Emulator((1,))
    ours, theirs = socket.socketpair()
    with theirs, EmulatorServer(emulator, theirs.fileno()) as server:
        ours.close()
        ends_s = time.monotonic() + 30
        while server.report().line != "closed" and time.monotonic() < ends_s:
            pass
        assert server.report().line == "closed"


def test_server_refuses_what_it_cannot_serve() -> None:
    with pytest.raises(ValueError, match="priority"):
        EmulatorServer(Emulator((1,)), 0, priority=100)
    with pytest.raises(OSError, match="descriptor"):
        EmulatorServer(Emulator((1,)), -1).start()
