"""Loops that numba compiles once a machine: where the machine code is kept, and what happens when it cannot be.

Numba costs most of a second and tens of MiB to import, so it is imported when a card needs such a loop, and never
otherwise. What it compiled stands in a folder of ours, by version; a process that is started again finds it there.
Without numba, or when it fails, the caller's own numpy does the same: a start never fails for speed's sake.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import spinal

_kept: dict[tuple[str, str, str], Callable[..., Any] | None] = {}


def cache_folder() -> Path | None:
    """$NUMBA_CACHE_DIR, or spinal/numba/VERSION in $XDG_CACHE_HOME (~/.cache without), made if it is not there.

    None when it cannot be written, or when others could write it: what is in it is executed.
    """
    given = os.environ.get("NUMBA_CACHE_DIR")
    try:
        if given:
            folder = Path(given)
        else:
            home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
            python = f"{sys.implementation.cache_tag}"
            folder = Path(home) / "spinal" / "numba" / f"{spinal.__version__}-{python}"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        facts = folder.stat()
    except (OSError, RuntimeError):  # RuntimeError: no home
        return None
    foreign = facts.st_uid != os.geteuid() or facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return folder if os.access(folder, os.W_OK | os.X_OK) and not foreign else None


def compiled(function: Callable[..., Any], signature: str) -> Callable[..., Any] | None:
    """``function`` as machine code for numba's ``signature``, now: from the cache, or compiled and put there.

    None when numba cannot: use numpy then. Call it before the first tick; a first compilation takes seconds. A
    function is compiled once a process.
    """
    key = (function.__module__, function.__qualname__, signature)
    if key not in _kept:
        _kept[key] = _compile(function, signature)
    return _kept[key]


def _compile(function: Callable[..., Any], signature: str) -> Callable[..., Any] | None:
    folder = cache_folder()
    try:
        import numba

        if folder is not None:
            setattr(numba.config, "CACHE_DIR", str(folder))  # noqa: B010  its types do not know it
        try:
            made: Callable[..., Any] = numba.njit(signature, cache=folder is not None, nogil=True)(function)
        except (OSError, RuntimeError):  # the folder was lost, or its disk is full
            made = numba.njit(signature, nogil=True)(function)
    except Exception as error:  # noqa: BLE001  numba raises its own classes; LLVM may be missing
        why = next(iter(str(error).splitlines()), type(error).__name__)
        print(f"spinal: {function.__name__} runs on numpy: numba failed: {why}", file=sys.stderr)
        return None
    return made
