"""Which policy runs, and how another takes its place while the robot moves.

1. loading: the candidate is loaded and warmed beside the policy's own work, its card matched with the robot.
2. comparing: it answers the same observations in the shadow; nobody executes that. Too far apart, it is refused.
3. probation: from the next step on its chunks are the ones that are published; the tick joins them to the motion
   under way as it joins any two chunks, so the switch is continuous in position, velocity and acceleration. The
   policy before stays warm. An error, a pace far off its card, or a stop of the robot brings it back at once: the
   observation on which the candidate failed is answered by the policy before.
4. kept, or refused, or rolled_back, with the reason.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from spinal.native import layout
from spinal.runtime.config.card import load_card
from spinal.runtime.config.match import match_card
from spinal.runtime.config.policy import SwapSettings
from spinal.runtime.config.robot import RobotConfig
from spinal.runtime.errors import PolicyError, SpinalError
from spinal.runtime.policy.background import Outcome, Worker
from spinal.runtime.policy.loaded import LoadedPolicy
from spinal.runtime.policy.shadow import difference, too_far
from spinal.runtime.types import Array, Chunk, Observation, State

Status = Literal["none", "loading", "comparing", "probation", "kept", "refused", "rolled_back", "revealed"]
UNDER_WAY = ("loading", "comparing", "probation")
LONGEST_WORDS = 200


@dataclass(frozen=True, slots=True)
class Request:
    """What somebody asks: ``number`` rises with every request."""

    number: int
    action: str
    model: str = ""
    forced: bool = False
    goal: int = 0
    by: str = ""

    @staticmethod
    def of(told: dict[str, Any]) -> Request:
        """From what the link passed on."""
        fields = {name: told[name] for name in Request.__slots__ if name in told}
        return Request(**fields)


class Exchange:
    """``active`` is what runs. Each policy step calls ``begin_step``, ``answered`` and ``end_step``. One thread.

    ``load``: makes a policy of a model; it runs in ``worker``, as do the shadow's answers. ``seed``: of a policy
    that takes over again.
    """

    def __init__(
        self,
        robot: RobotConfig,
        active: LoadedPolicy,
        load: Callable[[Path], LoadedPolicy],
        worker: Worker,
        seed: int = 0,
    ) -> None:
        if robot.policy is None:
            raise ValueError("a robot without a policy")
        self.active = active
        self.previous: LoadedPolicy | None = None
        self.status: Status = "none"
        self._robot, self._load, self._worker, self._seed = robot, load, worker, seed
        self._bounds: SwapSettings = robot.policy.swap
        self._folders = [active.model.parent, *map(Path, self._bounds.folders)]
        self._keep_alive_ns = robot.policy.keep_alive_ms * 1_000_000
        self._request = Request(0, "")
        self._ahead_ns: tuple[int, ...] = ()
        self._delay_ns = 0
        self._candidate: LoadedPolicy | None = None
        self._why = ""
        self._compared = 0
        self._worst: Array = np.zeros(len(robot.joints))
        self._deadline_ns = self._kept_warm_ns = 0
        self._running = False
        """Whether the robot ran when the probation began, or since."""

    def ask(self, request: Request, now_ns: int) -> None:
        """Obeys ``request``, or refuses it in the report. While one is under way another is not heard: the link
        has refused it, and a probation hears a rollback alone.
        """
        if self.status in UNDER_WAY and not (self.status == "probation" and request.action == "rollback"):
            return
        if request.action == "swap":
            self._request, self._why = request, ""
            self._compared, self._worst = 0, np.zeros(len(self._robot.joints))
            self._begin_loading(now_ns)
        elif request.action == "rollback":
            self._request = request
            if self.previous is None:
                self._end("refused", "no policy ran before this one")
            else:
                self._go_back(f"asked for by {request.by}" if request.by else "asked for")

    def take_turn(self, policy: LoadedPolicy) -> None:
        """``policy`` is the active one from now on: in a blind test, where nobody is on probation."""
        if policy is not self.active:
            self.active = policy
            policy.step.restart(self._seed)
            policy.pace.restart()

    def note(self, request: Request, status: Status, why: str) -> None:
        """What became of a request that changes no policy."""
        self._request = request
        self._end(status, why)

    def begin_step(self, state: State | None, now_ns: int) -> None:
        """Takes what the worker has done, switches when all is well, and ends a probation that is over."""
        outcome = self._worker.take()
        if self.status == "loading" and outcome is not None:
            self._loaded(outcome)
        elif self.status == "comparing" and outcome is not None:
            self._seen(outcome, now_ns)
        elif self.status == "probation":
            self._watch_over(state, now_ns)
        if self.status in ("loading", "comparing") and now_ns > self._deadline_ns:
            self._end("refused", f"it was not ready within {self._bounds.shadow_limit_s:g} s")

    def ahead_ns(self, delay_ns: int) -> tuple[int, ...]:
        """How far the next observation must look ahead, for ``active`` and for who is to answer beside it."""
        self._delay_ns = delay_ns
        self._ahead_ns = self.active.ahead_ns(delay_ns)
        if self._candidate is not None and not self._worker.busy:
            also = self._candidate.ahead_ns(delay_ns)
            if also[: len(self._ahead_ns)] == self._ahead_ns:
                self._ahead_ns = also
        return self._ahead_ns

    def seen(self, observation: Observation) -> Observation:
        """``observation`` as ``active`` wants it."""
        return self.active.seen(observation, self._ahead_ns)

    def answered(self, observation: Observation, chunk: Chunk) -> None:
        """What ``active`` answered: the candidate is asked the same, when it has time."""
        candidate = self._candidate
        if self.status == "comparing" and candidate is not None and not self._worker.busy:
            actions, seen = self._bounds.compared_actions, candidate.seen(observation, self._ahead_ns)
            self._worker.begin(lambda: difference(chunk, candidate.step.infer(seen), actions))

    def failed(self, why: str) -> bool:
        """``active`` did not answer as it should. True when the policy before is back: ask again."""
        if self.status != "probation":
            return False
        self._go_back(why)
        return True

    def end_step(self, now_ns: int) -> None:
        """Behind the step, in the time that is left of it: a policy that may have to take over again stays warm."""
        due = self._keep_alive_ns and now_ns - self._kept_warm_ns >= self._keep_alive_ns
        if self.status == "probation" and self.previous is not None and due:
            self._kept_warm_ns = now_ns
            with suppress(PolicyError):
                self.previous.keep_warm()

    @property
    def report(self) -> dict[str, Any]:
        """For people and for the journal; empty before the first request."""
        if not self._request.number:
            return {}
        told: dict[str, Any] = {
            "number": self._request.number,
            "goal": self._request.goal,
            "action": self._request.action,
            "status": self.status,
            "model": Path(self._request.model).name[:LONGEST_WORDS],
            "by": self._request.by,
            "why": self._why,
        }
        if self._compared:
            told["compared"] = self._compared
            told["difference"] = [round(float(worst), 4) for worst in self._worst]
        return told

    def _begin_loading(self, now_ns: int) -> None:
        try:
            path = self._allowed(self._request.model)
        except PolicyError as error:
            self._end("refused", error.message)
            return
        if (
            self._worker.busy
        ):  # with a probation's last breath, or with an answer that nobody waits for any more
            self._end("refused", "the one before is still at work: ask again")
            return
        self.status = "loading"
        self._deadline_ns = now_ns + round(self._bounds.shadow_limit_s * 1e9)
        self._worker.begin(lambda: self._fitting(path))

    def _fitting(self, path: Path) -> LoadedPolicy:
        """In the worker: the candidate, which belongs to this robot."""
        problems = match_card(load_card(path), self._robot).problems
        if problems:
            first = problems[0]
            more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
            raise PolicyError(f"it does not fit the robot: {first.path} {first.message}{more}")
        return self._load(path)

    def _allowed(self, model: str) -> Path:
        """The file that is meant. Raises PolicyError for one outside the robot file's folders."""
        for folder in self._folders:
            path = (folder / model).resolve()
            if any(path.is_relative_to(allowed.resolve()) for allowed in self._folders) and path.is_file():
                return path
        raise PolicyError(
            f"{model} is in no folder that models may be taken from",
            hint="copy it beside the robot's own model, or name its folder in [policy.swap] folders",
        )

    def _loaded(self, outcome: Outcome) -> None:
        if outcome.error is not None:
            self._end("refused", _one_line(outcome.error))
            return
        self._candidate = outcome.value
        self.status = "comparing"

    def _seen(self, outcome: Outcome, now_ns: int) -> None:
        if outcome.error is not None:
            self._end("refused", f"it failed in the shadow: {_one_line(outcome.error)}")
            return
        self._compared += 1
        self._worst = np.maximum(self._worst, outcome.value)
        far = too_far(self._robot, self._worst, self._bounds)
        if far is not None and not self._request.forced:
            self._end("refused", f"{far}; it can be forced")
        elif self._compared >= self._bounds.shadow_steps:
            self._switch(now_ns, f"forced: {far}" if far is not None else "")

    def _switch(self, now_ns: int, why: str) -> None:
        if self._candidate is None:
            raise RuntimeError("there is no candidate")
        if self.previous is not None:
            self.previous.close()
        self.previous, self.active, self._candidate = self.active, self._candidate, None
        self.status, self._why, self._running = "probation", why, False
        self._deadline_ns = now_ns + round(self._bounds.probation_s * 1e9)
        self._kept_warm_ns = now_ns

    def _watch_over(self, state: State | None, now_ns: int) -> None:
        mode = state.mode if state is not None else layout.MODE_OFF
        if self._running and mode in (layout.MODE_STOPPED, layout.MODE_OFF):
            self._go_back("the robot was stopped")
        elif now_ns >= self._deadline_ns:
            self._end("kept", self._why)
        self._running |= mode == layout.MODE_RUNNING

    def _go_back(self, why: str) -> None:
        if self.previous is None:
            raise RuntimeError("there is no policy before this one")
        failed, self.active, self.previous = self.active, self.previous, None
        failed.close()
        self.active.step.restart(self._seed)
        self.active.pace.restart()
        self.active.ahead_ns(self._delay_ns)
        self.status, self._why = "rolled_back", why[:LONGEST_WORDS]

    def _end(self, status: Status, why: str) -> None:
        if self._candidate is not None and not self._worker.busy:
            self._candidate.close()
        self._candidate = None
        self.status, self._why = status, why[:LONGEST_WORDS]


def _one_line(error: SpinalError) -> str:
    return " ".join(error.message.split())
