"""Work beside the policy's own: one job at a time, and nobody waits for it."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, Protocol

from spinal.runtime.errors import SpinalError

Job = Callable[[], Any]
NICER = 5
"""On top of the process's own nice value: what is beside must not take the processor from what runs."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a job returned, or the error of ours that it raised."""

    value: Any = None
    error: SpinalError | None = None


class Worker(Protocol):
    """Does jobs one after the other."""

    busy: bool

    def begin(self, job: Job) -> None:
        """Not while it is ``busy``."""
        ...

    def take(self) -> Outcome | None:
        """What came of the job, once; None while there is nothing."""
        ...


class Background:
    """In a thread that lives as long as the process, as engines do that it starts. Its caller has one thread.

    ``nicer``: than the process.
    """

    def __init__(self, nicer: int = NICER) -> None:
        self._nicer = nicer
        self.busy = False
        self._jobs: SimpleQueue[Job] = SimpleQueue()
        self._outcomes: SimpleQueue[Outcome] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def begin(self, job: Job) -> None:
        """Begins it now."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="policy-background", daemon=True)
            self._thread.start()
        self.busy = True
        self._jobs.put(job)

    def take(self) -> Outcome | None:
        """Never waits."""
        if self._outcomes.empty():
            return None
        self.busy = False
        return self._outcomes.get()

    def _work(self) -> None:
        with contextlib.suppress(OSError):  # it is refused where nobody may be nicer: then as it is
            mine = threading.get_native_id()
            os.setpriority(os.PRIO_PROCESS, mine, os.getpriority(os.PRIO_PROCESS, 0) + self._nicer)
        while True:
            self._outcomes.put(outcome_of(self._jobs.get()))


class AtOnce:
    """In lock-step: a job is done when ``begin`` returns."""

    def __init__(self) -> None:
        self.busy = False
        self._outcome: Outcome | None = None

    def begin(self, job: Job) -> None:
        """Does it."""
        self.busy, self._outcome = True, outcome_of(job)

    def take(self) -> Outcome | None:
        """What came of it."""
        outcome, self._outcome = self._outcome, None
        self.busy = False
        return outcome


def outcome_of(job: Job) -> Outcome:
    """Does ``job``. An error that is not ours becomes one: it is the candidate's, and must not end the policy."""
    try:
        return Outcome(job())
    except SpinalError as error:
        return Outcome(error=error)
    except Exception as error:  # noqa: BLE001  a stranger's decoder may raise anything
        return Outcome(error=SpinalError(f"{type(error).__name__}: {error}"))
