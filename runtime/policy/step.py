"""One policy step: an observation becomes a chunk, and that a trajectory for the tick.

    fill inputs -> infer -> decode -> mean -> fit

What will be executed anyway until the answer can be in force, the prefix, is given to a model that was trained
for it: the steps that lie inside the measured delay, and no more.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spinal.native import clock
from spinal.runtime.config.card import PolicyCard
from spinal.runtime.config.robot import RobotConfig
from spinal.runtime.decode import Meaning, decode_chunk
from spinal.runtime.decode.chunk import NOT_FINITE
from spinal.runtime.decode.registry import make_decoder
from spinal.runtime.policy.engine import Engine
from spinal.runtime.policy.execution import Execution
from spinal.runtime.policy.fill import Fills
from spinal.runtime.policy.head import make_head
from spinal.runtime.types import Chunk, Observation, Spline

__all__ = ["Execution", "PolicyStep"]


class PolicyStep:
    """A model, its card, and how its chunks are executed. One thread; ``seed`` feeds its noise.

    ``folder``: the model's, for what its decoder needs beside it. ``robot``: for units, ranges and links that its
    file gives; without, the card's joints are the robot's in rad and m.
    """

    def __init__(
        self,
        card: PolicyCard,
        engine: Engine,
        execution: Execution,
        seed: int = 0,
        folder: Path = Path(),
        robot: RobotConfig | None = None,
    ) -> None:
        self.card = card
        self.execution = execution
        self.run_ns = (0, 0)
        """When the model's last run began and ended."""
        self._meaning = Meaning(card, robot)
        self._fills = Fills(card, engine, self._meaning, robot)
        self._head = make_head(card, engine)
        self._decoder = make_decoder(card, folder)
        plain = self._meaning.plain and not self._fills.remembers
        whole = card.chunk.first == 0 and card.chunk.repeat == 1
        self._at_once = card.decoder.kind == "chunk" and plain and whole
        self.restart(seed)

    def restart(self, seed: int) -> None:
        """Begins anew: the noise of a run depends on ``seed`` alone."""
        self._fills.restart(seed)
        self._head.restart(seed)
        self._decoder.restart()

    def ahead_ns(self, delay_ns: int) -> tuple[int, ...]:
        """How far an observation must look ahead for an answer in force after ``delay_ns``: steps inside it."""
        step_ns = self.execution.step_ns
        frozen = min(delay_ns // step_ns, self.card.prefix.max_steps)
        return tuple(step_ns * (k + 1) for k in range(frozen))

    def infer(self, observation: Observation) -> Chunk:
        """The chunk that answers ``observation``. Raises PolicyError for an answer that is not finite."""
        self._fills.fill(observation)
        began_ns = clock.now_ns()
        answer = self._head.answer(None)
        self.run_ns = (began_ns, clock.now_ns())
        step_ns = self.execution.step_ns
        if self._at_once:
            return decode_chunk(answer[self.card.output.name], observation, step_ns)
        decoded = self._decoder.decode(answer)
        base = self._meaning.base(observation)
        actions = self._meaning.to_joints(
            self._executed(decoded.actions), base, observation.ahead, observation.command[:, 0]
        )
        if not np.isfinite(actions).all():
            raise NOT_FINITE
        if self._fills.remembers:
            self._fills.accepted(observation.stamp_ns, decoded.actions)
        return Chunk(
            observation_stamp_ns=observation.stamp_ns,
            sensor_stamp_ns=observation.sensor_stamp_ns,
            first_ns=observation.stamp_ns + step_ns,
            step_ns=step_ns,
            actions=actions,
            given=len(observation.ahead),
            decoder=self.card.decoder.kind,
            under_way=observation.under_way,
            spline=self._as_joints(decoded.spline, base),
            base=None if self.card.representation == "absolute" else base,
        )

    def _executed(self, actions: NDArray[np.float64]) -> NDArray[np.float64]:
        """Those from the card's first on, the last of them as often as it stands."""
        chunk = self.card.chunk
        last = np.repeat(actions[-1:], chunk.repeat - 1, axis=0)
        return np.concatenate([actions[chunk.first :], last]) if chunk.repeat > 1 else actions[chunk.first :]

    def _as_joints(self, spline: Spline | None, base: NDArray[np.float64]) -> Spline | None:
        """``spline`` in joint targets, where these are an affine function of each control point by itself."""
        if spline is None or spline.degree < 1 or not self._meaning.pointwise:
            return None
        controls = self._meaning.to_joints(spline.controls, base)
        if not np.isfinite(controls).all():
            raise NOT_FINITE
        return Spline(spline.degree, controls, spline.duration_s)
