"""What the kernel knows of processes: whose children they are, their memory, descriptors and threads. Linux."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

MODULE = re.compile(r"^spinal\.(?:runtime|drivers)\.(?P<place>\w+)(?:\.(?P<file>\w+))?$")
PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Use:
    """One process at one instant; memory in bytes."""

    resident: int
    """What of it lies in memory, shared pages counted whole."""
    own: int
    """Private and shared memory that is no file: what grows when something leaks."""
    peak: int
    """The most that was resident since its start."""
    descriptors: int
    threads: int


def children(parent: int) -> list[int]:
    """Living processes whose parent is ``parent``, in the order of their numbers."""
    found = []
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            try:
                state, ppid = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(ppid) == parent and state not in "ZX":
                found.append(int(entry.name))
    return sorted(found)


def role(pid: int) -> str:
    """What a process of the robot is for, by the module it runs: ``policy``, ``planner``. "" when it is gone."""
    try:
        words = (PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return ""
    for word in words:
        named = MODULE.match(word)
        if named:
            file = named["file"]
            return named["place"] if file in (None, "process") else str(file)
    return words[0].rpartition("/")[2]


def use(pid: int) -> Use | None:
    """What it uses now; None when it is gone, or belongs to another user."""
    folder = PROC / str(pid)
    try:
        status = dict(
            line.split(":", 1) for line in (folder / "status").read_text().splitlines() if ":" in line
        )
        descriptors = len(os.listdir(folder / "fd"))
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    if "VmRSS" not in status:  # a zombie
        return None
    return Use(
        resident=_kib(status["VmRSS"]),
        own=_kib(status["RssAnon"]) + _kib(status["RssShmem"]),
        peak=_kib(status["VmHWM"]),
        descriptors=descriptors,
        threads=int(status["Threads"]),
    )


def proportional(pid: int) -> int | None:
    """Bytes in memory with shared pages divided among their users (PSS); None where it may not be read.

    The kernel walks the process's pages for it: not every second beside something that is measured.
    """
    try:
        text = (PROC / str(pid) / "smaps_rollup").read_text()
    except (OSError, ValueError):
        return None
    found = re.search(r"^Pss:\s*(\d+) kB", text, re.MULTILINE)
    return int(found.group(1)) * 1024 if found else None


def _kib(text: str) -> int:
    return int(text.split(maxsplit=1)[0]) * 1024
