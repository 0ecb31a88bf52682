"""``spinal bench profile ROBOT.toml``: attaches to a running robot and shows where its worst ticks' time went."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from spinal.runtime.errors import ConfigError, Problem

LONGEST_S = 600.0
"""Every record is kept: 1 kHz for so long is 70 MB."""
MOST_WORST = 1000
NICEST = 19
CLEAR_LINE = "\r\x1b[K"


def add_parser(subparsers: Any) -> None:
    """Declares the subcommand."""
    parser = subparsers.add_parser(
        "profile",
        help="where the worst ticks of a running robot spent their time",
        description="Attaches to a robot that `spinal run` or `spinal demo` has started, watches it without"
        " disturbing it, and shows where its worst ticks' time went. Ctrl-C shows what was seen so far.",
    )
    parser.add_argument("robot", type=Path, metavar="ROBOT.toml")
    parser.add_argument("--seconds", type=_seconds, default=20.0, help="watch for so long (default 20)")
    parser.add_argument("--worst", type=_count, default=20, help="how many ticks to show (default 20)")
    parser.add_argument("--pid", type=int, help="which one, where several robots of this file are running")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep what was found")
    parser.add_argument("--png", type=Path, metavar="FILE", help="draw the worst ticks")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Watches and shows. Raises ConfigError for bad input, ProcessError when there is no robot to watch."""
    with suppress(OSError):  # before anything that takes time
        os.setpriority(os.PRIO_PROCESS, 0, NICEST)
    import msgspec

    from spinal.bench.profile import picture, view
    from spinal.bench.profile.attach import attach, find
    from spinal.bench.profile.findings import profile
    from spinal.bench.profile.watch import Watcher
    from spinal.runtime.config.load import load_robot
    from spinal.runtime.controller.plan import loop_plan

    robot = load_robot(args.robot)
    plan = loop_plan(robot)
    unfit = [*_unfit("--json", args.json), *_unfit("--png", args.png)]
    unfit += picture.unfit() if args.png is not None else []
    if unfit:
        raise ConfigError(unfit, "command line")
    controller = find(args.robot, args.pid)
    segment = attach(controller)
    try:
        seen = Watcher(segment).watch(args.seconds, _tell(controller.supervisor, args.seconds))
    finally:
        segment.close()
        if sys.stderr.isatty():
            print(CLEAR_LINE, end="", file=sys.stderr, flush=True)
    found = profile(
        seen, args.worst, str(args.robot), controller.pid, plan.read_budget_ns, robot.control.period_ns
    )
    view.show(found)
    if args.json is not None:
        args.json.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n")
    if args.png is not None:
        picture.draw(found, args.png)
    return 0


def _tell(pid: int, seconds: float) -> Callable[[float, int, int], None]:
    """Progress on stderr: one line that is written again in a terminal, one each ten seconds elsewhere."""
    from spinal.bench.profile.causes import duration

    told = -1

    def tell(elapsed_s: float, ticks: int, longest_ns: int) -> None:
        nonlocal told
        line = (
            f"watching process {pid}: {elapsed_s:.0f} of {seconds:.0f} s, {ticks:,} ticks,"
            f" the longest {duration(longest_ns)}"
        )
        if sys.stderr.isatty():
            print(f"{CLEAR_LINE}{line}", end="", file=sys.stderr, flush=True)
        elif int(elapsed_s) // 10 != told:
            told = int(elapsed_s) // 10
            print(line, file=sys.stderr, flush=True)

    return tell


def _seconds(text: str) -> float:
    value = float(text)
    if not 0.1 <= value <= LONGEST_S:
        raise argparse.ArgumentTypeError(f"{text} is not within 0.1 to {LONGEST_S:.0f} s")
    return value


def _count(text: str) -> int:
    value = int(text)
    if not 1 <= value <= MOST_WORST:
        raise argparse.ArgumentTypeError(f"{text} is not within 1 to {MOST_WORST}")
    return value


def _unfit(option: str, path: Path | None) -> list[Problem]:
    """Why nothing can be written there: found before the watch, not behind it."""
    if path is None:
        return []
    folder = path.resolve().parent
    if not folder.is_dir():
        return [Problem(option, f"{folder} is not a folder", "make it first, or name another")]
    if path.is_dir():
        return [Problem(option, f"{path} is a folder", "name a file in it")]
    if not os.access(path if path.exists() else folder, os.W_OK):
        return [Problem(option, f"{path} may not be written by this user", "name another place")]
    return []
