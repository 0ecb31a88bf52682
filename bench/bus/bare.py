"""The floor of a bus cycle, as a process of its own: the same bytes over the same kind of line, nothing else.

``python -m spinal.bench.bus.bare`` serves emulated servos on a socketpair from a native thread, and is itself a
client that knows nothing: it writes the bytes of a sync read, blocks until as many bytes came back as the servos
owe, and writes the bytes of a sync write; behind some of them it asks one servo about itself, as often as the loop
does, and takes the reply before it asks for positions again. No codec, no joints, no deadline, no state, no limits;
the same rate, priority and wire time as the loop that it stands beside. It is Python, in a process where nothing
else takes the interpreter's lock: some 10 us a cycle that our loop does not have.

It prints one JSON line: when each cycle began and how long it took, in ns, and how many bytes never came.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import os
import socket
import struct
import sys

from spinal.native import clock, feetech
from spinal.native.emulator import Emulator, EmulatorServer
from spinal.runtime.parent import end_with_parent

READ_ADDRESS, READ_BYTES = 56, 6
GOAL_ADDRESS, GOAL_BYTES = 42, 2
HEALTH = ((40, 10), (62, 9))
"""Address and bytes of what a servo is asked about itself, in turns: torque and its limit; voltage to current."""
RETURN_DELAY = 7
LOST_AFTER_S = 0.02
"""A reply that takes so long is lost: ten times what a whole cycle takes."""


def main() -> int:
    """One run, from ``--start-ns`` for ``--seconds``; a period of 0 is cycle behind cycle."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--ids", type=lambda text: [int(word) for word in text.split(",")], required=True)
    parser.add_argument("--baud", type=int, required=True)
    parser.add_argument("--health-every", type=int, default=0, help="cycles to a question of health; 0: none")
    parser.add_argument("--period-ns", type=int, required=True)
    parser.add_argument("--start-ns", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--priority", type=int, default=0, help="of this client; 0: not real-time")
    parser.add_argument("--server-priority", type=int, default=0)
    parser.add_argument("--parent", type=int, default=0)
    args = parser.parse_args()
    end_with_parent(args.parent)
    emulator = Emulator(args.ids, baud=args.baud)
    for index in range(len(args.ids)):
        emulator.put_register(index, RETURN_DELAY, 0)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with ours, theirs, EmulatorServer(emulator, theirs.fileno(), args.server_priority):
        end_ns = args.start_ns + round(args.seconds * 1e9)
        stamps, lost = run(
            ours, args.ids, args.start_ns, end_ns, args.period_ns, args.priority, args.health_every
        )
    print(json.dumps({"cycles": stamps, "lost_bytes": lost}))
    return 0


def run(
    line: socket.socket,
    ids: list[int],
    start_ns: int,
    end_ns: int,
    period_ns: int,
    priority: int,
    health_every: int = 0,
) -> tuple[list[tuple[int, int]], int]:
    """(begin, duration) of each cycle, and how many bytes of replies never came."""
    request = feetech.sync_read(ids, READ_ADDRESS, READ_BYTES)
    goals = feetech.sync_write(GOAL_ADDRESS, {servo: (2048).to_bytes(GOAL_BYTES, "little") for servo in ids})
    owed = feetech.replies_size(len(ids), READ_BYTES)
    questions = [
        (goals + feetech.read(servo, address, size), feetech.replies_size(1, size))
        for servo in ids
        for address, size in HEALTH
    ]
    limit = struct.pack("ll", 0, round(LOST_AFTER_S * 1e6))
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
    fd = line.fileno()
    stamps: list[tuple[int, int]] = []
    lost = told = turn = 0
    gc.collect()
    gc.freeze()
    gc.disable()
    if priority:
        with contextlib.suppress(PermissionError):
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
    slot_ns = start_ns
    while slot_ns < end_ns:
        clock.sleep_until_ns(slot_ns)
        began_ns = clock.now_ns()
        lost += _take(fd, told)
        os.write(fd, request)
        lost += _take(fd, owed)
        last, told = goals, 0
        if health_every and len(stamps) % health_every == health_every - 1:
            last, told = questions[turn]
            turn = (turn + 1) % len(questions)
        os.write(fd, last)
        ended_ns = clock.now_ns()
        stamps.append((began_ns, ended_ns - began_ns))
        passed_ns = ended_ns - slot_ns
        slot_ns = slot_ns + max(1, -(-passed_ns // period_ns)) * period_ns if period_ns else ended_ns
    return stamps, lost


def _take(fd: int, owed: int) -> int:
    """Takes ``owed`` bytes; returns how many of them did not come."""
    while owed > 0:
        try:
            owed -= len(os.read(fd, 4096))
        except BlockingIOError:
            return owed
    return 0


if __name__ == "__main__":
    sys.exit(main())
