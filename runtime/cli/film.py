"""A film of the task as a GIF: the same policy and pipeline in lock-step, drawn off screen.

Drawing needs OpenGL without a display, which a machine may not have: EGL is tried first, then OSMesa. It is
done in a process of its own, because the choice is made when mujoco is imported.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from spinal.runtime.errors import SpinalError

BACK_ENDS = ("egl", "osmesa")
LIMIT_S = 300


def film(robot_file: Path, output: Path, delay_ms: float, seed: int, say: Callable[[str], None]) -> None:
    """Writes three picks in a row to ``output``. Raises SpinalError when nothing here can draw."""
    said = ""
    for back_end in BACK_ENDS:
        say(f"drawing {output} with {back_end}")
        command = [sys.executable, "-m", "spinal.runtime.film", str(robot_file), str(output)]
        command += ["--delay-ms", str(delay_ms), "--seed", str(seed)]
        done = subprocess.run(
            command,
            env={**os.environ, "MUJOCO_GL": back_end},
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        if done.returncode == 0:
            say(f"wrote {output}")
            return
        said = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "no word"
    raise SpinalError(
        f"no film: neither EGL nor OSMesa draws here ({said})",
        hint="install one, on Debian or Ubuntu: sudo apt-get install libosmesa6 (or libegl1 and a driver)",
    )
