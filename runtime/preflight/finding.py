"""One fact about a computer, judged."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Status(StrEnum):
    """``bad``: a robot that requires real time fails. ``warn``: it runs, and is later than it need be."""

    GOOD = "good"
    NOTE = "note"
    WARN = "warn"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Write:
    """A setting of the kernel that may be changed without harm, and is forgotten at the next boot."""

    path: Path
    text: str

    def apply(self) -> None:
        """Writes it. Raises OSError."""
        self.path.write_text(self.text)


@dataclass(frozen=True, slots=True)
class Finding:
    """``fact`` is what is, ``meaning`` what it does to a robot, ``fix`` the command that mends it.

    ``repairs`` are what ``spinal doctor --fix`` may do by itself; empty where a person has to decide.
    """

    name: str
    status: Status
    fact: str
    meaning: str
    fix: str = ""
    repairs: tuple[Write, ...] = ()


class System:
    """Where facts are read: the files of this computer, or of a made-up one in tests."""

    def __init__(self, root: Path = Path("/")) -> None:
        self.root = root

    def path(self, name: str) -> Path:
        """``name`` is absolute, as on the real computer."""
        return self.root / name.lstrip("/")

    def text(self, name: str) -> str | None:
        """A file's text without the space around it; None where it is not there or may not be read."""
        try:
            return self.path(name).read_text(errors="replace").strip()
        except OSError:
            return None

    def matching(self, pattern: str) -> list[Path]:
        """Files that match an absolute pattern, in order."""
        return sorted(self.root.glob(pattern.lstrip("/")))
