"""Execution settings, the shipped ones beside others, by success and jerk: ``python -m spinal.bench front``.

Success inside the limits comes first, then jerk. Lock-step, on the validation seeds, as that is what settings are
chosen on.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from spinal.bench.episodes import SHIPPED, Condition, Result
from spinal.bench.episodes import run as run_episodes
from spinal.bench.task import delays
from spinal.drivers.sim import seeds

SETTINGS = {
    "shipped": Condition(),
    "no seam smoothing": Condition(execution={"seam_smoothing": 0.0}),
    "seam smoothing 30": Condition(execution={"seam_smoothing": 30.0}),
    "seam smoothing 1000": Condition(execution={"seam_smoothing": 1000.0}),
    "blend from 20 ms": Condition(execution={"blend_min_ms": 20}),
    "blend 160 ms, always": Condition(execution={"blend_min_ms": 160}),
    "no prefix": Condition(prefix=False),
    "no noise": Condition(noise="zero"),
}
"""Changes to the shipped settings, one at a time."""


def add_parser(subparsers: Any) -> None:
    """Declares the suite."""
    parser = subparsers.add_parser("front", help="success and jerk of other settings beside the shipped ones")
    parser.add_argument("--episodes", type=int, default=100)
    parser.add_argument("--delays", type=delays, default=(0, 2, 4, 6), help="policy steps, e.g. 0,2,4,6")
    parser.add_argument("--robot", type=Path, default=SHIPPED)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--json", type=Path, help="write the figures there too")
    parser.add_argument("--png", type=Path, help="draw them there; needs matplotlib")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measures and prints the table."""
    points = [
        (name, delay, replace(condition, delay_steps=delay, robot=args.robot))
        for name, condition in SETTINGS.items()
        for delay in args.delays
    ]
    results = run_episodes([point[2] for point in points], seeds.VALIDATION[: args.episodes], args.processes)
    front = {(name, delay): result for (name, delay, _), result in zip(points, results, strict=True)}
    print("\n".join(table(front)))
    if args.json is not None:
        rows = [
            {"setting": name, "delay_steps": delay, **one.plain()} for (name, delay), one in front.items()
        ]
        args.json.write_text(json.dumps(rows, indent=1) + "\n")
    if args.png is not None:
        draw(front, args.png)
    return 0


def table(front: dict[tuple[str, int], Result]) -> list[str]:
    """Markdown: a line for each setting, a column for each delay: picked %, rms jerk, ticks that were limited."""
    delay_steps = sorted({delay for _, delay in front})
    lines = [
        "| setting | " + " | ".join(f"{delay} steps" for delay in delay_steps) + " |",
        "|---" * (len(delay_steps) + 1) + "|",
    ]
    for name in dict.fromkeys(name for name, _ in front):
        cells = [
            f"{100 * one.successes / one.episodes:.0f} %, {one.rms_jerk:.0f}, {100 * one.limited_share:.1f} %"
            for one in (front[name, delay] for delay in delay_steps)
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def draw(front: dict[tuple[str, int], Result], path: Path) -> None:
    """Success over jerk, a panel for each delay. Raises ImportError without matplotlib."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    delay_steps = sorted({delay for _, delay in front})
    figure, panels = pyplot.subplots(1, len(delay_steps), figsize=(4 * len(delay_steps), 3.6), squeeze=False)
    for panel, delay in zip(panels[0], delay_steps, strict=True):
        for (name, at), one in front.items():
            if at == delay:
                colour = "tab:red" if name == "shipped" else "tab:gray"
                panel.plot(one.rms_jerk, one.successes / one.episodes, "o", color=colour)
                panel.annotate(name, (one.rms_jerk, one.successes / one.episodes), fontsize=6)
        panel.set(title=f"{delay * 20} ms added", xlabel="rms jerk, rad/s^3", ylim=(0, 1.03))
    panels[0][0].set_ylabel("picked")
    figure.tight_layout()
    figure.savefig(path, dpi=120)
