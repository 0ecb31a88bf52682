"""``spinal bench run | gate | compare | report | profile``: the subcommands in a table.

Each module has ``add_parser(subparsers)``, which sets ``run`` as a default, and ``run(args) -> int``, as the
commands of ``spinal`` do. All are imported to declare themselves, so what is heavy is imported where it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

SUBCOMMANDS = (
    "spinal.bench.run",
    "spinal.bench.gate",
    "spinal.bench.compare",
    "spinal.bench.report.command",
    "spinal.bench.profile.command",
)


def add_parser(subparsers: Any) -> None:
    """Declares ``bench`` and what is below it."""
    parser = subparsers.add_parser("bench", help="measure latency and smoothness; the release gate")
    inner = parser.add_subparsers(dest="subcommand", required=True, metavar="SUBCOMMAND")
    for module in SUBCOMMANDS:
        import_module(module).add_parser(inner)
