"""``spinal policy stamp MODEL.onnx CARD.toml``: puts the card into the model, so that it travels with it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_parser(subparsers: Any) -> None:
    """Adds ``stamp`` to ``spinal policy``."""
    parser = subparsers.add_parser(
        "stamp",
        help="put a card into a model's metadata",
        description="Puts a card into a model's metadata, in the place of an earlier one. The card's numbers from"
        " statistics files go in with it. No other byte of the model is touched.",
    )
    parser.add_argument("model", metavar="MODEL.onnx", type=Path)
    parser.add_argument("card", metavar="CARD.toml", type=Path)
    parser.add_argument("--out", metavar="FILE", type=Path, help="write there, and leave the model as it is")
    parser.add_argument(
        "--write-sha256",
        action="store_true",
        help="this is the model that the card is meant for: write its sha256 into CARD.toml",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """0, or ConfigError with every problem: nothing is written then."""
    from spinal.runtime.config.card.examine import stampable
    from spinal.runtime.config.stamp import replace_file, stamped, with_sha256
    from spinal.runtime.errors import SpinalError

    card, facts, model = stampable(args.model, args.card, any_sha256=args.write_sha256)
    made = stamped(model, card)
    target: Path = args.out or args.model
    toml = None
    if args.write_sha256:
        toml = with_sha256(args.card.read_text(), facts.content_sha256, str(args.card))
    try:
        replace_file(target, made)
        if toml is not None:
            replace_file(args.card, toml.encode())
    except OSError as error:
        raise SpinalError(
            f"{error.filename or target} cannot be written: {error.strerror}", hint="name another with --out"
        ) from error
    _tell(args, target, made, facts.content_sha256, again=facts.card_text is not None)
    return 0


def _tell(args: argparse.Namespace, target: Path, made: bytes, content: str, again: bool) -> None:
    import hashlib

    from spinal.runtime.config.card import card_path

    before = ", in the place of the one before" if again else ""
    print(f"{target}: carries its card{before}")
    print(f"sha256 {hashlib.sha256(made).hexdigest()}")
    print(f"       {content} without its card: what sha256 of a card is")
    if args.write_sha256:
        print(f"{args.card}: sha256 written")
    beside = card_path(target)
    if beside.exists():
        print(f"note: {beside.name} stands beside it and wins over the card inside")
    print(f"next: spinal policy check {target}")
