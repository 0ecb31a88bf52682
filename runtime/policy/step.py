"""One policy step: an observation becomes a chunk, and that a trajectory for the tick.

    fill inputs -> infer -> decode -> mean -> fit

What of the motion under way an answer is told, and what of the answer is executed, is the strategy's
(``strategy.py``); how fast, the tempo's (``tempo.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from spinal.native import clock
from spinal.runtime.config.card import PolicyCard
from spinal.runtime.config.match import start_problems
from spinal.runtime.config.robot import RobotConfig
from spinal.runtime.decode import Meaning, decode_chunk
from spinal.runtime.decode.chunk import NOT_FINITE
from spinal.runtime.decode.decoder import Answer, Decoded
from spinal.runtime.decode.registry import make_decoder
from spinal.runtime.errors import PolicyError
from spinal.runtime.policy.delay import FINEST_NS
from spinal.runtime.policy.engine import Engine
from spinal.runtime.policy.execution import Execution
from spinal.runtime.policy.fill import Fills
from spinal.runtime.policy.head import Guide, guides_of, make_head
from spinal.runtime.policy.strategy import make_strategy
from spinal.runtime.policy.tempo import Tempo
from spinal.runtime.types import Array, Chunk, Observation, Spline, Trajectory

__all__ = ["Early", "Execution", "PolicyStep"]

Early = Callable[[Chunk, float], None]


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
        self.strategy = make_strategy(card, execution)
        self._guides = guides_of(card)
        self._tempo = Tempo(execution, card.chunk)
        self._starts_on = robot if card.starts_within_rad is not None else None
        self._delay_steps = card.chunk.steps  # nobody has asked yet: whatever an observation looked ahead
        self.restart(seed)

    def restart(self, seed: int) -> None:
        """Begins anew: the noise of a run depends on ``seed`` alone."""
        self._fills.restart(seed)
        self._head.restart(seed)
        self._decoder.restart()
        self.strategy.restart()
        self._tempo.restart()

    def ahead_ns(self, delay_ns: int) -> tuple[int, ...]:
        """How far an observation must look ahead for an answer in force after ``delay_ns``."""
        step_ns = self._tempo.step_ns(delay_ns)
        self._delay_steps = delay_ns // step_ns
        return tuple(step_ns * (k + 1) for k in range(self.strategy.look_ahead(self._delay_steps)))

    def infer(self, observation: Observation, early: Early | None = None) -> Chunk:
        """The chunk that answers ``observation``. Raises PolicyError for an answer that is not finite.

        Likewise where nothing is under way and a joint is too far from the pose that the policy starts from.
        ``early`` is called with what of it is final before all is, and with the share of its steps that are
        through; behind that the chunk under way goes on.
        """
        if self._starts_on is not None and observation.under_way is None:
            self._refuse_far_start(self._starts_on, observation.position)
        given = min(len(observation.ahead), self.strategy.given(self._delay_steps))
        seen = self._tempo.seen(observation)
        base = self._meaning.base(seen)
        guide = self._guide(seen, base)
        if given < len(seen.ahead):
            seen = replace(seen, ahead=seen.ahead[:given])
        self._fills.fill(seen)
        began_ns = clock.now_ns()
        if guide is not None and guide.kind == "streaming" and early is not None:
            answer = self._stream(guide, seen, base, observation.ahead, early)
        else:
            answer = self._head.answer(guide)
        self.run_ns = (began_ns, clock.now_ns())
        if self._at_once:
            chunk = decode_chunk(answer[self.card.output.name], seen, self._tempo.current_ns)
        else:
            chunk = self._decode(answer, seen, base)
        self._tempo.saw(observation, chunk)
        return chunk

    def _stream(self, guide: Guide, seen: Observation, base: Array, ahead: Array, early: Early) -> Answer:
        for refined, part in enumerate(self._head.stream(guide)):
            if part.ready == len(ahead):
                break
            actions = self._actions(part.answer, seen, base)[1]
            actions[part.ready :] = ahead[part.ready :]
            # A later answer to the same observation is a newer one: the tick takes it for that.
            stamp_ns = seen.stamp_ns - FINEST_NS + refined
            early(replace(self._chunk(seen, actions), observation_stamp_ns=stamp_ns), part.done)
        return part.answer

    def trajectory(self, chunk: Chunk, command: Array, published_ns: int, delay_ns: int) -> Trajectory:
        """What of ``chunk`` is executed, from the motion commanded at its observation ([joint, 3])."""
        executed = self.executed(chunk, published_ns)
        return self.execution.trajectory(executed, command, published_ns, delay_ns)

    def executed(self, chunk: Chunk, published_ns: int) -> Chunk:
        """The part of ``chunk`` that is executed; once for each answer."""
        return self.strategy.executed(chunk, published_ns)

    def _refuse_far_start(self, robot: RobotConfig, position: Array) -> None:
        problems = start_problems(self.card, robot, position.tolist())
        if problems:
            more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
            first = problems[0]
            raise PolicyError(f"{first.path} {first.message}{more}", hint=first.hint)

    def _guide(self, seen: Observation, base: Array) -> Guide | None:
        if self.strategy.name not in self._guides:  # a graph has inputs for what is given, or none
            return None
        held = self.strategy.held(seen, self._delay_steps, self._tempo.current_ns)
        if held is None:
            return None
        return Guide(self._meaning.to_model(held.targets, base), held.weights, held.frozen, held.kind)

    def _decode(self, answer: Answer, seen: Observation, base: Array) -> Chunk:
        decoded, actions = self._actions(answer, seen, base)
        if self._fills.remembers:
            self._fills.accepted(seen.stamp_ns, decoded.actions)
        return replace(
            self._chunk(seen, actions),
            spline=self._as_joints(decoded.spline, base),
            base=None if self.card.representation == "absolute" else base,
        )

    def _actions(self, answer: Answer, seen: Observation, base: Array) -> tuple[Decoded, Array]:
        """What an answer says, and the joint targets [step, joint] that it means."""
        decoded = self._decoder.decode(answer)
        actions = self._meaning.to_joints(
            self._executed(decoded.actions), base, seen.ahead, seen.command[:, 0]
        )
        if not np.isfinite(actions).all():
            raise NOT_FINITE
        return decoded, actions

    def _chunk(self, seen: Observation, actions: Array) -> Chunk:
        step_ns = self._tempo.current_ns
        return Chunk(
            observation_stamp_ns=seen.stamp_ns,
            sensor_stamp_ns=seen.sensor_stamp_ns,
            first_ns=seen.stamp_ns + step_ns,
            step_ns=step_ns,
            actions=actions,
            given=len(seen.ahead),
            decoder=self.card.decoder.kind,
            under_way=seen.under_way,
        )

    def _executed(self, actions: Array) -> Array:
        """Those from the card's first on, the last of them as often as it stands."""
        chunk = self.card.chunk
        last = np.repeat(actions[-1:], chunk.repeat - 1, axis=0)
        return np.concatenate([actions[chunk.first :], last]) if chunk.repeat > 1 else actions[chunk.first :]

    def _as_joints(self, spline: Spline | None, base: Array) -> Spline | None:
        """``spline`` in joint targets, where these are an affine function of each control point by itself.

        It lasts as long as it is executed: faster or slower than it was taught.
        """
        if spline is None or spline.degree < 1 or not self._meaning.pointwise:
            return None
        controls = self._meaning.to_joints(spline.controls, base)
        if not np.isfinite(controls).all():
            raise NOT_FINITE
        stretched_s = spline.duration_s * self._tempo.current_ns / self.execution.step_ns
        return Spline(spline.degree, controls, stretched_s)
