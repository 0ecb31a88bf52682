"""Ending with one's parent: a child must not outlive a supervisor that was killed."""

from __future__ import annotations

import os
import signal

from spinal.native.realtime import die_with_parent


def end_with_parent(parent: int) -> None:
    """SIGTERM for this process when its parent dies; leaves at once when ``parent`` (0: any) has died already."""
    die_with_parent(signal.SIGTERM)
    if parent and os.getppid() != parent:
        raise SystemExit(f"its parent, process {parent}, has ended")
