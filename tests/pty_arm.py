"""A robot whose two servos are emulated behind a pseudo-terminal: a real port to everything above."""

import os

from robot_files import ROBOT, write_robot

from spinal.native.clock import now_ns
from spinal.native.emulator import Emulator, EmulatorServer

COUNTS = (2300, 2500)
STREAMS = ROBOT[ROBOT.index("[streams") : ROBOT.index("[link]")]


def on_port(port, realtime="prefer"):
    """What makes the small robot of ``robot_files`` one on ``port``, without simulation."""
    return (
        ('port = "sim"', f'port = "{port}"'),
        ("servo_hz = 250", f'servo_hz = 250\nrealtime = "{realtime}"'),
        ('[sim]\nworld = "cartpick"\n', ""),
        (STREAMS, ""),
    )


NO_POLICY = ('[policy]\nmodel = "policy.onnx"\nhz = 50\n', "")


class PtyArm:
    """Two servos, emulated, and the file of the robot that they are. Its port is a link, as those by id are."""

    def __init__(self, folder):
        self._port = folder / "port"
        self._line = -1
        self._emulator = Emulator((1, 2), positions_counts=COUNTS)
        self.plug_in()
        self.file = write_robot(folder, *on_port(self._port), NO_POLICY)

    def plug_in(self):
        """Under another name than before: the kernel gives a new pseudo-terminal."""
        self._line, device = os.openpty()
        self._port.unlink(missing_ok=True)
        self._port.symlink_to(os.ttyname(device))
        os.close(device)
        self._server = EmulatorServer(self._emulator, self._line)
        self._server.start()

    def move_by_hand(self, *counts):
        """Where the shafts stand, as if somebody had moved them; only sensible without torque."""
        for index, count in enumerate(counts):
            self._emulator.set_present(index, count)

    def drives(self):
        """Of each servo: whether it has torque, and the count that it drives to."""
        self._emulator.advance(now_ns())
        return [(drive.torque, round(drive.position_counts)) for drive in self._emulator.references()]

    def silence(self, silent):
        for index in (0, 1):
            self._emulator.set_faults(index, silent=silent)

    def unplug(self):
        if self._line >= 0:
            self._server.stop()
            os.close(self._line)
            self._line = -1
            self._port.unlink()
