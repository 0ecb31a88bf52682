"""LeRobot's normalisation in a card's words.

Three things differ: LeRobot adds eps to a range only where it is 0, QUANTILE10 has no word of its own in a card
(the formula is min_max's), and images have one number a channel.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinal.runtime.errors import ConfigError, Problem
from spinal.runtime.importers.lerobot.checkpoint import ACTION, Checkpoint

BOUNDS = {"MIN_MAX": ("min", "max"), "QUANTILES": ("q01", "q99"), "QUANTILE10": ("q10", "q90")}


def card_normalisation(checkpoint: Checkpoint, key: str, channels: int) -> dict[str, Any] | None:
    """The table of ``key`` for a card; None where its numbers are the model's. Raises ConfigError."""
    pipeline = checkpoint.post if key == ACTION else checkpoint.pre
    mode = pipeline.mode(key)
    if mode == "IDENTITY":
        return None
    statistics = pipeline.statistics[key]
    wanted = ("mean", "std") if mode == "MEAN_STD" else BOUNDS[mode]
    problems = []
    for word in wanted:
        values = statistics.get(word)
        if values is None:
            hint = "the dataset had no such statistics: the checkpoint cannot run in LeRobot either"
            problems.append(Problem(f"{key}.{word}", f"is missing, and {mode} needs it", hint))
        elif values.size not in (1, channels) or not np.isfinite(values).all():
            said = f"has {values.size} numbers ({values.tolist()[:4]} ...) for {channels} channels"
            problems.append(Problem(f"{key}.{word}", said, "finite numbers, one a channel"))
    if problems:
        raise ConfigError(problems, f"the statistics of {checkpoint.folder.name}")
    low, high = (statistics[word] for word in wanted)
    if mode == "MEAN_STD":
        return {"mode": "mean_std", "mean": low.tolist(), "std": high.tolist(), "eps": pipeline.eps}
    high = np.where(high == low, low + pipeline.eps, high)
    names = ("q01", "q99") if mode == "QUANTILES" else ("min", "max")
    return {
        "mode": "quantiles" if mode == "QUANTILES" else "min_max",
        names[0]: low.tolist(),
        names[1]: high.tolist(),
    }


def recorded_range(
    checkpoint: Checkpoint, key: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """The smallest and largest recorded value of each channel, or mean -+ 3 std; None without statistics."""
    statistics = checkpoint.statistics(key)
    for low, high in BOUNDS.values():
        if low in statistics and high in statistics:
            return statistics[low], statistics[high]
    if "mean" in statistics and "std" in statistics:
        reach = 3 * statistics["std"]
        return statistics["mean"] - reach, statistics["mean"] + reach
    return None
