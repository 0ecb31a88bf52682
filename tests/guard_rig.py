"""A guard with everything that it needs, for tests: a controller's segment, and a line whose other end records.

``SteppedGuard`` runs on a manual clock, one wake-up a call, beside a process that is nothing but a pidfd.
``LiveGuard`` is a real guard's thread beside a real process that moves an arm (``guarded_controller.py``).
"""

import os
import select
import signal
import socket
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from loop_rig import EMERGENCY, GRIPPER, IDS, M_PER_COUNT, MS, RAD_PER_COUNT, ZERO_COUNT
from waiting import until

from spinal.native import feetech, layout
from spinal.native.clock import ManualClock
from spinal.native.feetech_bus import FeetechBus, SerialLine
from spinal.native.guard import Guard
from spinal.native.limiter import Limiter
from spinal.native.shared import Mailbox
from spinal.runtime import segments
from spinal.runtime.controller.guard_plan import GuardPlan
from spinal.runtime.segments import CONTROLLER_COMMAND, Writer

DT_NS = 4 * MS
DT_S = DT_NS * 1e-9
SCALES = (RAD_PER_COUNT, -RAD_PER_COUNT, M_PER_COUNT)
STRANGER = 99
"""A servo that only the controller names in its frames: so each frame says who wrote it."""
PLAN = GuardPlan(
    dt_ns=DT_NS,
    poll_ns=2 * MS,
    stopped_ns=15 * MS,
    silent_ns=100 * MS,
    frame_gap_ns=1 * MS,
    emergency=(EMERGENCY, EMERGENCY, GRIPPER),
    grippers=(False, False, True),
    fifo_priority=0,
)
GOAL = 42


def goals(positions):
    """Goal counts of ``positions``, as the bus writes them."""
    return [round_half_away(ZERO_COUNT + p / scale) for p, scale in zip(positions, SCALES, strict=True)]


def round_half_away(value):
    clamped = min(max(value, 0.0), 4095.0)
    return int(np.floor(clamped + 0.5))


def goal_frame(positions, stranger=False):
    """The sync write of these goals."""
    words = dict(zip(IDS, goals(positions), strict=True))
    if stranger:
        words[STRANGER] = 0
    return feetech.sync_write(GOAL, {i: struct.pack("<H", word) for i, word in words.items()})


class Commands:
    """Publishes what a controller would have commanded."""

    def __init__(self, segment):
        self._mailbox = Mailbox(segment, CONTROLLER_COMMAND)
        self._record = np.zeros(1, layout.command_dtype(len(IDS)))

    def publish(self, motions, energised=1, mode=layout.MODE_RUNNING, joint_count=len(IDS)):
        """``motions``: per joint (position, velocity, acceleration)."""
        head = self._record[0]
        head["tick"] += 1
        head["mode"], head["energised"], head["joint_count"] = mode, energised, joint_count
        for i, (position, velocity, acceleration) in enumerate(motions):
            head["joints"][i] = (position, velocity, acceleration, (position, velocity, acceleration))
        self._mailbox.publish(self._record.view(np.uint8))


def brake_from(motions, dt_s=DT_S, limit=5000):
    """[frame, joint] of the positions that bring ``motions`` to rest, first the ones that were commanded last."""
    joints = [Limiter(bounds, dt_s, 0.0, bounds) for bounds in PLAN.emergency]
    for joint, motion in zip(joints, motions, strict=True):
        joint.push(*motion)
    path = [[motion[0] for motion in motions]]
    while True:
        for joint, gripper in zip(joints, PLAN.grippers, strict=True):
            if gripper:
                joint.step_gripper(joint.position)
            else:
                joint.brake()
        path.append([joint.position for joint in joints])
        if all(abs(j.velocity) <= 1e-9 and abs(j.acceleration) <= 1e-6 for j in joints):
            return np.array(path)
        assert len(path) < limit


class Recorder:
    """The far end of the line: every frame of goals that arrived, and who wrote it."""

    def __init__(self, fd):
        self.fd = fd
        os.set_blocking(fd, False)
        self._rest = b""
        self.frames = []
        self.writers = []

    def take(self):
        """Reads what has arrived; returns all frames so far, [frame, joint] in counts."""
        while select.select([self.fd], [], [], 0)[0]:
            try:
                data = os.read(self.fd, 65536)
            except OSError:
                break
            if not data:
                break
            self._rest += data
        scan = feetech.scan(self._rest)
        self._rest = self._rest[scan.consumed :]
        for packet in scan.packets:
            assert packet.params[0] == GOAL
            words = {
                packet.params[at]: int.from_bytes(packet.params[at + 1 : at + 3], "little")
                for at in range(2, len(packet.params), 3)
            }
            self.writers.append("controller" if STRANGER in words else "guard")
            self.frames.append([words[i] for i in IDS])
        return np.array(self.frames)


class Line:
    """A socketpair: the controller's and the guard's end, and a recorder on the other."""

    def __init__(self):
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self.fd, self.far_fd = near.detach(), far.detach()
        self.recorder = Recorder(self.far_fd)

    def close(self):
        for fd in (self.fd, self.far_fd):
            if fd >= 0:
                os.close(fd)
        self.fd = self.far_fd = -1

    def cut(self):
        """The far end is gone: writes fail from now on."""
        os.close(self.far_fd)
        self.far_fd = -1


class _GuardRig:
    def __init__(self, clock, line_fd=None, **changes):
        self.line = Line()
        self.plan = replace(PLAN, **changes)
        self.segment = segments.create(Writer.CONTROLLER, len(IDS))
        fd = self.line.fd if line_fd is None else line_fd
        joints = [(i, ZERO_COUNT, scale, 0.0, 4095.0, 1.0) for i, scale in zip(IDS, SCALES, strict=True)]
        bus = FeetechBus(joints, 1_000_000, SerialLine(fd), clock)
        self.guard = Guard(self.plan, bus, fd, self.segment, CONTROLLER_COMMAND, clock)
        self._children = []

    def frames(self):
        return self.line.recorder.take()

    def close(self):
        for child in self._children:
            if child.poll() is None:
                child.kill()
            child.wait()
            for pipe in (child.stdin, child.stdout):
                if pipe:
                    pipe.close()
        self.guard.stop()
        self.line.close()

    def keep(self, child, watched=True):
        """Watches ``child``, and ends it with the rest."""
        self._children.append(child)
        if watched:
            self._watch(child)
        return child

    def _watch(self, child):
        pidfd = os.pidfd_open(child.pid)
        try:
            self.guard.watch(pidfd)
        finally:
            os.close(pidfd)


class SteppedGuard(_GuardRig):
    """A manual clock, a wake-up a call, and a child that only sleeps."""

    def __init__(self, **changes):
        self.clock = ManualClock(10_000 * MS)
        super().__init__(self.clock, **changes)
        self.commands = Commands(self.segment)
        self.beats = 0

    def child(self, watched=True):
        """A process to be watched."""
        return self.keep(subprocess.Popen(["sleep", "600"]), watched)

    def dead_child(self):
        """One that has died the moment before; watched, unseen so far."""
        child = self.child(watched=False)
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        self._watch(child)
        return child

    def beat(self):
        self.beats += 1
        self.segment.beat(self.beats)

    def wake(self, count=1, late_ns=0):
        """So many wake-ups, each ``late_ns`` behind its time."""
        for _ in range(count):
            self.clock.now_ns = max(self.clock.now_ns, self.guard.next_ns) + late_ns
            self.guard.wake()

    def wake_until(self, *states, limit=20_000):
        for count in range(limit):
            if self.guard.state in states:
                return count
            if self.guard.state == "ending_it":
                select.select([], [], [], 0.001)  # the kernel ends it in its own time
            self.wake()
        raise AssertionError(f"still {self.guard.state}")


class LiveGuard(_GuardRig):
    """The guard's thread in this process, and a controller in another that swings both arms.

    Patient with silence: a shared machine may keep one process waiting while the other runs.
    """

    def __init__(self, silent_ns=5_000 * MS, **changes):
        super().__init__(None, silent_ns=silent_ns, **changes)
        self.guard.start()

    def controller(self, ticks=True):
        """Starts one and watches it; waits for its first ticks unless it is to stay quiet."""
        script = Path(__file__).with_name("guarded_controller.py")
        child = subprocess.Popen(
            [sys.executable, str(script), str(self.line.fd), str(self.segment.fd), str(DT_NS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=(self.line.fd, self.segment.fd),
        )
        self.keep(child)
        assert child.stdout.readline() == b"ready\n"
        if ticks:
            self.tell(child, "tick")
            before = self.segment.heartbeat_ns
            until(lambda: self.segment.heartbeat_ns != before, "the controller ticks")
            seen = len(self.frames())
            until(lambda: len(self.frames()) > seen + 20, "the controller writes")
        return child

    def tell(self, child, word):
        child.stdin.write(word.encode() + b"\n")
        child.stdin.flush()

    def until_rest(self):
        until(lambda: self.guard.state in {"at_rest", "gave_up"}, "the guard is done")
        return self.guard.taken_over

    def last_command(self):
        record = np.zeros(1, layout.command_dtype(len(IDS)))
        assert Mailbox(self.segment, CONTROLLER_COMMAND).read_latest(record.view(np.uint8))
        joints = record[0]["joints"]
        return [(float(j["position"]), float(j["velocity"]), float(j["acceleration"])) for j in joints]


def stopped(pid):
    """Whether the kernel says that it is stopped."""
    with open(f"/proc/{pid}/stat") as stat:
        return stat.read().rpartition(")")[2].split()[0] in "Tt"


def stop(child):
    os.kill(child.pid, signal.SIGSTOP)
