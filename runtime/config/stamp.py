"""Puts a card into a model's metadata, as JSON under ``spinal.card``, and touches no other byte of the file.

An ONNX file is one protobuf message, and fields of a message may stand in any order: the card's entry is appended,
after any earlier card's bytes are cut out. So no ``onnx`` package is needed, and what is left of a stamped model
without its card is the model that was stamped, to the last byte.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
import tomllib
from pathlib import Path

from spinal.runtime.config.card import CARD_KEY, PolicyCard
from spinal.runtime.config.model_file import without_cards
from spinal.runtime.config.onnx_graph import read_graph
from spinal.runtime.config.protobuf import with_length
from spinal.runtime.errors import ConfigError, Problem

_METADATA, _KEY, _VALUE = 14, 1, 2
"""ModelProto.metadata_props, and a StringStringEntryProto's two fields."""
_TOP_SHA256 = re.compile(r'(?m)^(sha256[ \t]*=[ \t]*)(?:"[^"\n]*"|\'[^\'\n]*\')')
_FIRST_TABLE = re.compile(r"(?m)^[ \t]*\[")


def card_json(card: PolicyCard) -> str:
    """``card`` as it stands in a model: what it says, and no defaults. ``parse_card_json`` reads it."""
    tables = card.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return json.dumps(tables, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def stamped(model: bytes, card: PolicyCard) -> bytes:
    """``model`` with ``card`` in its metadata, in the place of an earlier one; its sha256 is the bare model's.

    Raises ``MalformedError`` for what is no model.
    """
    bare = without_cards(model, read_graph(model))
    text = card_json(card.model_copy(update={"sha256": hashlib.sha256(bare).hexdigest()}))
    entry = with_length(_KEY, CARD_KEY.encode()) + with_length(_VALUE, text.encode())
    return bare + with_length(_METADATA, entry)


def with_sha256(toml: str, digest: str, source: str) -> str:
    """The card's ``toml`` with its sha256 set to ``digest`` and every other character as it was.

    Raises ConfigError where it is written so that it cannot be set.
    """
    table = _FIRST_TABLE.search(toml)
    end = table.start() if table else len(toml)
    line = f'sha256 = "{digest}"'
    found = _TOP_SHA256.search(toml, 0, end)
    if found:
        changed = f'{toml[: found.start()]}{found.group(1)}"{digest}"{toml[found.end() :]}'
    else:
        named = re.compile(r"(?m)^version[ \t]*=.*$").search(toml, 0, end)
        at = named.end() if named else 0
        changed = f"{toml[:at]}\n{line}{toml[at:]}" if named else f"{line}\n{toml}"
    try:
        good = tomllib.loads(changed) == {**tomllib.loads(toml), "sha256": digest}
    except tomllib.TOMLDecodeError:
        good = False
    if not good:
        raise ConfigError([Problem("sha256", "cannot be set here", f"write it yourself: {line}")], source)
    return changed


def replace_file(path: Path, data: bytes) -> None:
    """Writes ``data`` beside ``path`` and puts it in its place at once: nobody reads half of it. Raises OSError."""
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, mode)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
