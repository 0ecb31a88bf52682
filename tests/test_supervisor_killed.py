"""The supervisor itself is killed: nobody restarts anything, and the guard dies with it.

What is left is each process's own doing: the kernel sends it SIGTERM when its parent dies (``runtime.parent``),
the controller brings the arm to rest by it, as when it is asked to end, and the motors keep holding. A controller
that cannot even do that is held by its own loop, once the supervisor's order has expired.
"""

import os
import signal

import pytest
from pty_arm import COUNTS, PtyArm
from spinal_process import LIMIT_S, Started, ended
from waiting import until

HOLDING = [(True, count) for count in COUNTS]


@pytest.fixture
def arm(tmp_path):
    arm = PtyArm(tmp_path)
    yield arm
    arm.unplug()


def test_every_process_ends_and_the_motors_keep_holding(tmp_path, arm):
    shared = set(os.listdir("/dev/shm"))
    with Started(tmp_path / "first", "run", arm.file) as robot:
        until(lambda: arm.drives() == HOLDING, "it is armed", LIMIT_S)
        children = robot.children
        assert len(children) >= 2, "a controller and a link"
        robot.process.send_signal(signal.SIGKILL)
        robot.process.wait()
        until(lambda: ended(children), "they have ended", 10.0)
    assert arm.drives() == HOLDING
    assert set(os.listdir("/dev/shm")) <= shared
    with Started(tmp_path / "second", "run", arm.file, temporary=robot.temporary) as again:
        again.until_said("is ready")
        assert arm.drives() == HOLDING, "it never let go"
        again.process.send_signal(signal.SIGTERM)
        assert again.exit_code() == 0
