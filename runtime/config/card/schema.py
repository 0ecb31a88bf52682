"""The cards' JSON Schemas (draft 2020-12), which editors and other people's exporters read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from spinal.runtime.config.card.card import PolicyCard
from spinal.runtime.config.card.detector import DetectorCard
from spinal.runtime.config.card.residual import ResidualCard

CARDS: dict[str, type[BaseModel]] = {
    "policy": PolicyCard,
    "residual": ResidualCard,
    "detector": DetectorCard,
}
SCHEMA_FILE = Path(__file__).with_name("policy_card.schema.json")
"""Where the policy card's is published."""
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema_file(kind: str) -> Path:
    """Where the schema of such a card is published."""
    return SCHEMA_FILE.with_name(f"{kind}_card.schema.json")


def card_schema(kind: str = "policy") -> dict[str, Any]:
    """What a card may say. Checks between fields are the reader's: a schema cannot say them."""
    schema = CARDS[kind].model_json_schema(by_alias=True)
    return {"$schema": DIALECT, **schema, "title": f"Spinal {kind} card"}


def card_schema_text(kind: str = "policy") -> str:
    """As it stands in ``schema_file``."""
    return json.dumps(card_schema(kind), indent=1, ensure_ascii=False) + "\n"
