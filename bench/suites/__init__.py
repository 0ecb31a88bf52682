"""The suites, in the order in which they run: name, what it measures, and its options.

Only the module of a suite that is asked for is imported; it is ``spinal.bench.suites.NAME``, with a function
``measure`` as ``spinal.bench.bench.Measure``. A suite that has no module yet is absent, and the gate says so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from spinal.bench import options
from spinal.bench.bench import Measure
from spinal.drivers.sim import seeds


@dataclass(frozen=True, slots=True)
class Option:
    """A flag of one suite, as argparse takes it."""

    flag: str
    kind: Callable[[str], Any]
    default: Any
    help: str


@dataclass(frozen=True, slots=True)
class Suite:
    """``gated``: the part of the release gate that it belongs to; what is exact is also run on every change."""

    name: str
    help: str
    gated: Literal["exact", "timed"] | None = None
    options: tuple[Option, ...] = ()

    @property
    def module(self) -> str:
        """Where it is, or will be."""
        return f"{__name__}.{self.name}"

    @property
    def present(self) -> bool:
        """Whether it is there."""
        return find_spec(self.module) is not None

    def load(self) -> Measure:
        """Imports it."""
        measure: Measure = import_module(self.module).measure
        return measure


TABLE = (
    Suite(
        "exact",
        "counts of one tick that the machine's mood does not move",
        gated="exact",
        options=(
            Option(
                "--plant",
                options.plant,
                "none",
                f"put a slow-down into the tick, to see it caught: {', '.join(options.PLANTS[1:])}",
            ),
        ),
    ),
    Suite(
        "tick",
        "how late the loop wakes, beside an empty loop",
        gated="timed",
        options=(
            Option("--aa", options.count, 0, "instead: so many runs of two empty loops beside each other"),
            Option("--thresholds", Path, None, "a file in which --aa keeps what alike loops differ by"),
        ),
    ),
    Suite("step", "each stage of one tick", gated="timed"),
    Suite("scale", "what a tick costs against joints and buses", gated="timed"),
    Suite("policy", "inference, beside bare onnxruntime", gated="timed"),
    Suite("decode", "from a model's answer to waypoints"),
    Suite("seam", "smoothness where chunks meet, beside bandwidth", gated="exact"),
    Suite(
        "queue",
        "the chunk store under random latencies, against a model",
        options=(Option("--ticks", options.count, None, "of the loop (1,000,000; 100,000 with --quick)"),),
    ),
    Suite("bus", "a cycle on the wire, beside its budget", gated="timed"),
    Suite("link", "from a planner's message to what it changes", gated="timed"),
    Suite(
        "reaction",
        "from an event to the motion that answers it",
        gated="timed",
        options=(
            Option("--live-seconds", options.seconds, None, "of the live robot (60; 22 with --quick)"),
            Option("--load", options.count, 0, "busy processes beside it (none)"),
            Option("--hz", options.count, None, "policy rate (as the robot file says: 50)"),
            Option("--delay-ms", options.milliseconds, 0.0, "hold each answer back by so much"),
            Option("--events", options.count, None, "turns of the cart in lock-step (100; 8 with --quick)"),
            Option("--answer-ms", options.milliseconds, 4.0, "there, from observation to in force (4)"),
        ),
    ),
    Suite("start", "from the command to the first motion"),
    Suite("memory", "what grows while it runs"),
    Suite(
        "task",
        "how often and how smoothly the policy picks, in lock-step",
        options=(
            Option(
                "--episodes",
                options.count,
                None,
                "of each condition, also of delays and front (300; those 100)",
            ),
            Option(
                "--delays",
                options.delays,
                None,
                "in policy steps, also of delays (0 to 8) and front (0,2,4,6)",
            ),
            Option("--robot", Path, None, "another robot file, also for front"),
            Option("--model", Path, None, "another ONNX policy, with its card beside it"),
            Option("--noise", options.noise, None, "zero or normal, in place of what the card says"),
            Option("--seeds", options.seed_range, seeds.EVALUATION, "evaluation (default) or validation"),
            Option("--processes", options.count, 2, "side by side, also for delays and front"),
        ),
    ),
    Suite("delays", "success and jerk against inference delay, by how one chunk meets the next"),
    Suite("variants", "the shipped policy in half precision and with 8-bit weights"),
    Suite("front", "success and jerk of other fits, blends and prefixes beside the shipped"),
)

BY_NAME = {suite.name: suite for suite in TABLE}
