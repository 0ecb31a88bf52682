"""A model that looks on and says how it goes: success, failure, or whatever its labels are.

It runs behind the policy's answer, never before it. Its verdict is the label with the highest probability among
those that reach their threshold; none where no label does. A verdict changes once it was another for the card's
patience without a break. What cannot be judged (no observation, no number, an error, too slow) breaks the row of
what was seen and leaves the verdict as it is: a robot that holds at a failure goes on when the detector has seen
that it is over, and not because it has gone blind.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from spinal.native import clock
from spinal.native.histogram import Histogram
from spinal.runtime.config.card.detector import DetectorCard
from spinal.runtime.config.policy import DetectorSettings
from spinal.runtime.config.robot import RobotConfig
from spinal.runtime.errors import PolicyError
from spinal.runtime.policy.engine import Engine
from spinal.runtime.policy.fill import Fills
from spinal.runtime.policy.pace import Pace
from spinal.runtime.types import Array, Observation
from spinal.runtime.wiring import summary_us

AGAIN_NS = 1_000_000_000
"""How often one that is too slow is asked again."""
SLACK = 1e-3
"""By which a probability may leave 0 to 1: a sum of roundings."""
ROUNDING = 1e-6
"""Of a threshold in float32."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was seen, and since when; no label: none of them."""

    label: str = ""
    probability: float = 0.0
    """Of the label, in the newest answer that gave it."""
    since_ns: int = 0
    """The first observation of the unbroken row that made it the verdict; 0: nothing was judged yet."""


class Detector:
    """One thread. ``timed``: whether it is held to its pace. Raises PolicyError for a card that cannot be fed."""

    def __init__(
        self,
        card: DetectorCard,
        engine: Engine,
        robot: RobotConfig,
        settings: DetectorSettings,
        timed: bool = True,
    ) -> None:
        if robot.policy is None:
            raise ValueError("a robot without a policy")
        self.card = card
        self.engine = engine
        self._timed = timed
        self._hold_on = frozenset(settings.hold_on)
        self._fills = Fills(card, engine, None, robot)
        self._thresholds: Array = np.broadcast_to(np.array(card.thresholds), len(card.labels))
        self._patience_ns = round(card.patience_ms * 1e6)
        self._period_ns = round(1e9 / settings.hz) if settings.hz else 0
        self._budget_ns = max(self._period_ns, robot.policy.period_ns)
        self._took = Histogram()
        self.restart()

    def restart(self, seed: int = 0) -> None:
        """A run begins anew."""
        self._fills.restart(seed)
        self.verdict = Verdict()
        self._seen: Verdict | None = None
        self._next_ns = 0
        promised = self.card.inference_ms
        self._pace, self._budget = (
            Pace(promised),
            Pace(self._budget_ns / 1e6 / 10),
        )  # FAR times that: a period
        self.runs = self.failed = 0
        self.complaint: str | None = None

    @property
    def hold(self) -> str | None:
        """Why the policy is not to answer; None where it may."""
        if self.verdict.label not in self._hold_on:
            return None
        return f"the detector sees {self.verdict.label}: the policy answers nothing until it is over"

    def look(self, observation: Observation | None) -> Verdict:
        """Judges ``observation``, when it is time to; the verdict is what it was or a new one."""
        if observation is None:
            self._seen = None
            return self.verdict
        now_ns = observation.stamp_ns
        if now_ns < self._next_ns:
            return self.verdict
        period_ns = self._period_ns if self._slow is None else AGAIN_NS
        self._next_ns = period_ns + (self._next_ns if now_ns - self._next_ns < period_ns else now_ns)
        try:
            label, probability = self._judge(observation)
        except PolicyError as error:
            self.failed += 1
            self.complaint, self._seen = str(error), None
            return self.verdict
        self.runs += 1
        self.complaint = self._slow
        if self._seen is None or self._seen.label != label:
            self._seen = Verdict(label, probability, now_ns)
        since_ns = self._seen.since_ns
        if label == self.verdict.label and self.verdict.since_ns:
            self.verdict = Verdict(label, probability, self.verdict.since_ns)
        elif now_ns - since_ns >= self._patience_ns:
            self.verdict = Verdict(label, probability, since_ns)
        return self.verdict

    @property
    def report(self) -> dict[str, Any]:
        """For people, views, planners and the journal."""
        return {
            "model": f"{self.card.name} {self.card.version}",
            "label": self.verdict.label,
            "probability": round(self.verdict.probability, 4),
            "since_ns": self.verdict.since_ns,
            "holds": self.hold is not None,
            "runs": self.runs,
            "failed": self.failed,
            "complaint": self.complaint,
            "inference_us": summary_us(self._took.summary()),
        }

    def _judge(self, observation: Observation) -> tuple[str, float]:
        """(label, probability); no label where none reaches its threshold."""
        self._fills.fill(observation)
        began_ns = clock.now_ns()
        self.engine.run()
        took_ns = clock.now_ns() - began_ns
        self._took.record(took_ns)
        self._pace.took(took_ns)
        self._budget.took(took_ns)
        numbers = np.asarray(self.engine.outputs[self.card.output.name], np.float64).ravel()
        if not np.isfinite(numbers).all():
            raise PolicyError("its numbers are not finite", hint="its verdict stays; check the model")
        if self.card.output.scores == "logits":
            risen = np.exp(numbers - numbers.max())
            numbers = risen / risen.sum()
        elif numbers.min() < -SLACK or numbers.max() > 1 + SLACK:
            raise PolicyError(
                f"it answers {numbers.min():.3g} to {numbers.max():.3g} for a probability",
                hint='its verdict stays; a model without a softmax has output.scores = "logits"',
            )
        likely = np.where(numbers >= self._thresholds - ROUNDING, numbers, -1.0)
        best = int(likely.argmax())
        if likely[best] < 0:
            return "", 0.0
        return self.card.labels[best], float(np.clip(numbers[best], 0.0, 1.0))

    @property
    def _slow(self) -> str | None:
        if not self._timed:
            return None
        slow = self._pace.complaint
        if slow is None and self._budget.complaint is not None:
            slow = f"an inference takes longer than the {self._budget_ns / 1e6:g} ms between two looks"
        return slow
