"""Becomes an engine's program: dies with the thread that started it, and leaves nothing of ours in the way.

Run by path, alone: ``python -I -S engine_start.py PARENT PROGRAM [ARGUMENT ...]``. The kernel keeps the order to
die across the exec; a program that we did not write need not know of it.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    parent, *command = sys.argv[1:]
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))
    if os.getppid() != int(parent):
        sys.exit(0)
    try:
        os.execvp(command[0], command)  # noqa: S606  the robot file names it
    except OSError as error:
        sys.exit(f"engine: {command[0]} cannot be started: {error.strerror}")
