"""What an engine process costs beside the same model in this process, and what keeping a model warm is worth.

``python -m spinal.bench.policy.engines``: prints a table. Calls are paced, because caches are cold at 50 Hz.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

import spinal.launch
from spinal.native import clock
from spinal.runtime.config.load import load_robot
from spinal.runtime.config.policy import EngineCommand
from spinal.runtime.policy.engine import Engine
from spinal.runtime.policy.loaded import load, make_engine

ROBOT = Path(spinal.launch.__path__[0]) / "robots" / "so101_sim.toml"
PERIOD_NS = 20_000_000
PAUSE_NS = 2_000_000_000
KEEP_ALIVE_NS = 200_000_000


def main() -> int:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=300, help="paced calls of each side (300)")
    parser.add_argument("--pauses", type=int, default=8, help="pauses of two seconds, with and without (8)")
    args = parser.parse_args()
    robot = load_robot(ROBOT)
    here = load(robot)
    if robot.policy is None:
        raise SystemExit(f"{ROBOT.name} has no policy")
    apart = EngineCommand(command=(sys.executable, "-m", "spinal.runtime.policy.engine_onnxruntime"))
    settings = robot.policy.model_copy(update={"engines": {"apart": apart}})
    there = make_engine(here.model, here.card.model_copy(update={"engine": "apart"}), settings)
    ours, theirs = _paced([here.engine, there], args.calls)
    _show("in this process", ours)
    _show("in an engine process", theirs)
    print(f"the way to the engine and back: {np.median(theirs - ours):.0f} us (median of pairs)")
    _show("after 2 s of pause", _after_pauses(here.engine, args.pauses, None))
    _show("after 2 s, kept alive", _after_pauses(here.engine, args.pauses, here.keep_warm))
    return 0


def _paced(engines: list[Engine], calls: int) -> list[np.ndarray[tuple[int], np.dtype[np.float64]]]:
    """us of each call, the engines in turn: what disturbs one disturbs the other."""
    took = np.zeros((len(engines), calls))
    next_ns = clock.now_ns()
    for call in range(calls):
        order = range(len(engines)) if call % 2 else reversed(range(len(engines)))
        for which in order:
            next_ns += PERIOD_NS
            clock.sleep_until_ns(next_ns)
            took[which, call] = _timed(engines[which])
    return list(took)


def _after_pauses(
    engine: Engine, pauses: int, keep_alive: Callable[[], None] | None
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    took = []
    for _ in range(pauses):
        end_ns = clock.now_ns() + PAUSE_NS
        while clock.now_ns() < end_ns:
            clock.sleep_until_ns(min(end_ns, clock.now_ns() + KEEP_ALIVE_NS))
            if keep_alive is not None and clock.now_ns() < end_ns - KEEP_ALIVE_NS // 2:
                keep_alive()
        took.append(_timed(engine))
    return np.array(took)


def _timed(engine: Engine) -> float:
    began_ns = clock.now_ns()
    engine.run()
    return (clock.now_ns() - began_ns) / 1000


def _show(name: str, took: np.ndarray[tuple[int], np.dtype[np.float64]]) -> None:
    p50, p99 = np.quantile(took, 0.5), np.quantile(took, 0.99)
    print(f"{name:<24} p50 {p50:7.0f} us  p99 {p99:7.0f} us  max {took.max():7.0f} us  n {len(took)}")


if __name__ == "__main__":
    sys.exit(main())
