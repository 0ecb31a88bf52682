"""A line that is gone says so at once, whatever kind it is, and the loop holds and says LINE_LOST."""

import os
import pty
import socket
import threading
import tty

import pytest
from loop_rig import DT_NS, MS, Rig

from spinal.native import layout
from spinal.native.clock import now_ns
from spinal.native.emulator import Emulator, EmulatorServer
from spinal.native.feetech_bus import SerialLine
from spinal.native.layout import Condition

PATIENCE_NS = 60_000 * MS
"""The deadline of a read: far behind what any stall of a machine lasts."""
AT_ONCE_NS = 20_000 * MS


class Line:
    """One end that the loop drives, and how the other end goes away."""

    def __init__(self, kind):
        if kind == "socketpair":
            one, other = socket.socketpair()
            self.fd, self._far = one.detach(), other.detach()
        else:
            master, slave = pty.openpty()
            tty.setraw(slave)
            # A slave whose master is closed is hung up: what pulling a USB adapter does to its tty.
            self.fd, self._far = (slave, master) if kind == "hung up" else (master, slave)
        self.line = SerialLine(self.fd)

    @property
    def far(self):
        return self._far

    def pull(self):
        os.close(self._far)
        self._far = -1

    def close(self):
        for fd in (self.fd, self._far):
            if fd >= 0:
                os.close(fd)


@pytest.fixture(params=["socketpair", "hung up", "nobody there"])
def line(request):
    made = Line(request.param)
    yield made
    made.close()


class Patient(Rig):
    """Waits for replies for a minute, so that a read which waits out its deadline is seen."""

    def __init__(self, line):
        super().__init__(line.line, read_budget_ns=PATIENCE_NS)

    def tick(self):
        """One tick; returns how long it read."""
        self.loop.tick(now_ns())
        (record,) = self.records()
        return record["read_ns"] - record["woke_ns"]


def test_a_line_that_is_gone_before_the_tick_is_no_wait(line):
    rig = Patient(line)
    line.pull()
    for _ in range(3):
        assert rig.tick() < AT_ONCE_NS
    assert rig.stats["missing_replies"] == 9


def test_a_line_that_goes_while_its_replies_are_waited_for_ends_the_wait(line):
    rig = Patient(line)

    def pull_when_asked():
        os.read(line.far, 1)
        line.pull()

    puller = threading.Thread(target=pull_when_asked)
    puller.start()
    took_ns = rig.tick()
    puller.join()
    assert took_ns < AT_ONCE_NS


def test_what_lies_in_a_line_that_is_gone_is_still_read(line):
    """The last replies of a servo whose cable was pulled are true."""
    rig = Patient(line)
    emulator = Emulator((1, 2, 6))
    request = []

    def answer_and_pull():
        request.append(os.read(line.far, 100))
        emulator.receive(request[0], 0)
        os.write(line.far, emulator.take(1000 * MS))
        line.pull()

    puller = threading.Thread(target=answer_and_pull)
    puller.start()
    rig.tick()
    puller.join()
    fresh = list(rig.state["joints"]["fresh"])
    # A hang-up empties a tty's buffer, a closed socket keeps its last bytes; either way nobody waits.
    assert fresh in ([1, 1, 1], [0, 0, 0])


def test_a_line_that_is_over_but_reads_as_empty_is_not_polled_until_the_deadline():
    """A datagram socket that is shut down meanwhile: poll says so at once, for ever, and a read says nothing."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs:
        rig = Rig(SerialLine(ours.fileno()), read_budget_ns=PATIENCE_NS)

        def shut_when_asked():
            theirs.recv(100)
            ours.shutdown(socket.SHUT_RDWR)

        shutter = threading.Thread(target=shut_when_asked)
        shutter.start()
        rig.loop.tick(now_ns())
        shutter.join()
        (record,) = rig.records()
        assert record["read_ns"] - record["woke_ns"] < AT_ONCE_NS


@pytest.mark.parametrize("kind", ["socketpair", "hung up"])
def test_a_running_arm_whose_line_goes_holds_and_says_so(kind):
    line, emulator = Line(kind), Emulator((1, 2, 6))
    rig = Rig(line.line, joint_age_limit_ns=40 * MS)
    with EmulatorServer(emulator, line.far):
        begin_ns = now_ns()
        slot = 0
        for giver in (0, 1):
            rig.order(layout.ORDER_RUN, giver=giver)
        while rig.loop.mode != "running":
            slot += 1
            if rig.loop.mode == "ready":
                rig.publish(rig.path_from(begin_ns + slot * DT_NS, steps=40, fresh_for_ns=PATIENCE_NS))
            rig.loop.tick(begin_ns + slot * DT_NS)
            assert slot < 10_000
    line.pull()
    conditions = []
    for _ in range(20):
        slot += 1
        rig.loop.tick(begin_ns + slot * DT_NS)
        conditions.append(Condition(int(rig.records()[-1]["conditions"])))
    first = next(number for number, one in enumerate(conditions) if one & Condition.LINE_LOST)
    assert 40 * MS / DT_NS <= first <= 40 * MS / DT_NS + 2, "as old as a joint's sample may be"
    assert rig.loop.mode == "holding"
    line.close()
