"""What can go wrong, as one small tree, and the exit code of each branch.

::

    SpinalError            1   anything of ours; a message, and a hint that says what to do next
    ├── ConfigError        2   bad input: robot file, policy card, command line; all problems at once
    ├── BenchError         2   a suite, a result or a baseline that is not what it should be; one line
    ├── PolicyError        3   the model does not load, does not run, or answers nonsense
    │   └── InvalidAnswer    one answer means no action: the chunk before stays in force
    ├── BusError           4   a port or a protocol: cannot be opened, does not answer, answers wrongly
    ├── LinkError          5   the planner link: cannot bind, refuses a message
    ├── ProcessError       6   supervision: a child did not start, or was given up
    └── RealtimeError      7   a real-time permission was refused, or a deadline is out of reach

The command line prints the message and ``next: <hint>`` on stderr and leaves with the exit code; a
traceback means a bug of ours. The exit code 2 is also argparse's for a bad command line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class SpinalError(Exception):
    """An expected failure: ``message`` says what is wrong, ``hint`` what to do next."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple[type[SpinalError], tuple[object, ...]]:
        return type(self), (self.message, self.hint)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong in a file: where, what, and what to do about it.

    ``path`` reads like ``joints[2] (elbow_flex).limits.jerk``; it is empty for the file as a whole.
    """

    path: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        text = f"{self.path} {self.message}" if self.path else self.message
        return f"{text}\n    {self.hint}" if self.hint else text


class ConfigError(SpinalError):
    """Bad input, with every problem found; ``str()`` shows all of them.

    ``source`` is the file they stand in, as the user named it.
    """

    exit_code = 2

    def __init__(self, problems: Sequence[Problem], source: str = "", hint: str = "") -> None:
        self.problems = tuple(problems)
        self.source = source
        count = "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        heading = f"{source}: {count}" if source else count
        super().__init__("\n".join([heading, *(f"  {_indented(p)}" for p in self.problems)]), hint)

    def __reduce__(self) -> tuple[type[SpinalError], tuple[object, ...]]:
        return type(self), (self.problems, self.source, self.hint)


class BenchError(SpinalError):
    """A suite that does not exist, a result of another schema, a baseline from another machine."""

    exit_code = 2


class PolicyError(SpinalError):
    """The model does not load, does not run, or answers something that is not a chunk."""

    exit_code = 3


class InvalidAnswer(PolicyError):  # noqa: N818  a verdict on one answer, which the loop survives
    """An answer that means no action, such as tokens that no encoder makes. The chunk before stays in force."""

    def __init__(
        self,
        message: str,
        hint: str = "the arm keeps its old chunk and holds at its end; see the card's decoder",
    ) -> None:
        super().__init__(message, hint)


class BusError(SpinalError):
    """A port cannot be opened or was lost, or a device answers wrongly or not at all."""

    exit_code = 4


class LinkError(SpinalError):
    """The planner link cannot bind or connect, or a message was refused."""

    exit_code = 5


class ProcessError(SpinalError):
    """A child process did not start, or failed so often that it was given up."""

    exit_code = 6


class RealtimeError(SpinalError):
    """A real-time permission was refused where the robot file requires it."""

    exit_code = 7


def _indented(problem: Problem) -> str:
    return str(problem).replace("\n", "\n  ")
