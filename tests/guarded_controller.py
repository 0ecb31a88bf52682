"""The other process of test_guard_live: a controller that swings two arms, ticks and commands, until told to fail.

    guarded_controller.py LINE_FD SEGMENT_FD DT_NS

Reads words from standard input: ``tick`` begins; ``busy`` computes for ever without a tick, ``sleep`` sleeps for
ever, ``limp`` goes on without torque. Ends when it closes.
"""

import os
import select
import sys
import time

import numpy as np
from guard_rig import Commands, goal_frame
from loop_rig import ARM, EMERGENCY

from spinal.native.clock import now_ns, sleep_until_ns
from spinal.native.limiter import Limiter
from spinal.native.shared import Segment


def main():
    line_fd, segment_fd, dt_ns = (int(text) for text in sys.argv[1:])
    segment = Segment.attach_writer("controller", segment_fd)
    commands, dt_s = Commands(segment), dt_ns * 1e-9
    arms = [Limiter(ARM, dt_s, 0.0, EMERGENCY) for _ in range(2)]
    energised, next_ns, begun_ns = 1, now_ns(), None
    os.write(1, b"ready\n")
    while True:
        wait_s = 0.0 if begun_ns else None
        if select.select([0], [], [], wait_s)[0]:
            word = os.read(0, 64).decode().strip()
            if word == "busy":
                while True:
                    pass
            elif word == "sleep":
                time.sleep(1000)
            elif word == "limp":
                energised = 0
            elif word == "tick":
                begun_ns = next_ns = now_ns()
            else:
                return
        sleep_until_ns(next_ns)
        next_ns += dt_ns
        phase = 2 * np.pi * (next_ns - begun_ns) * 1e-9
        for arm, swing in zip(arms, (0.5, -0.3), strict=True):
            arm.step(swing * np.sin(phase))
        motions = [(arm.position, arm.velocity, arm.acceleration) for arm in arms] + [(0.01, 0.0, 0.0)]
        commands.publish(motions, energised)
        os.write(line_fd, goal_frame([motion[0] for motion in motions], stranger=True))
        segment.beat(now_ns())


if __name__ == "__main__":
    main()
