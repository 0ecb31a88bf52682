"""Models that run beside the policy, loaded as the robot file names them: a residual and a detector."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from spinal.runtime.config.card.beside import BesideCard, load_beside
from spinal.runtime.config.card.detector import DetectorCard, hold_problems
from spinal.runtime.config.card.residual import ResidualCard
from spinal.runtime.config.match import match_beside
from spinal.runtime.config.robot import RobotConfig
from spinal.runtime.errors import ConfigError
from spinal.runtime.policy.detector import Detector
from spinal.runtime.policy.residual import Residual
from spinal.runtime.policy.session import Session
from spinal.runtime.policy.signature import Signature, Tensor

Card = TypeVar("Card", bound=BesideCard)


def load_residual(robot: RobotConfig, timed: bool = True) -> Residual | None:
    """The model of [policy.residual], warm; None without the section. Raises ConfigError, PolicyError.

    ``timed``: whether it may be too slow; in lock-step time stands still while it runs.
    """
    if robot.policy is None or robot.policy.residual is None:
        return None
    settings = robot.policy.residual
    card, session = _load(robot, settings.model, ResidualCard)
    return Residual(card, session, robot, settings, timed)


def load_detector(robot: RobotConfig, timed: bool = True) -> Detector | None:
    """The model of [policy.detector], likewise."""
    if robot.policy is None or robot.policy.detector is None:
        return None
    settings = robot.policy.detector
    card, session = _load(robot, settings.model, DetectorCard)
    problems = hold_problems(robot, card)
    if problems:
        raise ConfigError(problems, settings.model)
    return Detector(card, session, robot, settings, timed)


def _load(robot: RobotConfig, model: str, kind: type[Card]) -> tuple[Card, Session]:
    if robot.policy is None:
        raise ValueError("a robot without a policy")
    path = Path(model)
    card = load_beside(path, kind)
    problems = match_beside(card, robot).problems
    if problems:
        raise ConfigError(problems, model)
    name, shape, dtype = card.output_tensor
    signature = Signature(
        {tensor.name: Tensor(tensor.shape, tensor.dtype) for tensor in card.inputs},
        {name: Tensor(shape, dtype)},
    )
    settings = robot.policy
    fallback = settings.allow_provider_fallback
    return card, Session(path, signature, settings.providers, fallback, settings.options)
