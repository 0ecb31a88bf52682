"""The command ``spinal`` as a process of its own, and what the kernel knows of the processes that it starts."""

import os
import subprocess
import sys
from pathlib import Path

from waiting import until

ROOT = Path(__file__).resolve().parent.parent
COMMAND = (sys.executable, "-m", "spinal.runtime.cli.main")
LIMIT_S = 90.0


class Started:
    """``spinal`` with ``arguments``. What it says goes to files in ``folder``.

    ``temporary`` is where it puts what is to be gone in the end, and where robots are found by their name.
    """

    def __init__(self, folder, *arguments, temporary=None, prefix=()):
        folder.mkdir(exist_ok=True)
        self.temporary = temporary or folder / "tmp"
        self.temporary.mkdir(mode=0o700, exist_ok=True)
        self._out, self._err = folder / "stdout", folder / "stderr"
        with self._out.open("w") as out, self._err.open("w") as err:
            self.process = subprocess.Popen(
                [*prefix, *COMMAND, *map(str, arguments)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=ROOT,
                env={
                    **os.environ,
                    "TMPDIR": str(self.temporary),
                    "XDG_RUNTIME_DIR": str(self.temporary),
                    "XDG_STATE_HOME": str(folder / "state"),
                },
            )

    @property
    def said(self):
        return self._err.read_text()

    @property
    def printed(self):
        return self._out.read_text()

    def until_said(self, words):
        def said():
            assert self.process.poll() is None or words in self.said, self.said
            return words in self.said

        until(said, f"it says {words!r}", LIMIT_S)

    def exit_code(self):
        return self.process.wait(LIMIT_S)

    @property
    def children(self):
        return children_of(self.process.pid)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.process.kill()
        self.process.wait()


def children_of(parent):
    """Process ids whose parent is ``parent``."""
    return [pid for pid, (_, ppid) in _processes().items() if ppid == parent]


def ended(pids):
    """Whether each of them is gone, or a zombie that nobody has waited for."""
    running = _processes()
    return not any(pid in running and running[pid][0] not in "ZX" for pid in pids)


def _processes():
    """pid -> (state, parent)."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state, parent, *_ = (entry / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            found[int(entry.name)] = (state, int(parent))
    return found
