"""Emergency stops: words that stay pressed, and every road that presses them, with lines made for the purpose."""

import ctypes
import errno
import os
import select
import signal
import subprocess
import sys

import pytest
from loop_rig import SteppedRig
from native_build import build
from waiting import until

from spinal.native import layout, stop_lines
from spinal.native.clock import now_ns
from spinal.native.shared import Segment
from spinal.native.stop_lines import (
    LineWatch,
    StopLine,
    WiredLine,
    off_signal,
    press_on_signal,
    signal_sender,
)

MS = 1_000_000


@pytest.fixture
def segment():
    made = Segment.create("stops", [64])
    yield made
    made.close()


def test_the_first_press_stays_until_it_is_released(segment):
    line, other = StopLine(segment, 0, 3), StopLine(segment, 0, 4)
    assert line.pressed_ns == 0
    assert line.press(700)
    assert not line.press(900)
    assert line.pressed_ns == 700
    assert other.pressed_ns == 0
    line.release()
    assert line.pressed_ns == 0
    before = now_ns()
    assert line.press()
    assert before <= line.pressed_ns <= now_ns()


def test_an_instant_of_zero_is_still_pressed(segment):
    line = StopLine(segment, 0, 0)
    line.press(0)
    assert line.pressed_ns


def test_only_words_that_are_there(segment):
    assert [StopLine(segment, 0, i).address for i in range(8)] == [
        segment.part_address(0) + 8 * i for i in range(8)
    ]
    for index in (-1, 8):
        with pytest.raises(ValueError, match=r"stop line|part"):
            StopLine(segment, 0, index)


def test_who_may_only_read_cannot_press(segment):
    reader = Segment.attach_reader("stops", segment.open_reader_fd())
    line = StopLine(reader, 0, 0)
    StopLine(segment, 0, 0).press(5)
    assert line.pressed_ns == 5
    with pytest.raises(PermissionError):
        line.press()
    with pytest.raises(PermissionError):
        line.release()
    reader.close()
    with pytest.raises(ValueError, match="closed"):
        _ = line.pressed_ns


@pytest.mark.parametrize("before", ["ready", "running", "holding"])
def test_the_loop_stops_in_the_next_tick_and_stays_stopped(segment, before):
    line = StopLine(segment, 0, 7)
    rig = SteppedRig()
    rig.loop = rig.new_loop(stop_lines=[StopLine(segment, 0, i) for i in range(8)])
    rig.running() if before != "ready" else rig.ready()
    if before == "holding":
        rig.order(layout.ORDER_HOLD)
        rig.tick()
    assert rig.loop.mode == before
    line.press()
    rig.tick()
    assert rig.loop.mode == "stopped"
    line.release()
    rig.publish(rig.path())
    rig.tick(50)
    assert rig.loop.mode == "stopped"
    assert int(rig.state["latched"]) & layout.Condition.ESTOP
    assert rig.state["at_rest"]
    assert rig.state["energised"], "it holds, and does not drop"


def test_a_line_that_is_pressed_from_the_start_keeps_the_arm_from_arming(segment):
    line = StopLine(segment, 0, 0)
    line.press()
    rig = SteppedRig()
    rig.loop = rig.new_loop(stop_lines=[line])
    rig.tick(20)
    assert rig.loop.mode == "off"
    line.release()
    rig.tick_until("ready")


# The signal road.

STUCK = """
import ctypes, signal, sys
from spinal.native.shared import Segment
from spinal.native.stop_lines import StopLine, press_on_signal
segment = Segment.attach_writer("stops", int(sys.argv[1]))
press_on_signal(signal.SIGUSR1, StopLine(segment, 0, 1))
print("ready", flush=True)
# PyDLL keeps the interpreter's lock; the read goes on after a handler: no line of Python runs until a byte comes.
count = ctypes.PyDLL(None).read(0, ctypes.create_string_buffer(1), 1)
print("on", count, flush=True)
"""


def asleep(pid):
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] == "S"


def test_a_signal_presses_while_the_interpreter_is_stuck(segment):
    line = StopLine(segment, 0, 1)
    with subprocess.Popen(
        [sys.executable, "-c", STUCK, str(segment.fd)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=[segment.fd],
        cwd=os.path.dirname(os.path.dirname(__file__)),
    ) as process:
        try:
            assert process.stdout.readline() == b"ready\n"
            until(lambda: asleep(process.pid), "it waits for the byte")
            before = now_ns()
            process.send_signal(signal.SIGUSR1)
            until(lambda: line.pressed_ns, "the handler presses")
            assert before <= line.pressed_ns <= now_ns()
            assert not select.select([process.stdout], [], [], 0)[0], "Python has not moved on"
            first = line.pressed_ns
            process.send_signal(signal.SIGUSR1)
            process.stdin.write(b"x")
            process.stdin.flush()
            assert process.stdout.readline() == b"on 1\n", "no system call is cut short by it"
            assert line.pressed_ns == first
        finally:
            process.kill()


def test_the_signal_is_given_back(segment):
    heard = []
    before = signal.signal(signal.SIGUSR1, lambda number, frame: heard.append(number))
    line = StopLine(segment, 0, 0)
    try:
        press_on_signal(signal.SIGUSR1, line)
        with pytest.raises(RuntimeError, match="already"):
            press_on_signal(signal.SIGUSR1, StopLine(segment, 0, 1))
        assert signal_sender(signal.SIGUSR1) == 0
        os.kill(os.getpid(), signal.SIGUSR1)
        until(lambda: line.pressed_ns, "the signal presses")
        assert signal_sender(signal.SIGUSR1) == os.getpid()
        assert heard == []
        line.release()
        off_signal(signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGUSR1)
        until(lambda: heard, "Python's own handler is back")
        assert line.pressed_ns == 0
    finally:
        off_signal(signal.SIGUSR1)
        signal.signal(signal.SIGUSR1, before)


def test_signals_that_cannot_press(segment):
    line = StopLine(segment, 0, 0)
    for number in (signal.SIGKILL, 0, 500):
        with pytest.raises(OSError, match="Invalid"):
            press_on_signal(number, line)
    off_signal(signal.SIGUSR2)  # never installed: nothing happens


# Wired lines.


class Pin:
    """A GPIO value file, written in place as the kernel's is."""

    def __init__(self, folder, text="0\n"):
        self.path = folder / "value"
        self.path.write_text(text)
        self.fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        self._out = os.open(self.path, os.O_WRONLY | os.O_CLOEXEC)

    def set(self, text):
        os.pwrite(self._out, text.encode(), 0)
        os.ftruncate(self._out, len(text))

    def close(self):
        os.close(self._out)


@pytest.fixture
def pin(tmp_path):
    made = Pin(tmp_path)
    yield made
    made.close()


@pytest.fixture
def watching():
    """Watches that are closed when the test ends."""
    made = []

    def watch(*lines, **options):
        made.append(LineWatch(lines, **options))
        made[-1].start()
        return made[-1]

    yield watch
    for one in made:
        one.close()


def says(watch, index=0):
    return watch.readings()[index].says


def a_few_more(watch, index=0):
    """The line is read a few times more."""
    goal = watch.readings()[index].reads + 5
    until(lambda: watch.readings()[index].reads >= goal, "the line is read")


@pytest.mark.parametrize(("active_high", "idle", "active"), [(True, "0\n", "1\n"), (False, "1", "0")])
def test_a_gpio_file_presses_while_it_is_active(segment, pin, watching, active_high, idle, active):
    pin.set(idle)
    line = StopLine(segment, 0, 4)
    watch = watching(WiredLine(pin.fd, "gpio", active_high, line))
    a_few_more(watch)
    assert (says(watch), line.pressed_ns) == (stop_lines.IDLE, 0)
    before = now_ns()
    pin.set(active)
    until(lambda: line.pressed_ns, "the line is pressed")
    assert line.pressed_ns >= before
    first = line.pressed_ns
    assert watch.readings()[0].pressed_by == stop_lines.ACTIVE

    pin.set(idle)
    until(lambda: says(watch) == stop_lines.IDLE, "the button is out")
    assert line.pressed_ns == first, "it stays pressed: a person releases it"
    line.release()
    a_few_more(watch)
    assert line.pressed_ns == 0

    pin.set(active)
    until(lambda: line.pressed_ns, "it is pressed again")
    line.release()
    until(lambda: line.pressed_ns, "what is active cannot be released")


@pytest.mark.parametrize("garbage", ["", "2", "x", "10", "0 ", "\n", "-1", "0\n0\n", "1\n\n"])
@pytest.mark.parametrize("active_high", [True, False])
def test_garbage_in_the_file_counts_as_pressed(segment, pin, watching, garbage, active_high):
    pin.set(garbage)
    line = StopLine(segment, 0, 0)
    watch = watching(WiredLine(pin.fd, "gpio", active_high, line))
    until(lambda: line.pressed_ns, "the line is pressed")
    assert says(watch) == stop_lines.UNREADABLE
    assert watch.readings()[0].pressed_error == errno.EBADMSG


@pytest.mark.parametrize("gone", ["removed", "replaced", "never there"])
def test_a_file_that_is_gone_counts_as_pressed(segment, pin, watching, tmp_path, gone):
    line = StopLine(segment, 0, 0)
    watch = watching(WiredLine(-1 if gone == "never there" else pin.fd, "gpio", True, line))
    if gone == "removed":
        pin.path.unlink()
    elif gone == "replaced":
        (tmp_path / "new").write_text("0\n")
        (tmp_path / "new").rename(pin.path)
    until(lambda: line.pressed_ns, "the line is pressed")
    expected = errno.EBADF if gone == "never there" else errno.ENOENT
    assert watch.readings()[0].pressed_error == expected


def test_a_pty_has_no_modem_lines_and_counts_as_pressed(segment, watching):
    master, slave = os.openpty()
    line = StopLine(segment, 0, 0)
    watch = watching(WiredLine(slave, "cts", False, line))
    until(lambda: line.pressed_ns, "the line is pressed")
    assert watch.readings()[0].pressed_error in (errno.ENOTTY, errno.EINVAL)
    os.close(master)


@pytest.fixture(scope="module")
def modem(tmp_path_factory):
    library = ctypes.CDLL(str(build("fake_modem.c", tmp_path_factory.mktemp("modem"))))

    class Modem:
        address = ctypes.cast(library.modem_control, ctypes.c_void_p).value

        def set(self, **values):
            for name, value in values.items():
                ctypes.c_int.in_dll(library, f"modem_{name}").value = value

    return Modem()


@pytest.fixture
def adapter(modem):
    modem.set(bits=0, error=0, stuck=0)
    yield modem
    modem.set(stuck=0)


def port():
    """A descriptor for the fake to be asked with."""
    return os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)


@pytest.mark.parametrize("kind", stop_lines.MODEM_LINES)
@pytest.mark.parametrize("active_high", [True, False])
def test_a_modem_line_presses_while_it_is_active(segment, watching, adapter, kind, active_high):
    bit = stop_lines.MODEM_LINES[kind]
    others = sum(stop_lines.MODEM_LINES.values()) - bit
    idle, active = (others, bit) if active_high else (bit, others)
    adapter.set(bits=idle)
    line = StopLine(segment, 0, 0)
    watch = watching(WiredLine(port(), kind, active_high, line), control=adapter.address)
    a_few_more(watch)
    assert (says(watch), line.pressed_ns) == (stop_lines.IDLE, 0)
    adapter.set(bits=active)
    until(lambda: line.pressed_ns, "the line is pressed")
    assert watch.readings()[0].pressed_by == stop_lines.ACTIVE


def test_an_adapter_that_is_unplugged_counts_as_pressed(segment, watching, adapter):
    line = StopLine(segment, 0, 0)
    watch = watching(WiredLine(port(), "cts", True, line), control=adapter.address)
    a_few_more(watch)
    assert line.pressed_ns == 0
    adapter.set(error=errno.EIO)
    until(lambda: line.pressed_ns, "the line is pressed")
    assert watch.readings()[0].pressed_error == errno.EIO


def test_an_adapter_that_does_not_answer_counts_as_pressed_and_delays_nobody(
    segment, watching, adapter, tmp_path, pin
):
    stuck, other = StopLine(segment, 0, 0), StopLine(segment, 0, 1)
    watch = watching(
        WiredLine(port(), "cts", True, stuck),
        WiredLine(pin.fd, "gpio", True, other),
        control=adapter.address,
        silent_polls=20,
    )
    a_few_more(watch)
    adapter.set(stuck=1)
    until(lambda: stuck.pressed_ns, "the silent line is pressed")
    assert says(watch) == stop_lines.SILENT
    assert watch.readings()[0].pressed_by == stop_lines.SILENT
    a_few_more(watch, 1)
    assert other.pressed_ns == 0
    pin.set("1\n")
    until(lambda: other.pressed_ns, "the other line is heard meanwhile")
    adapter.set(stuck=0)
    until(lambda: says(watch) == stop_lines.IDLE, "it answers again")
    assert stuck.pressed_ns, "and stays pressed"


def test_a_watch_that_is_closed_over_a_stuck_adapter_never_presses_again(segment, adapter, monkeypatch):
    monkeypatch.setattr(stop_lines, "STOP_LIMIT_NS", 20 * MS)
    line = StopLine(segment, 0, 0)
    watch = LineWatch([WiredLine(port(), "cts", False, line)], control=adapter.address, silent_polls=1000)
    adapter.set(bits=stop_lines.MODEM_LINES["cts"])
    watch.start()
    a_few_more(watch)
    adapter.set(stuck=1)
    running = threads()
    watch.close()
    assert watch.readings() == []
    adapter.set(bits=0, stuck=0)  # it comes back and would find the line active
    until(lambda: threads() == running - 2, "both threads end")
    assert line.pressed_ns == 0
    watch.close()


def threads():
    return len(os.listdir("/proc/self/task"))


def test_threads_and_descriptors_end_with_the_watch(segment, pin):
    before = threads(), len(os.listdir("/proc/self/fd"))
    watch = LineWatch([WiredLine(os.dup(pin.fd), "gpio", True, StopLine(segment, 0, 0))])
    watch.start()
    assert threads() > before[0]
    watch.close()
    until(lambda: (threads(), len(os.listdir("/proc/self/fd"))) == before, "nothing is left")


def test_watches_that_make_no_sense_are_refused(segment):
    line = WiredLine(-1, "gpio", True, StopLine(segment, 0, 0))
    for lines in ([], [line] * 5):
        with pytest.raises(ValueError, match="1 to 4"):
            LineWatch(lines)
    with pytest.raises(KeyError):
        LineWatch([line._replace(kind="dtr")])
    with pytest.raises(ValueError, match="above 0"):
        LineWatch([line], period_ns=0)
