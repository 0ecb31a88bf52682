"""Measures one model in a process of its own, as the policy runs: its nice value, its garbage collector, its rate.

Run by the policy suite: ``python -m spinal.bench.policy.process --job JSON``. It writes its stamps to a file and
says the rest as JSON on stdout. Nothing here has a real-time priority.
"""

from __future__ import annotations

import argparse
import gc
import math
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from spinal.bench.disturbance import Watch
from spinal.bench.policy.models import write
from spinal.bench.policy.sides import Column, Pair, Row, Side
from spinal.bench.result import Disturbance
from spinal.native import clock
from spinal.runtime.config import load_robot
from spinal.runtime.config.card import load_card
from spinal.runtime.errors import PolicyError, SpinalError
from spinal.runtime.parent import end_with_parent
from spinal.runtime.wiring import set_nice

SLICES = 24
"""Of a short run: the fewest that may be judged, and some that the machine may spoil."""
CALLS = 50
"""Of each side in a slice, at most: longer runs have more slices, each with its own sessions."""
UNCOUNTED = 2
"""The first calls of a slice: their sessions' last run is no period ago."""
WARM_CALLS = 200

Stamps = NDArray[np.int64]


class Job(msgspec.Struct, frozen=True):
    """What to measure, and where the stamps go."""

    model: str
    """A key of ``models.BUILDERS``; empty: the robot's own."""
    robot: str
    """The file of the robot whose policy, nice value or rate it is."""
    provider: str
    hz: float
    seconds: float
    folder: str
    parent: int


class Done(msgspec.Struct, frozen=True):
    """What was found beside the stamps."""

    providers: list[str]
    nice_refused: str | None
    skipped: int
    """Slots that passed while a call was under way."""
    parameters: int
    macs: int
    disturbance: Disturbance


def measure(job: Job) -> Done:
    """Both sides at the rate, then back to back. Raises PolicyError, ConfigError."""
    robot = load_robot(Path(job.robot))
    if robot.policy is None:
        raise PolicyError(f"{robot.name} has no policy", hint="name a robot file with [policy]")
    refused = set_nice(robot.policy.nice) if robot.policy.nice else None
    parameters = macs = 0
    if job.model:
        model = write(job.model, Path(job.folder))
        path, card, parameters, macs = model.path, model.card, model.parameters, model.macs
        pair = Pair(path, card, [job.provider], None)
    else:
        path = Path(robot.policy.model)
        pair = Pair(path, load_card(path), [job.provider], robot)
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        slices, calls = cut(job.seconds, job.hz)
        with Watch() as watch:
            paced, skipped = pace(pair.renew, pair.play, round(1e9 / job.hz), slices, calls)
        warm = back_to_back(pair.renew(bare_first=False), pair.play, WARM_CALLS)
    finally:
        pair.close()
    np.savez(Path(job.folder) / "stamps.npz", paced=paced, warm=warm)
    return Done(pair.providers, refused, skipped, parameters, macs, watch.seen)


def cut(seconds: float, hz: float) -> tuple[int, int]:
    """(slices, calls of each side in one) of a run of ``seconds``: a slice's first calls do not count."""
    periods = max(1, int(seconds * hz))
    slices = max(SLICES, math.ceil(periods / (CALLS + UNCOUNTED)))
    return slices, max(1, periods // slices - UNCOUNTED)


def pace(
    renew: Callable[[bool], tuple[Side, Side]],
    play: Callable[[int], None],
    period_ns: int,
    slices: int,
    calls: int,
) -> tuple[Stamps, int]:
    """([slice, side, call, column], skipped slots). Each side once a period, half a period behind the other.

    So each call finds its caches as the other side left them, whose weights are others. ``renew`` gives (ours,
    bare) for each slice; which is made first and which is called first changes from slice to slice. A call that
    comes late keeps its phase; slots that passed meanwhile are skipped and counted.
    """
    stamps = np.zeros((slices, 2, calls, len(Column)), np.int64)
    away: Row = np.zeros(len(Column), np.int64)
    half_ns, skipped = period_ns // 2, 0
    for part in range(slices):
        sides = renew(part % 2 == 0)
        order = (0, 1) if part % 4 < 2 else (1, 0)
        gc.collect(1)
        next_ns = clock.now_ns() + half_ns
        for call in range(-UNCOUNTED, calls):
            for side in order:
                play(next_ns)
                clock.sleep_until_ns(next_ns)
                late = max(0, clock.now_ns() - next_ns) // period_ns
                if late:
                    skipped += late
                    next_ns += late * period_ns
                    play(next_ns)
                sides[side].call(stamps[part, side, call] if call >= 0 else away)
                next_ns += half_ns
    return stamps, skipped


def back_to_back(sides: tuple[Side, Side], play: Callable[[int], None], calls: int) -> Stamps:
    """[side, call, column] of calls without a pause, each side in a row of its own: warm caches."""
    stamps = np.zeros((2, calls, len(Column)), np.int64)
    for number, side in enumerate(sides):
        for call in range(calls):
            play(clock.now_ns())
            side.call(stamps[number, call])
    return stamps


def main() -> int:
    """A child's whole life."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--job", required=True, help="JSON, written by the suite")
    job = msgspec.json.decode(parser.parse_args().job, type=Job)
    end_with_parent(job.parent)
    try:
        done = measure(job)
    except SpinalError as error:
        print(f"{error}\n{error.hint}", file=sys.stderr)
        return error.exit_code
    print(msgspec.json.encode(done).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
