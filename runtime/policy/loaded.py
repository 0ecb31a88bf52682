"""A policy ready to answer: its model in an engine, its card, its step and its pace."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from spinal.runtime.config.card import PolicyCard, load_card
from spinal.runtime.config.cross import did_you_mean
from spinal.runtime.config.policy import PolicySettings
from spinal.runtime.config.robot import RobotConfig
from spinal.runtime.errors import PolicyError
from spinal.runtime.policy.encoded import EncodedSession
from spinal.runtime.policy.engine import Engine
from spinal.runtime.policy.engine_process import ProcessEngine
from spinal.runtime.policy.execution import Execution
from spinal.runtime.policy.pace import Pace
from spinal.runtime.policy.session import Session
from spinal.runtime.policy.signature import Signature
from spinal.runtime.policy.step import PolicyStep
from spinal.runtime.types import Observation

ONNXRUNTIME = "onnxruntime"


@dataclass
class LoadedPolicy:
    """One thread at a time."""

    model: Path
    engine: Engine
    step: PolicyStep
    pace: Pace = field(init=False)
    _ahead_ns: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        self.pace = Pace(self.card.inference_ms)

    @property
    def card(self) -> PolicyCard:
        """The model's card."""
        return self.step.card

    @property
    def name(self) -> str:
        """For people: its name and version."""
        return f"{self.card.name} {self.card.version}"

    def keep_warm(self) -> None:
        """An inference whose answer nobody reads: what the last one answered stays. Raises PolicyError."""
        kept = {name: array.copy() for name, array in self.engine.outputs.items()}
        self.engine.run()
        for name, array in kept.items():
            self.engine.outputs[name][...] = array

    def ahead_ns(self, delay_ns: int) -> tuple[int, ...]:
        """How far an observation must look ahead for it."""
        self._ahead_ns = self.step.ahead_ns(delay_ns)
        return self._ahead_ns

    def seen(self, observation: Observation, ahead_ns: tuple[int, ...]) -> Observation:
        """``observation``, which looked ahead by ``ahead_ns``, as this policy wants it.

        One that did not look where this policy asked shows it nothing of what is under way.
        """
        if ahead_ns == self._ahead_ns:
            return observation
        wanted = len(self._ahead_ns)
        if ahead_ns[:wanted] == self._ahead_ns:
            return replace(observation, ahead=observation.ahead[:wanted])
        return replace(observation, ahead=observation.ahead[:0], under_way=None)

    def close(self) -> None:
        """Lets go of its engine's process, where it has one."""
        if isinstance(self.engine, ProcessEngine):
            self.engine.close()


def load(
    robot: RobotConfig,
    seed: int = 0,
    model: Path | None = None,
    noise: Literal["zero", "normal"] | None = None,
) -> LoadedPolicy:
    """The robot's policy, or that of ``model`` in its place, loaded and warm. Raises ConfigError, PolicyError.

    ``noise``: in place of what the card says.
    """
    if robot.policy is None:
        raise PolicyError(f"{robot.name} has no policy", hint="add [policy] to the robot file")
    path = model if model is not None else Path(robot.policy.model)
    card = load_card(path)
    if noise is not None:
        card = card.model_copy(update={"noise": noise})
    engine = make_engine(path, card, robot.policy)
    step = PolicyStep(card, engine, Execution.of(robot, card.chunk.step_ns), seed, path.parent, robot)
    return LoadedPolicy(path, engine, step)


def make_engine(model: Path, card: PolicyCard, settings: PolicySettings) -> Engine:
    """What ``card`` names: onnxruntime, or a process that the robot file allows. Raises PolicyError."""
    if card.engine == ONNXRUNTIME:
        fallback = settings.allow_provider_fallback
        if card.encoder is not None:
            return EncodedSession(model, card, card.encoder, settings.providers, fallback, settings.options)
        return Session(model, card, settings.providers, fallback, settings.options)
    command = settings.engines.get(card.engine)
    if command is None:
        near = did_you_mean(card.engine, settings.engines, "the robot file has")
        raise PolicyError(
            f"the card of {model.name} names the engine {card.engine}, which the robot file does not allow",
            hint=near or f"add a section [policy.engines.{card.engine}] with its command, if you trust it",
        )
    return ProcessEngine(card.engine, command, model, Signature.of(card))
