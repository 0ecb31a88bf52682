"""``spinal policy schema``: the policy card's JSON Schema, for editors and exporters."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_parser(subparsers: Any) -> None:
    """Adds ``schema`` to ``spinal policy``."""
    parser = subparsers.add_parser(
        "schema", help="print the card's JSON Schema", description="Prints the policy card's JSON Schema."
    )
    parser.add_argument(
        "--kind",
        choices=("policy", "residual", "detector"),
        default="policy",
        help="of which card: a policy's, or that of a model that runs beside one",
    )
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="write it there instead")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Always 0."""
    from spinal.runtime.config.card.schema import card_schema_text

    text = card_schema_text(args.kind)
    if args.out is None:
        print(text, end="")
    else:
        args.out.write_text(text)
    return 0
