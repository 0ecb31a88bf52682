"""Lines about what happens: into the live view while there is one, else to stderr; and into the run's journal."""

from __future__ import annotations

import sys
from collections.abc import Callable

from spinal.runtime.cli.live import View
from spinal.runtime.supervisor.journal import Journal

CLEAR_LINE = "\r\x1b[K"


class Announcer:
    """Call it with a line."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._to: Callable[[str], None] | None = None

    def use(self, view: View | None) -> None:
        """From now on to ``view``."""
        self._to = view.say if view is not None else None

    def __call__(self, line: str) -> None:
        """Say it."""
        self._journal.write("said", text=line)
        if self._to is not None:
            self._to(line)
        else:
            clear = CLEAR_LINE if sys.stderr.isatty() else ""  # of what a progress line left there
            print(f"{clear}{line}", file=sys.stderr, flush=True)
