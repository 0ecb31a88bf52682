"""The card's JSON Schema (draft 2020-12), which editors and other people's exporters read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from spinal.runtime.config.card.card import PolicyCard

SCHEMA_FILE = Path(__file__).with_name("policy_card.schema.json")
"""Where it is published."""
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def card_schema() -> dict[str, Any]:
    """What a card may say. Checks between fields are the reader's: a schema cannot say them."""
    schema = PolicyCard.model_json_schema(by_alias=True)
    return {"$schema": DIALECT, **schema, "title": "Spinal policy card"}


def card_schema_text() -> str:
    """As it stands in ``SCHEMA_FILE``."""
    return json.dumps(card_schema(), indent=1, ensure_ascii=False) + "\n"
