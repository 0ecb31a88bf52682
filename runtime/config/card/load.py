"""Where a card is read from: a TOML beside the model (``cartpick.onnx`` has ``cartpick.card.toml``), or JSON in
the model's metadata under ``spinal.card``. One beside it wins, and a difference between the two is told.

``sha256`` of a card is that of the model file without a card in its metadata: a card inside the file could not
hold the file's own digest, and a model keeps its digest when it is stamped. For a model that carries no card it is
what ``sha256sum`` prints. A card beside the model must have it; one inside travels with the model and need not, but
what it says must be true.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from spinal.runtime.config.card.card import PolicyCard, problems_between
from spinal.runtime.config.card.statistics import resolve
from spinal.runtime.config.load import read_toml
from spinal.runtime.config.model_file import ModelFacts, inspect_model
from spinal.runtime.config.words import problems_of
from spinal.runtime.errors import ConfigError, Problem

ONNXRUNTIME = "onnxruntime"


@dataclass(frozen=True, slots=True)
class PolicyFile:
    """A model file with its card, as far as they could be read. ``problems`` refuse it, ``warnings`` do not.

    ``source`` is where the card stands: the TOML's name, or "metadata"; empty without a card.
    """

    path: Path
    facts: ModelFacts
    card: PolicyCard | None
    source: str
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]


def card_path(model: str | Path) -> Path:
    """Where the card of ``model`` stands: beside it, with the same stem."""
    return Path(model).with_suffix(".card.toml")


def load_card(model: str | Path) -> PolicyCard:
    """The card of ``model``, after the model file's own checks and its SHA-256.

    Raises ``ConfigError`` with every problem of both files.
    """
    found = read_policy(model)
    if found.problems or found.card is None:
        raise ConfigError(found.problems, str(model))
    return found.card


def read_policy(model: str | Path) -> PolicyFile:
    """The model file and its card; never raises."""
    path = Path(model)
    beside = card_path(path)
    raw: dict[str, Any] | None = None
    problems: list[Problem] = []
    try:
        raw = read_toml(beside)
    except ConfigError as error:
        if beside.exists():
            problems += [Problem(_within(beside.name, p.path), p.message, p.hint) for p in error.problems]
    facts = inspect_model(path, onnx=_engine(raw) == ONNXRUNTIME)
    problems = [*facts.problems, *problems]
    embedded, embedded_problems = _embedded(path, facts)
    if raw is not None:
        card, wrong = checked_card(raw, path.parent, beside.name)
        inside = facts.card_text is not None
        warnings = _differences(card, embedded, embedded_problems, beside.name) if inside else []
        return PolicyFile(
            path,
            facts,
            card,
            beside.name,
            (*problems, *wrong, *_digest(card, facts, beside.name)),
            tuple(warnings),
        )
    if facts.card_text is not None:
        wrong = [*embedded_problems, *_digest(embedded, facts, "")]
        return PolicyFile(path, facts, embedded, "metadata", (*problems, *wrong), ())
    if not beside.exists():
        hint = "write its card there: inputs, output, joints and chunk of the model (spinal policy show)"
        problems.append(Problem(beside.name, "is missing beside the model", hint))
    return PolicyFile(path, facts, None, "", tuple(problems), ())


def parse_card(raw: Mapping[str, Any], source: str) -> PolicyCard:
    """The card in ``raw`` tables; ``source`` names them in a ``ConfigError``."""
    kind = raw.get("kind", "policy")
    if kind in ("residual", "detector"):
        hint = f"[policy.{kind}] of the robot file takes it; [policy] takes a model that answers chunks"
        raise ConfigError([Problem("kind", f"is {kind}: the model runs beside a policy", hint)], source)
    try:
        return PolicyCard.model_validate(dict(raw))
    except ValidationError as error:
        problems = problems_of(error, raw, PolicyCard)
        # A cross check inside the card waits until every field is right; here it does not.
        problems += [problem for problem in problems_between(raw, error) if problem not in problems]
        raise ConfigError(problems, source) from None


def parse_card_json(text: str, source: str) -> PolicyCard:
    """The card that a model's metadata carries; raises ``ConfigError``."""
    return parse_card(card_tables(text, source), source)


def card_tables(text: str, source: str) -> dict[str, Any]:
    """The tables in a card's JSON; raises ``ConfigError``."""
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        hint = "export the model again with its card"
        raise ConfigError([Problem("", f"the embedded card is not JSON: {error}", hint)], source) from None
    if not isinstance(raw, dict):
        raise ConfigError(
            [Problem("", "the embedded card is not a JSON object", "stamp the model again")], source
        )
    return raw


def _engine(raw: Mapping[str, Any] | None) -> object:
    return ONNXRUNTIME if raw is None else raw.get("engine", ONNXRUNTIME)


def checked_card(raw: Mapping[str, Any], folder: Path, name: str) -> tuple[PolicyCard | None, list[Problem]]:
    """The card in ``raw`` with the numbers of its statistics files, and its problems as paths in ``name``."""
    completed, problems = resolve(raw, folder)
    card = None
    try:
        card = parse_card(completed, name)
    except ConfigError as error:
        problems += error.problems
    return card, [Problem(_within(name, p.path), p.message, p.hint) for p in problems]


def _embedded(path: Path, facts: ModelFacts) -> tuple[PolicyCard | None, list[Problem]]:
    if facts.card_text is None:
        return None, []
    try:
        raw = card_tables(facts.card_text, path.name)
    except ConfigError as error:
        return None, [Problem(path.name, p.message, p.hint) for p in error.problems]
    return checked_card(raw, path.parent, f"{path.name} (spinal.card)")


def _digest(card: PolicyCard | None, facts: ModelFacts, beside: str) -> list[Problem]:
    """``beside``: the card's file; empty for a card inside the model."""
    if card is None or not facts.sha256 or card.sha256 in (facts.sha256, facts.content_sha256):
        return []
    if card.sha256 is None and not beside:
        return []
    said = f"is {card.sha256}" if card.sha256 else "is missing"
    place = f"{beside}: sha256" if beside else "spinal.card: sha256"
    hint = (
        f'if the model is the one you mean, write: sha256 = "{facts.content_sha256}"'
        if beside
        else "the model was changed behind its card: stamp it again, with a card that you trust"
    )
    return [Problem(place, f"{said}, and the model's is {facts.content_sha256}", hint)]


def _differences(
    card: PolicyCard | None, embedded: PolicyCard | None, wrong: list[Problem], beside: str
) -> list[Problem]:
    hint = f"{beside} is used; bring the two together with: spinal policy stamp"
    if wrong:
        return [Problem("spinal.card", "in the model's metadata cannot be used", hint)]
    if card is None or embedded is None:
        return []
    one, other = (each.model_dump(by_alias=True, exclude={"sha256"}) for each in (card, embedded))
    keys = [key for key in one if one[key] != other[key]]
    return (
        [Problem("spinal.card", f"says otherwise than {beside} of {', '.join(keys)}", hint)] if keys else []
    )


def _within(file: str, path: str) -> str:
    return f"{file}: {path}" if path else file
