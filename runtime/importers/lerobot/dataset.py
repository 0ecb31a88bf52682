"""A LeRobot dataset's ``meta/info.json``: the names and the order of the channels, and the frame rate."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spinal.runtime.importers.source import read_json, refusal


@dataclass(frozen=True, slots=True)
class Dataset:
    """What a policy needs to know of what it was trained on, and does not write down."""

    fps: float | None
    names: dict[str, tuple[str, ...]]
    """feature -> its channels, in order; those without names are left out."""
    robot_type: str


def read_dataset(path: Path) -> Dataset:
    """From ``info.json`` or the dataset's folder. Raises ConfigError."""
    if path.is_dir():
        path = path / "meta" / "info.json" if (path / "meta").is_dir() else path / "info.json"
    raw = read_json(path, "name the dataset's folder or its meta/info.json")
    features = raw.get("features")
    if not isinstance(features, dict) or "action" not in features:
        raise refusal(path, "features.action", "is missing", "this is no LeRobot dataset (v2 or v3)")
    fps = raw.get("fps")
    if fps is not None and (not isinstance(fps, int | float) or not 1 <= fps <= 1000):
        raise refusal(path, "fps", f"is {fps!r}", "frames a second, 1 to 1000")
    names = {
        key: found
        for key, entry in features.items()
        if isinstance(entry, dict) and (found := _flat(entry.get("names"))) is not None
    }
    return Dataset(None if fps is None else float(fps), names, str(raw.get("robot_type") or ""))


def _flat(names: Any) -> tuple[str, ...] | None:
    """Names are a list; v2 datasets put it into a table, as {"motors": [...]}."""
    if isinstance(names, dict) and len(names) == 1:
        names = next(iter(names.values()))
    if isinstance(names, list) and names and all(isinstance(name, str) for name in names):
        return tuple(names)
    return None
