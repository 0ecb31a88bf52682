"""What an importer has made of other people's files, before it is verified and written."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spinal.runtime.config.card import PolicyCard, card_path, parse_card
from spinal.runtime.config.section import NAME_PATTERN
from spinal.runtime.importers.source import refusal


@dataclass(slots=True)
class Draft:
    """A card's tables as they grow, the files that belong to it, and what a person is told."""

    name: str
    source: str
    tables: dict[str, Any]
    files: dict[str, bytes] = field(default_factory=dict)
    """By file name in the model's folder; ``NAME.onnx`` is the model."""
    notes: list[str] = field(default_factory=list)

    @property
    def model(self) -> str:
        """The model's file name."""
        return f"{self.name}.onnx"

    def card(self) -> PolicyCard:
        """The card of the files as they are. Raises ConfigError with every problem."""
        return parse_card(self._stamped(), f"the card of {self.source}")

    def write(self, folder: Path) -> Path:
        """Writes the files and the card into ``folder``; returns the model's path. Raises ConfigError."""
        self.card()
        model = folder / self.model
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name, data in self.files.items():
                (folder / name).write_bytes(data)
            card_path(model).write_text(card_text(self._stamped(), self.source))
        except OSError as error:
            raise refusal(
                folder, "--out", f"cannot be written: {error.strerror}", "choose another folder"
            ) from None
        return model

    def _stamped(self) -> dict[str, Any]:
        tables: dict[str, Any] = {
            key: self.tables[key] for key in ("schema", "name", "version") if key in self.tables
        }
        if self.model in self.files:
            tables["sha256"] = digest(self.files[self.model])
        return tables | {key: value for key, value in self.tables.items() if key not in tables}


def digest(data: bytes) -> str:
    """SHA-256 as a card has it."""
    return hashlib.sha256(data).hexdigest()


def policy_name(text: str, source: str) -> str:
    """``text`` as a card's name may be: small letters, digits, underscores. Raises ConfigError."""
    name = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")[:48]
    if not re.match(NAME_PATTERN, name):
        raise refusal(source, "name", f'"{text}" makes no name for a policy', "choose one: --name NAME")
    return name


def card_text(tables: Mapping[str, Any], source: str) -> str:
    """A card's tables as TOML; tables of a list stand on lines of their own."""
    lines = [f"# Imported from {source}: what the model eats, what it answers, and for which joints."]
    for key, value in tables.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            lines += [f"{key} = [", *(f"  {_inline(row)}," for row in value), "]"]
        else:
            lines.append(f"{key} = {_inline(value)}")
    return "\n".join(lines) + "\n"


def _inline(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case str():
            return _quoted(value)
        case dict():
            rows = (f"{_key(key)} = {_inline(v)}" for key, v in value.items() if v is not None)
            return "{ " + ", ".join(rows) + " }"
    return "[" + ", ".join(map(_inline, value)) + "]"


def _key(key: str) -> str:
    return key if re.match(r"^[A-Za-z0-9_-]+$", key) else _quoted(key)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in escaped) + '"'
