"""The shipped robot in simulation, alive: every process of it, under this process's supervision, so that its shared
memory can be read. It has endpoints of its own: several may run at a time.
"""

from __future__ import annotations

import json
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from types import FrameType

from spinal.runtime.config import load_robot
from spinal.runtime.config.robot import RobotConfig
from spinal.runtime.errors import ConfigError, Problem
from spinal.runtime.link.endpoints import Endpoints, in_directory
from spinal.runtime.supervisor.supervisor import Supervisor

SHIPPED = Path(str(resources.files("spinal.launch") / "robots" / "so101_sim.toml"))


@dataclass(frozen=True, slots=True)
class SupervisedRobot:
    """A robot that has started: call ``supervisor.watch()`` every 20 ms or so."""

    supervisor: Supervisor
    endpoints: Endpoints

    @property
    def robot(self) -> RobotConfig:
        """As its file says."""
        return self.supervisor.robot

    @property
    def deaths(self) -> int:
        """How often a process of it had to be restarted."""
        return sum(child.deaths for child in self.supervisor.children.values())


def absence() -> str:
    """Why there can be no simulated robot here, or ""."""
    return "" if find_spec("mujoco") else "no simulator: mujoco is not installed (pip install spinal[sim])"


@contextmanager
def supervised_robot(
    say: Callable[[str], None], *, hz: int | None = None, planner: bool = True
) -> Iterator[SupervisedRobot]:
    """Starts it, brings it to rest at the end and ends all its processes, whatever happens between: SIGTERM, too,
    unwinds. For the main thread.

    ``hz``: of its policy, when not what the file says. ``planner``: the demo's, which keeps it picking. Raises
    BusError, ConfigError, LinkError, PolicyError, ProcessError, RealtimeError.
    """
    with ended_in_order(), tempfile.TemporaryDirectory(prefix="spinal-bench-") as folder:
        robot_file = SHIPPED if hz is None else robot_at(hz, Path(folder))
        endpoints = in_directory(Path(folder))
        robot = load_robot(robot_file)
        with Supervisor(robot, robot_file, endpoints, say, with_planner=planner) as supervisor:
            yield SupervisedRobot(supervisor, endpoints)


@contextmanager
def ended_in_order() -> Iterator[None]:
    """SIGTERM raises SystemExit here, as Ctrl-C raises KeyboardInterrupt."""

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def robot_at(hz: int, folder: Path) -> Path:
    """The shipped robot with its policy at ``hz``, as a file in ``folder``. Raises ConfigError."""
    model = load_robot(SHIPPED).policy
    if model is None:
        raise ConfigError([Problem("policy", "is missing")], str(SHIPPED))
    lines = []
    section = ""
    for line in SHIPPED.read_text().splitlines():
        section = line.strip() if line.startswith("[") else section
        key = line.split("=")[0].strip()
        if section == "[policy]" and key == "hz":
            lines.append(f"hz = {hz}")
        elif section == "[policy]" and key == "model":
            lines.append(f"model = {json.dumps(model.model)}")
        else:
            lines.append(line)
    robot_file = folder / SHIPPED.name
    robot_file.write_text("\n".join(lines) + "\n")
    try:
        load_robot(robot_file)
    except ConfigError as error:
        raise ConfigError(
            error.problems, "--hz", "give a rate that the shipped robot's file could have"
        ) from None
    return robot_file
