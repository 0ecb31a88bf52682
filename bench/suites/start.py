"""From the command to the first motion, stage by stage; and how long the light commands take.

The robot is ``spinal demo --headless``, with nothing changed: its own lines say when it starts each process, and
the controller's shared memory, read from outside, names the first tick that runs and the first that moves. A line
comes when the process before is ready, as the supervisor sees it: every 10 ms.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np

from spinal.bench.bench import Bench
from spinal.bench.judge import exact
from spinal.bench.live.demo_robot import COMMAND, DemoRobot
from spinal.bench.result import Metric, Stage, SuiteResult, Waterfall
from spinal.native import clock, layout
from spinal.native.shared import Segment
from spinal.runtime.errors import ProcessError
from spinal.runtime.segments import StateReader, Writer

JOINTS = 6
"""Of the demo's robot."""
MOVING = 0.02
"""rad/s or m/s: the noise of a resting command is 0, the first motion passes this in a tick or two."""
MOTION_LIMIT_S = 60.0
COMMAND_LIMIT_S = 60.0
LOOK_S = 0.001
LINES = (
    ("command", "starting sim"),
    ("simulator", "starting policy"),
    ("policy", "starting link"),
    ("link", "starting controller"),
    ("controller", "starting planner"),
)
"""A stage ends when the demo says that it starts the next."""
MOTIONS = ("running", "moving")

BARE = (sys.executable, "-c", "pass")


@dataclass(frozen=True, slots=True)
class Light:
    """A command that is measured as a whole."""

    name: str
    words: tuple[str, ...]


def measure(bench: Bench) -> SuiteResult:
    """Several starts, one after the other; the figure is their median."""
    rounds = 1 if bench.quick else 3
    starts, stops = [], []
    for number in range(rounds):
        bench.say(f"  start {number + 1} of {rounds}")
        stages, stopped_s = start()
        starts.append(stages)
        stops.append(stopped_s)
    bench.say("  light commands")
    took = commands(LIGHT, 3 if bench.quick else 7)
    metrics, waterfall = of_starts(starts)
    metrics.append(exact("stop_ms", "ms", float(np.median(stops)) * 1000, n=rounds, why="Ctrl-C to the end"))
    return SuiteResult(
        metrics=[*metrics, *of_commands(took)],
        waterfalls=[waterfall],
        notes=["files are in the kernel's cache: the first start after a boot takes longer"],
    )


def start() -> tuple[dict[str, int], float]:
    """(stage -> ns from the command until it ended, seconds from Ctrl-C until the demo had ended).

    Raises ProcessError when the robot does not come to move.
    """
    with DemoRobot(MOTION_LIMIT_S) as robot:
        robot.until(lambda: robot.said_ns(LINES[0][1]) is not None, "the supervisor", MOTION_LIMIT_S, LOOK_S)
        segment = robot.segment(Writer.CONTROLLER.value)
        if segment is None:
            raise ProcessError(
                "the demo's shared memory cannot be read", hint="run the bench as the user that runs the demo"
            )
        try:
            motions = _first_motion(robot, segment)
        finally:
            segment.close()
        ends = {name: robot.said_ns(words) for name, words in LINES}
        stopped_s = robot.stop()
    began_ns = robot.began_ns
    return {name: at - began_ns for name, at in {**ends, **motions}.items() if at is not None}, stopped_s


def _first_motion(robot: DemoRobot, segment: Segment) -> dict[str, int]:
    states = StateReader(segment, JOINTS)
    found: dict[str, int] = {}

    def looked() -> bool:
        state = states.read()
        if state is not None and state.mode == layout.MODE_RUNNING:
            found.setdefault("running", state.tick_ns)
            if np.abs(state.commanded[:, 1]).max() > MOVING:
                found.setdefault("moving", state.command_ns)
        return "moving" in found

    robot.until(looked, "the first motion", MOTION_LIMIT_S, LOOK_S)
    # A look that came late saw one state that says both: what moved was commanded by a tick that ran.
    return {"running": min(found.values()), "moving": found["moving"]}


def of_starts(starts: Sequence[dict[str, int]]) -> tuple[list[Metric], Waterfall]:
    """Each stage's end as the median over starts, in ms, and the stages of the median start end to end."""
    names = [name for name, _ in LINES] + list(MOTIONS)
    ends = [float(np.median([one[name] for one in starts if name in one])) / 1e6 for name in names]
    metrics = [
        exact(f"{name}_ms", "ms", end, n=len(starts), why=WORDS.get(name, ""))
        for name, end in zip(names, ends, strict=True)
    ]
    stages, at = [], 0.0
    for name, end in zip(names, ends, strict=True):
        stages.append(Stage(name=name, begin_us=at * 1000, end_us=max(at, end) * 1000))
        at = max(at, end)
    return metrics, Waterfall(name="start", stages=stages)


WORDS = {
    "command": "from the command until the supervisor starts the first process",
    "simulator": "from the command, as all of these, until it is ready",
    "running": "the first tick that follows a trajectory",
    "moving": "the first command that moves a joint",
}


def commands(light: Sequence[Light], rounds: int) -> dict[str, list[float]]:
    """ms of each command, in turn; the first round warms the caches and does not count.

    Raises ProcessError when one fails.
    """
    took: dict[str, list[float]] = {one.name: [] for one in light}
    for number in range(rounds + 1):
        for one in light:
            began_ns = clock.now_ns()
            try:
                done = subprocess.run(one.words, capture_output=True, check=False, timeout=COMMAND_LIMIT_S)
            except subprocess.TimeoutExpired:
                raise ProcessError(
                    f"{one.name}: not within {COMMAND_LIMIT_S:.0f} s", hint="run it by hand"
                ) from None
            ended_ns = clock.now_ns()
            if done.returncode:
                said = done.stderr.decode(errors="replace").strip().splitlines()
                raise ProcessError(
                    f"{one.name}: {said[-1] if said else done.returncode}", hint="run it by hand"
                )
            if number:
                took[one.name].append((ended_ns - began_ns) / 1e6)
    return took


def of_commands(took: dict[str, list[float]]) -> list[Metric]:
    """The median of each beside an interpreter that does nothing."""
    floor = float(np.median(took[PYTHON]))
    return [
        exact(
            f"{name}_ms", "ms", float(np.median(times)), floor=None if name == PYTHON else floor, n=len(times)
        )
        for name, times in took.items()
    ]


PYTHON = "python"
ROBOT = Path(str(resources.files("spinal.launch") / "robots" / "so101_sim.toml"))
LIGHT = (
    Light(PYTHON, BARE),
    Light("import_numpy", (sys.executable, "-c", "import numpy")),
    Light("import_onnxruntime", (sys.executable, "-c", "import onnxruntime")),
    Light("version", (*COMMAND, "--version")),
    Light("check", (*COMMAND, "check", str(ROBOT))),
)
