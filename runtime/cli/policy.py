"""`spinal policy`: what a model eats and answers, whether it fits a robot, and how its card gets into it.

Each action is a module of its own with ``add_parser(subparsers)``, which sets ``run``. They keep their imports
light: what takes long is imported in ``run``.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

ACTIONS = (
    "spinal.runtime.cli.policy_show",
    "spinal.runtime.cli.policy_check",
    "spinal.runtime.cli.policy_stamp",
    "spinal.runtime.cli.policy_import",
    "spinal.runtime.cli.policy_schema",
    "spinal.runtime.cli.policy_swap",
)
"""The modules, in the order of the help."""


def add_parser(subparsers: Any) -> None:
    """Adds ``policy`` and its actions to the command line."""
    parser = subparsers.add_parser(
        "policy",
        help="look at a model and its card, check them, bring models from elsewhere",
        description="What a model eats and answers, whether it fits a robot, and how its card gets into it.",
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for module in ACTIONS:
        import_module(module).add_parser(actions)
