"""Reads a robot file, and says everything that is wrong with it at once."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from spinal.runtime.config.cross import cross_problems
from spinal.runtime.config.robot import RobotConfig
from spinal.runtime.config.words import problems_of
from spinal.runtime.errors import ConfigError, Problem

MAX_FILE_BYTES = 1 << 20
"""Settings larger than this are not settings."""


def load_robot(path: str | Path) -> RobotConfig:
    """The robot that ``path`` describes; its ``policy.model`` is absolute afterwards.

    Raises ``ConfigError`` with every problem of the file.
    """
    raw = read_toml(path)
    policy = raw.get("policy")
    if isinstance(policy, dict) and isinstance(policy.get("model"), str) and policy["model"]:
        model = Path(path).absolute().parent / policy["model"]
        raw = {**raw, "policy": {**policy, "model": str(model.resolve())}}
    for section in ("ab", "residual", "detector"):
        other = raw.get("policy", {}).get(section) if isinstance(policy, dict) else None
        if isinstance(other, dict) and isinstance(other.get("model"), str) and other["model"]:
            model = Path(path).absolute().parent / other["model"]
            raw = {**raw, "policy": {**raw["policy"], section: {**other, "model": str(model.resolve())}}}
    try:
        return RobotConfig.model_validate(raw)
    except ValidationError as error:
        problems = problems_of(error, raw, RobotConfig)
    # A cross check inside the model waits until every field is right; here it does not.
    problems += [problem for problem in cross_problems(raw) if problem not in problems]
    raise ConfigError(problems, str(path), f"correct {path} and run: spinal check {path}")


def read_toml(path: str | Path) -> dict[str, Any]:
    """The tables of a TOML file. Raises ``ConfigError`` when it cannot be read or is no TOML."""
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        hint = "the robots that come with Spinal are in launch/robots"
        raise ConfigError([unreadable(error, "the file", hint)], str(path)) from error
    if len(data) > MAX_FILE_BYTES:
        problem = Problem(
            "the file", f"is larger than {MAX_FILE_BYTES >> 20} MiB", "this is not a settings file"
        )
        raise ConfigError([problem], str(path))
    try:
        return tomllib.loads(data.decode())
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        problem = Problem(f"line {line}", "is not UTF-8 text", "save the file as UTF-8")
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        problem = Problem("the file", f"is not TOML: {error}", "strings need quotes, and a section is [name]")
    raise ConfigError([problem], str(path), "correct the line and run the command again")


def unreadable(error: OSError, path: str, absent: str) -> Problem:
    """Why a file cannot be read; ``absent`` is the hint when it is not there."""
    if isinstance(error, FileNotFoundError):
        return Problem(path, "is not there", absent)
    if isinstance(error, IsADirectoryError):
        return Problem(path, "is a folder", "name the file in it")
    if isinstance(error, PermissionError):
        return Problem(path, "may not be read by this user", "run as its owner, or: chmod a+r on the file")
    return Problem(path, f"cannot be read: {error.strerror}", "look at the path and the disk")
