"""A small model that corrects the policy's answers on fresh observations (A2C2, asynchronous chunk correction).

    base chunk, as executed -> its coming waypoints -> model -> bounded correction -> chunk from now on

1. The base chunk is kept as the policy answered it, and corrected from there each time: corrections do not add up.
2. A corrected chunk begins at the fresh observation, from the motion commanded then; its waypoints stand a step
   apart from there, between those of the base on a local cubic (Catmull-Rom), a gripper's on the nearest. Waypoints
   that the policy was given, which are commanded anyway, stay as they are commanded.
3. Row k of an answer corrects the k-th coming waypoint, the last row all behind it, until the next correction.
4. No joint's target is moved by more than ``max_share`` of what it travels in a policy period at its velocity
   limit.
5. A corrected chunk is as old as the observation that the base answered: a residual never makes a policy that has
   fallen silent look alive.
6. What does not answer, or no number, or too slowly, corrects nothing: the base goes on as it is, with a complaint.
   One that is too slow is asked once a second whether it is faster.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinal.native import clock
from spinal.native.histogram import Histogram
from spinal.runtime.config.card import PolicyCard
from spinal.runtime.config.card.residual import ResidualCard
from spinal.runtime.config.policy import ResidualSettings
from spinal.runtime.config.robot import RobotConfig
from spinal.runtime.decode.normalise import scaling
from spinal.runtime.decode.units import JointUnits
from spinal.runtime.errors import PolicyError
from spinal.runtime.policy.engine import Engine
from spinal.runtime.policy.fill import Fills
from spinal.runtime.policy.pace import Pace
from spinal.runtime.types import Array, Chunk, Observation
from spinal.runtime.wiring import summary_us

LEAST_ACTIONS = 4
"""What a path can be fitted through; nearer to the chunk's end nothing is corrected any more."""
FINE_NS = 1000
"""A waypoint that lies so little behind the chunk's end is its last."""
AGAIN_NS = 1_000_000_000
"""How often one that is too slow is asked again."""


@dataclass(frozen=True, slots=True)
class _Base:
    """A chunk of the policy, as it is executed without a correction."""

    chunk: Chunk
    misfit: str | None
    """Why it is not corrected; None where it is."""
    epoch: int

    @property
    def answer_ns(self) -> int:
        """The instant of the first action that is an answer."""
        return self.chunk.first_ns + self.chunk.given * self.chunk.step_ns

    @property
    def end_ns(self) -> int:
        return self.chunk.first_ns + (len(self.chunk.actions) - 1) * self.chunk.step_ns


class Residual:
    """One thread. ``timed``: whether it is held to its pace.

    Raises PolicyError for a card that this robot cannot feed.
    """

    def __init__(
        self,
        card: ResidualCard,
        engine: Engine,
        robot: RobotConfig,
        settings: ResidualSettings,
        timed: bool = True,
    ) -> None:
        if robot.policy is None:
            raise ValueError("a robot without a policy")
        self.card = card
        self.engine = engine
        self._timed = timed
        self._fills = Fills(card, engine, None, robot)
        by_name = {joint.name: joint for joint in card.joints}
        units = JointUnits([by_name[name] for name in card.names], robot.joints)
        self._index, self._gain = units.index, units.gain
        self._scaling = scaling(card.output.normalise, len(card.names), "output.normalise")
        fastest = np.array([robot.joints[k].limits.velocity for k in self._index])
        self.bound = settings.max_share * fastest * robot.policy.period_ns * 1e-9
        """[corrected joint], rad or m: the most that a target is moved."""
        self._arm = np.array([joint.kind == "arm" for joint in robot.joints])
        own_ns = round(1e9 / settings.hz) if settings.hz else robot.policy.period_ns
        self.period_ns = own_ns
        """Between two corrections."""
        self.faster = own_ns < robot.policy.period_ns
        """Whether chunks are corrected again between the policy's answers."""
        self._took = Histogram()
        self.restart()

    def restart(self, seed: int = 0) -> None:
        """A run begins anew."""
        self._fills.restart(seed)
        self._base: _Base | None = None
        self._sent, self._corrected = 0, False
        self._asked_ns = -AGAIN_NS
        promised = self.card.inference_ms
        self._pace, self._budget = Pace(promised), Pace(self.period_ns / 1e6 / 10)  # FAR times that: a period
        self.runs = self.clipped = self.failed = 0
        self.complaint: str | None = None

    def begin(self, chunk: Chunk, policy: PolicyCard, epoch: int = 0) -> None:
        """``chunk``, as it is executed, is what is corrected from now on; ``policy`` answered it.

        ``epoch``: of the observation that it answered; in another it is not continued.
        """
        self._base, self._sent, self._corrected = _Base(chunk, self.card.misfit(policy), epoch), 0, False

    def forget(self) -> None:
        """Nothing is corrected until the policy answers again."""
        self._base = None

    def ahead_ns(self, now_ns: int) -> tuple[int, ...]:
        """How far an observation at ``now_ns`` must look ahead: waypoints that are commanded anyway."""
        base = self._base
        if base is None:
            return ()
        step_ns = base.chunk.step_ns
        known = max(0, -(-(base.answer_ns - now_ns) // step_ns) - 1)
        return tuple(step_ns * (k + 1) for k in range(min(known, len(base.chunk.actions))))

    def correct(self, seen: Observation) -> Chunk | None:
        """The base chunk from ``seen`` on, corrected; once as it is where the model does not answer any more.

        ``seen`` looks ahead by ``ahead_ns``. None where there is nothing to be published: the base as it was
        answered, or what was published last, goes on.
        """
        base = self._base
        if base is None or seen.epoch != base.epoch:
            return None
        actions, index = self._coming(base, seen)
        if len(actions) < LEAST_ACTIONS:
            return None
        given = min(len(seen.ahead), len(actions) - 1)
        correction = self._correction(base, replace(seen, coming=self._shown(actions), chunk_index=index))
        stamp_ns, self._sent = base.chunk.observation_stamp_ns + self._sent, self._sent + 1
        before, self._corrected = self._corrected, correction is not None
        if correction is not None:
            rows = np.minimum(np.arange(given, len(actions)), len(correction) - 1)
            actions[given:, self._index] += correction[rows]
        elif not before:
            return None
        return replace(
            base.chunk,
            observation_stamp_ns=stamp_ns,  # the same answer, and newer: the tick takes it for that
            first_ns=seen.stamp_ns + base.chunk.step_ns,
            actions=actions,
            given=given,
            under_way=seen.under_way,
            spline=None,
        )

    @property
    def report(self) -> dict[str, Any]:
        """For people and for views."""
        return {
            "model": f"{self.card.name} {self.card.version}",
            "runs": self.runs,
            "clipped": self.clipped,
            "failed": self.failed,
            "complaint": self.complaint,
            "inference_us": summary_us(self._took.summary()),
        }

    def _coming(self, base: _Base, seen: Observation) -> tuple[Array, int]:
        """[waypoint, joint] a step apart behind ``seen``, up to the base's end; where in the chunk they begin."""
        chunk = base.chunk
        step_ns, first_ns = chunk.step_ns, seen.stamp_ns + chunk.step_ns
        count = max(0, (base.end_ns - first_ns + FINE_NS) // step_ns + 1)
        since = (first_ns - base.answer_ns) / step_ns + np.arange(count, dtype=np.float64)
        actions = between(chunk.actions[chunk.given :], since, self._arm)
        known = min(len(seen.ahead), count)
        actions[:known] = seen.ahead[:known]
        return actions, max(0, round((first_ns - chunk.first_ns) / step_ns))

    def _shown(self, actions: Array) -> Array:
        """As many as the model is shown; behind the chunk's end its last."""
        rows = np.minimum(np.arange(self.card.steps), len(actions) - 1)
        return np.asarray(actions[rows])

    def _correction(self, base: _Base, seen: Observation) -> Array | None:
        """[row, corrected joint] in rad and m, within the bound; None where there is none."""
        self.complaint = base.misfit
        if base.misfit is not None:
            return None
        slow = self._slow
        if slow is not None and seen.stamp_ns - self._asked_ns < AGAIN_NS:
            self.complaint = slow
            return None
        self._asked_ns = seen.stamp_ns
        try:
            numbers = self._ask(seen)
        except PolicyError as error:
            self.failed += 1
            self.complaint = str(error)
            return None
        self.complaint = self._slow
        if self.complaint is not None:
            return None
        wanted = (numbers if self._scaling is None else self._scaling.out_of(numbers)) / self._gain
        bounded: Array = np.clip(wanted, -self.bound, self.bound)
        self.runs += 1
        self.clipped += bool((bounded != wanted).any())
        return bounded

    def _ask(self, seen: Observation) -> Array:
        self._fills.fill(seen)
        began_ns = clock.now_ns()
        self.engine.run()
        took_ns = clock.now_ns() - began_ns
        self._took.record(took_ns)
        self._pace.took(took_ns)
        self._budget.took(took_ns)
        numbers = np.asarray(self.engine.outputs[self.card.output.name], np.float64)
        if not np.isfinite(numbers).all():
            raise PolicyError(
                "the residual model answered numbers that are not finite",
                hint="the policy goes on uncorrected; check the model and its inputs",
            )
        return numbers.reshape(-1, len(self.card.names))

    @property
    def _slow(self) -> str | None:
        if not self._timed:
            return None
        slow = self._pace.complaint
        if slow is None and self._budget.complaint is not None:
            slow = f"an inference takes longer than the {self.period_ns / 1e6:g} ms between two corrections"
        return slow


def between(actions: Array, since: Array, smooth: NDArray[np.bool_]) -> Array:
    """[instant, joint]: ``actions`` [step, joint] at ``since``, in steps behind the first; held outside.

    On the Catmull-Rom cubic, which goes through them, for joints that are ``smooth``; the nearest for the others.
    """
    last = len(actions) - 1
    since = np.clip(since, 0, last)
    nearest = actions[np.floor(since + 0.5).astype(np.int64)]
    if not last:
        return nearest
    padded = np.concatenate([2 * actions[:1] - actions[1:2], actions, 2 * actions[-1:] - actions[-2:-1]])
    k = np.minimum(since.astype(np.int64), last - 1)
    b = (since - k)[:, None]
    p0, p1, p2, p3 = (padded[k + place] for place in range(4))
    cubic = p1 + b / 2 * (p2 - p0 + b * (2 * p0 - 5 * p1 + 4 * p2 - p3 + b * (3 * (p1 - p2) + p3 - p0)))
    return np.where(smooth, cubic, nearest)
