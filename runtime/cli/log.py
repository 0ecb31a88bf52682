"""``spinal log``: what happened in a robot's newest run, one line an event."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from spinal.runtime.errors import LinkError
from spinal.runtime.supervisor.journal import PATTERN, robot_states, states_directory

POLL_S = 0.2
FOR_MACHINES = ("process",)
"""Entries that people read in other words: what the supervisor said stands beside them."""
STYLES = {"mode": "33", "failed": "1;31", "stop_line": "31", "guard": "31", "latched": "31", "arming": "32"}


def add_parser(subparsers: Any) -> None:
    """Adds ``log`` to the command line."""
    parser = subparsers.add_parser(
        "log",
        help="what happened in a robot's newest run",
        description="The journal of a robot's newest run.",
    )
    parser.add_argument("robot", nargs="?", metavar="ROBOT", help="its name; of the newest run when absent")
    parser.add_argument("--follow", action="store_true", help="go on with what happens, until Ctrl-C")
    parser.add_argument("--json", action="store_true", help="the entries as they stand in the file")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Prints it. LinkError when there is no journal."""
    file = newest(args.robot)
    show = _printer()
    began = None
    for line in lines_of(file, args.follow):
        entry = _read(line)
        if entry is None:
            continue
        began = entry["mono_ns"] if began is None else began
        if args.json:
            print(line, flush=args.follow)
        elif entry["event"] not in FOR_MACHINES:
            show(entry, began)
    return 0


def newest(robot: str | None) -> Path:
    """The newest run's journal, of ``robot`` or of any. LinkError when there is none."""
    folders = [robot_states(robot)] if robot else sorted(states_directory().glob("*"))
    files = [file for folder in folders for file in folder.glob(PATTERN)]
    if not files:
        where = folders[0] if robot else states_directory()
        raise LinkError(f"no run is on record in {where}", hint="run a robot: spinal demo, or spinal run")
    return max(files, key=lambda file: file.name)


def lines_of(file: Path, follow: bool) -> Iterator[str]:
    """Whole lines; with ``follow`` also those to come, in the next file of the run too, until Ctrl-C."""
    while True:
        with file.open(errors="replace") as journal:
            unfinished = ""
            while True:
                read = journal.readline()
                unfinished += read
                if unfinished.endswith("\n"):
                    yield unfinished.rstrip("\n")
                    unfinished = ""
                elif not read:
                    following = next((f for f in sorted(file.parent.glob(PATTERN)) if f > file), None)
                    if not follow:
                        return
                    if following is not None:
                        file = following
                        break
                    time.sleep(POLL_S)


def in_words(entry: Mapping[str, Any]) -> str:
    """One entry for people."""
    known = WORDS.get(entry["event"])
    words = known(entry) if known is not None else _rest(entry)
    lost = f"  ({entry['lost']} entries before it were lost)" if entry.get("lost") else ""
    return words + lost


def _begin(entry: Mapping[str, Any]) -> str:
    bad = [f"{f['name']}: {f['fact']}" for f in entry.get("preflight", []) if f["status"] in ("warn", "bad")]
    promised = f"; {'; '.join(bad)}" if bad else ""
    return f"{entry['robot']} with spinal {entry['spinal']}, {entry['robot_file']}{promised}"


def _mode(entry: Mapping[str, Any]) -> str:
    joint = f" ({entry['joint']})" if entry["joint"] else ""
    why = f": {entry['why']}{joint}" if entry["why"] else ""
    return f"{entry['from']} -> {entry['to']} ({entry['edge']}){why}"


def _exchange(entry: Mapping[str, Any]) -> str:
    asked = entry["model"] or entry["action"]
    by = f", asked for by {entry['by']}" if entry["by"] else ""
    return f"{asked}: {entry['status']}{_because(entry)} ({entry['policy']} runs{by})"


def _verdict(entry: Mapping[str, Any]) -> str:
    seen = f"{entry['label']} ({entry['probability']:.2f})" if entry["label"] else "nothing"
    before = f", {entry['before']} before" if entry["before"] else ""
    return f"the detector sees {seen}{before}{'; the policy stops answering' if entry['holds'] else ''}"


def _names(entry: Mapping[str, Any]) -> str:
    """Who is who, where a blind test has been revealed."""
    who = ", ".join(f"{label} is {name}" for label, name in sorted(entry.get("names", {}).items()))
    return f"; {who}" if who else ""


WORDS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "begin": _begin,
    "end": lambda e: "ended in order",
    "failed": lambda e: f"FAILED: {e['message']}",
    "said": lambda e: str(e["text"]),
    "mode": _mode,
    "process": lambda e: f"{e['name']} {e['what']} (process {e['pid']}){_because(e)}",
    "stop_line": lambda e: f"emergency stop {e['name']} {e['what']}{_because(e)}",
    "guard": lambda e: f"the guard: {e['what']}{_because(e)}{_steps(e)}",
    "latched": lambda e: f"latched until armed again{_because(e)}",
    "unlatched": lambda e: f"no longer latched: {', '.join(e['names'])}",
    "arming": lambda e: f"armed again by a person (number {e['count']})",
    "policy": _exchange,
    "ab": lambda e: f"goal {e['goal']} is run by {e['choice']}{_names(e)}",
    "verdict": _verdict,
    "complaint": lambda e: f"{e['process']}: {e['why']}",
    "speed": lambda e: f"speed {e['percent']:g} %",
}


def _because(entry: Mapping[str, Any]) -> str:
    return f": {entry['why']}" if entry["why"] else ""


def _steps(entry: Mapping[str, Any]) -> str:
    """How long the guard's steps took, where they came."""
    took = [f"{step} after {ms:.1f} ms" for step, ms in entry.get("took_ms", {}).items() if ms is not None]
    return f" ({', '.join(took)})" if took else ""


def _rest(entry: Mapping[str, Any]) -> str:
    return ", ".join(f"{k} {v}" for k, v in entry.items() if k not in ("event", "utc", "mono_ns", "lost"))


def _printer() -> Callable[[Mapping[str, Any], int], None]:
    colours = sys.stdout.isatty()

    def show(entry: Mapping[str, Any], began_ns: int) -> None:
        event = str(entry["event"])
        style = STYLES.get(event, "") if colours else ""
        since = f"{(entry['mono_ns'] - began_ns) / 1e9:+10.3f} s"
        line = f"{entry['utc'][:10]} {entry['utc'][11:-1]} {since}  {event:<9}  {_printable(in_words(entry))}"
        print(f"\x1b[{style}m{line}\x1b[0m" if style else line, flush=True)

    return show


def _printable(text: str) -> str:
    """On one line, and without what a terminal would obey."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _read(line: str) -> dict[str, Any] | None:
    """None for a line that was cut, as by a power cut."""
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) and {"event", "utc", "mono_ns"} <= entry.keys() else None
