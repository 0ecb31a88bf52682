"""Everything that can be known of a policy without running it: model, card, the files that the card names."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from spinal.runtime.config.card.card import PolicyCard
from spinal.runtime.config.card.decoders import FastDecoder, VqDecoder
from spinal.runtime.config.card.exporters import Exported, exported_problems, read_exported
from spinal.runtime.config.card.load import ONNXRUNTIME, PolicyFile, checked_card, read_policy
from spinal.runtime.config.card.tensors import tensor_problems
from spinal.runtime.config.load import read_toml, unreadable
from spinal.runtime.config.model_file import MAX_MODEL_BYTES, ModelFacts, inspect_model
from spinal.runtime.errors import ConfigError, Problem


@dataclass(frozen=True, slots=True)
class Examination:
    """A policy file, its encoder where its loop has one, and what its exporter wrote; ``problems`` refuse it."""

    file: PolicyFile
    encoder: ModelFacts | None
    exported: Exported | None
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]


def examine_policy(model: str | Path) -> Examination:
    """Reads every file of the policy once and never raises."""
    found = read_policy(model)
    graph, card = found.facts.graph, found.card
    exported = read_exported(graph.metadata) if graph else None
    if card is None:
        said = exported.problems if exported else ()
        return Examination(found, None, exported, found.problems, (*found.warnings, *said))
    folder = Path(model).parent
    encoder = inspect_model(folder / card.encoder.file) if card.encoder else None
    problems: list[Problem] = []
    warnings = list(found.warnings)
    if encoder is not None and card.encoder is not None:
        problems += encoder.problems
        if encoder.sha256 and card.encoder.sha256 not in (encoder.sha256, encoder.content_sha256):
            problems.append(
                _other("decoder.encoder.sha256", card.encoder.sha256, card.encoder.file, encoder.sha256)
            )
    problems += _decoder_files(card, folder)
    if graph is not None and (encoder is None or encoder.graph is not None):
        problems += tensor_problems(card, graph, encoder.graph if encoder else None)
    if exported is not None:
        refused, doubts = exported_problems(card, exported)
        problems += refused
        warnings += doubts
    where = f"{found.source}: " if found.source != "metadata" else "spinal.card: "
    problems = [Problem(f"{where}{p.path}", p.message, p.hint) for p in problems]
    return Examination(found, encoder, exported, (*found.problems, *problems), tuple(warnings))


def stampable(model: Path, card_file: Path, any_sha256: bool = False) -> tuple[PolicyCard, ModelFacts, bytes]:
    """The card in ``card_file``, fit to go into ``model``, whose bytes come with it.

    ``any_sha256``: the card may name another digest than the model's. Raises ConfigError with every problem.
    """
    raw = read_toml(card_file)
    facts = inspect_model(model)
    problems = list(facts.problems)
    card, wrong = checked_card(raw, card_file.parent, card_file.name)
    problems += wrong
    if raw.get("engine", ONNXRUNTIME) != ONNXRUNTIME:
        hint = "its card stands beside it"
        problems.append(
            Problem(f"{card_file.name}: engine", "runs no ONNX model that could carry a card", hint)
        )
    if card is not None and facts.graph is not None:
        if card.sha256 not in (None, facts.sha256, facts.content_sha256) and not any_sha256:
            said = f"is {card.sha256}, and the model's is {facts.content_sha256}"
            hint = "if the model is the one you mean, add --write-sha256"
            problems.append(Problem(f"{card_file.name}: sha256", said, hint))
        encoder = inspect_model(model.parent / card.encoder.file) if card.encoder else None
        if encoder is None or encoder.graph is not None:
            found = tensor_problems(card, facts.graph, encoder.graph if encoder else None)
            problems += [Problem(f"{card_file.name}: {p.path}", p.message, p.hint) for p in found]
    data = b""
    if not problems:
        data = model.read_bytes()
        if hashlib.sha256(data).hexdigest() != facts.sha256:
            problems.append(Problem(model.name, "was changed while it was read", "try again"))
    if problems or card is None:
        raise ConfigError(problems, str(model))
    return card, facts, data


def _decoder_files(card: PolicyCard, folder: Path) -> Iterator[Problem]:
    """Files that the decoder reads: are they there, and are they the ones that are meant?"""
    if isinstance(card.decoder, FastDecoder):
        yield from _file("decoder.tokenizer", card.decoder.tokenizer, card.decoder.tokenizer_sha256, folder)
    if isinstance(card.decoder, VqDecoder):
        yield from _file("decoder.table", card.decoder.table, card.decoder.table_sha256, folder)


def _file(path: str, name: str, digest: str, folder: Path) -> Iterator[Problem]:
    try:
        with (folder / name).open("rb") as file:
            data = file.read(MAX_MODEL_BYTES + 1)
    except OSError as error:
        problem = unreadable(error, path, "copy it to the model's folder")
        yield Problem(path, f"{name} {problem.message}", problem.hint)
        return
    found = hashlib.sha256(data).hexdigest()
    if len(data) > MAX_MODEL_BYTES:
        yield Problem(
            path, f"{name} has more than {MAX_MODEL_BYTES >> 20} MiB", "this is not what it should be"
        )
    elif found != digest:
        yield _other(f"{path}_sha256", digest, name, found)


def _other(path: str, said: str, name: str, found: str) -> Problem:
    hint = f'if the file is the one you mean, write: "{found}"'
    return Problem(path, f"is {said}, and that of {name} is {found}", hint)
