"""How often and how smoothly the policy picks, at added delays: ``python -m spinal.bench task``.

Lock-step: the same tick, limiter, bus protocol, emulated servos, sensor, filter and policy step as live, on a
manual clock, so the figures are the same on every machine of one kind. Seeds: evaluation, which nothing was
trained or chosen on.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from spinal.bench.episodes import SHIPPED, Condition, Result
from spinal.bench.episodes import run as run_episodes
from spinal.drivers.sim import seeds


def add_parser(subparsers: Any) -> None:
    """Declares the suite."""
    parser = subparsers.add_parser(
        "task", help="how often and how smoothly the policy picks, at added delays"
    )
    parser.add_argument("--episodes", type=int, default=300)
    parser.add_argument("--delays", type=delays, default=(0, 2, 4, 6), help="policy steps, e.g. 0,2,4,6")
    parser.add_argument("--robot", type=Path, default=SHIPPED)
    parser.add_argument("--model", type=Path, help="another ONNX policy, with its card beside it")
    parser.add_argument("--noise", choices=["zero", "normal"], help="in place of what the card says")
    parser.add_argument("--validation", action="store_true", help="on the seeds for choosing settings")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--json", type=Path, help="write the figures there too")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measures and prints the table."""
    chosen = (seeds.VALIDATION if args.validation else seeds.EVALUATION)[: args.episodes]
    conditions = [
        Condition(delay_steps=delay, robot=args.robot, model=args.model, noise=args.noise)
        for delay in args.delays
    ]
    results = run_episodes(conditions, chosen, args.processes)
    print("\n".join(table(list(args.delays), results)))
    if args.json is not None:
        rows = [
            {"delay_steps": delay, **result.plain()}
            for delay, result in zip(args.delays, results, strict=True)
        ]
        args.json.write_text(json.dumps(rows, indent=1) + "\n")
    return 0


def delays(text: str) -> tuple[int, ...]:
    """``0,2,4`` as numbers. Raises ValueError for anything else, and for more steps than a chunk has."""
    found = tuple(int(word) for word in text.split(","))
    if not all(0 <= delay <= 10 for delay in found):
        raise ValueError("0 to 10 policy steps")
    return found


def table(delay_steps: list[int], results: list[Result]) -> list[str]:
    """Markdown: a line for each delay."""
    lines = [
        "| added delay | picked | 95 % | dropped | time to pick, median / p90 | rms jerk | limited | starved ticks"
        " | measured delay | largest seam |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for delay, result in zip(delay_steps, results, strict=True):
        lines.append(
            f"| {delay} steps | {result.successes} of {result.episodes} | {result.low:.3f} to {result.high:.3f}"
            f" | {result.dropped} | {result.pick_s_median:.2f} / {result.pick_s_p90:.2f} s"
            f" | {result.rms_jerk:.0f} rad/s^3 | {result.limited_share * 100:.2f} % | {result.starved_ticks}"
            f" | {result.delay_ms:.1f} ms | {result.seam:.0e} |"
        )
    return lines
