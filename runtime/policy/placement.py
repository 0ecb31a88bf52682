"""Where the nodes of a loaded model run, counted: a provider that is there in name may leave the work to another.

From onnxruntime's own record of its partitioning where the build keeps one (1.24 and later), else from the profile
of one inference.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from spinal.runtime.errors import PolicyError

RECORD = "session.record_ep_graph_assignment_info"
CPU = "CPUExecutionProvider"
LEAST_SHARE = 0.5
"""Of the nodes: what the provider that was asked for must take. Shape arithmetic stays on the processor."""


def from_record(session: Any) -> Counter[str] | None:
    """Nodes by provider as onnxruntime assigned them at load; None where this build keeps no record."""
    told = getattr(session, "get_provider_graph_assignment_info", None)
    if told is None:
        return None
    nodes: Counter[str] = Counter()
    for part in told():
        nodes[part.ep_name] += len(part.get_nodes())
    return nodes


def from_profile(make: Callable[[str], Any], run: Callable[[Any], None]) -> Counter[str]:
    """Nodes by provider in the profile of one ``run`` of the session that ``make(prefix of its file)`` returns."""
    with TemporaryDirectory(prefix="spinal-profile-") as folder:
        session = make(str(Path(folder) / "run"))
        run(session)
        events = json.loads(Path(session.end_profiling()).read_text())
    return in_profile(events)


def in_profile(events: list[dict[str, Any]]) -> Counter[str]:
    """Nodes by provider among the ``events`` of a profile, each node once."""
    where = {
        event["args"].get("node_index", event["name"]): event["args"]["provider"]
        for event in events
        if event.get("cat") == "Node" and event.get("args", {}).get("provider")
    }
    return Counter(where.values())


def refuse_fall_back(
    model: str, wanted: str, providers: list[str], nodes: Mapping[str, int], allowed: bool
) -> None:
    """Raises PolicyError when ``wanted`` is not first in ``providers``, or takes less than half of ``nodes``."""
    hint = (
        "install what that provider needs, name another in [policy] providers, or set"
        " allow_provider_fallback = true"
    )
    if allowed:
        return
    if providers[0] != wanted:
        raise PolicyError(f"{model} was to run on {wanted} and would run on {providers[0]}", hint=hint)
    total = sum(nodes.values())
    if wanted != CPU and total and nodes.get(wanted, 0) < LEAST_SHARE * total:
        most = max(nodes, key=lambda name: nodes[name])
        raise PolicyError(
            f"{model} was to run on {wanted}, which takes {nodes.get(wanted, 0)} of its {total} nodes:"
            f" {nodes[most]} would run on {most}",
            hint=hint,
        )
