"""``spinal bench report RESULT.json``: a page of a result, and its pictures beside it."""

from __future__ import annotations

import argparse
import os
import sys
import webbrowser
from pathlib import Path
from typing import Any

from spinal.bench.result import Result, load
from spinal.runtime.errors import BenchError

PAGE = "report.html"


def add_parser(subparsers: Any) -> None:
    """Declares the subcommand."""
    parser = subparsers.add_parser(
        "report",
        help="a page and pictures of a result",
        description="Writes one HTML page that needs nothing else, and the pictures in it as PNG files beside it.",
    )
    parser.add_argument(
        "result", type=Path, metavar="RESULT.json", help="what `run` or `gate` kept with --json"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: RESULT-report beside the result")
    parser.add_argument(
        "--open-nothing", action="store_true", help="do not show the page, where there is a display"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Writes the page. Raises BenchError for what is no result, and for a folder that cannot be written."""
    result = load(args.result)
    folder = args.out or args.result.with_name(f"{args.result.stem}-report")
    try:
        page, drawn = write(result, folder)
    except OSError as error:
        what = f"{folder} cannot be written: {error.strerror or error}"
        raise BenchError(what, "give another folder with --out DIR") from None
    print(f"{page} ({drawn} pictures beside it)" if drawn else page)
    if not args.open_nothing and sys.stdout.isatty() and _display():
        webbrowser.open(page.resolve().as_uri())
    return 0


def write(result: Result, folder: Path) -> tuple[Path, int]:
    """The page and how many pictures are beside it. Raises OSError."""
    from spinal.bench.report import pictures
    from spinal.bench.report.page import page

    folder.mkdir(parents=True, exist_ok=True)
    planned = pictures.plan(result)
    drawn, missing = [], ""
    if pictures.available():
        drawn = list(pictures.draw(planned.sketches, _say))
    elif planned.sketches:
        missing = f"No pictures: {pictures.NEEDS}"
        _say(pictures.NEEDS)
    for picture in drawn:
        _keep(folder / picture.file, picture.png)
    _keep(folder / PAGE, page(result, planned, drawn, missing).encode())
    return folder / PAGE, len(drawn)


def _keep(path: Path, data: bytes) -> None:
    """Whole or not at all: a page that is being looked at is never half a page."""
    beside = path.with_name(f".{path.name}.part")
    try:
        beside.write_bytes(data)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _display() -> bool:
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
