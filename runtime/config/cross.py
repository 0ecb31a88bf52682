"""What must hold between the sections of a robot file.

These checks read plain tables and skip whatever is missing or of a wrong type, so that they can run beside
the checks of single fields: a person sees every problem of a file at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from spinal.runtime.errors import Problem

Table = Mapping[str, Any]


def cross_problems(robot: Table) -> list[Problem]:
    """Problems between sections; ``robot`` is a robot file as read, or the dump of a checked one."""
    return [*_wiring(robot), *_rates(robot), *_simulation(robot), *_endpoints(robot)]


def row_label(rows: str, index: int, row: object) -> str:
    """How a path names a row of a list of tables: ``joints[2] (elbow_flex)``."""
    name = _table(row).get("name")
    return f"{rows}[{index}] ({name})" if isinstance(name, str) and name else f"{rows}[{index}]"


def did_you_mean(word: str, known: Iterable[str], otherwise: str) -> str:
    """A hint for a name that is not known; ``otherwise`` opens the list of all names."""
    names = sorted(known)
    near = get_close_matches(word, names, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]}?"
    return f"{otherwise}: {', '.join(names)}" if names else ""


def _wiring(robot: Table) -> Iterator[Problem]:
    buses = _table(robot.get("buses"))
    names: dict[str, int] = {}
    places: dict[tuple[str, int], int] = {}
    joints = [_table(joint) for joint in _items(robot.get("joints"))]
    for index, joint in enumerate(joints):
        label, name, bus, motor = (
            row_label("joints", index, joint),
            joint.get("name"),
            joint.get("bus"),
            joint.get("id"),
        )
        if isinstance(name, str):
            first = names.setdefault(name, index)
            if first != index:
                elsewhere = joints[first].get("bus")
                other = f", on bus {elsewhere}" if elsewhere != bus else ""
                yield Problem(
                    f"{label}.name",
                    f"is already the name of joints[{first}]{other}",
                    "a joint has one name and stands on one bus: rename or remove one of the two",
                )
        if not isinstance(bus, str):
            continue
        if buses and bus not in buses:
            hint = did_you_mean(bus, buses, "the buses of this file")
            yield Problem(f"{label}.bus", f"names a bus that is not there: {bus}", hint)
        if isinstance(motor, int) and places.setdefault((bus, motor), index) != index:
            first = places[bus, motor]
            yield Problem(
                f"{label}.id",
                f"{motor} on bus {bus} already belongs to {row_label('joints', first, joints[first])}",
                "give each motor on a bus its own id",
            )
    used = {joint.get("bus") for joint in joints if isinstance(joint.get("bus"), str)}
    for bus in buses if joints else ():
        if bus not in used:
            yield Problem(f"buses.{bus}", "has no joint", "remove the bus, or put a joint on it")


def _rates(robot: Table) -> Iterator[Problem]:
    servo_hz = _table(robot.get("control")).get("servo_hz")
    if not isinstance(servo_hz, int) or servo_hz <= 0:
        return
    policy_hz = _table(robot.get("policy")).get("hz")
    if isinstance(policy_hz, int) and policy_hz > servo_hz:
        yield Problem(
            "policy.hz",
            f"must not be above control.servo_hz ({servo_hz}), and is {policy_hz}",
            "a policy step lasts at least one tick: lower policy.hz or raise control.servo_hz",
        )
    period_us = 1_000_000 / servo_hz
    for name, bus in _table(robot.get("buses")).items():
        timeout_us = _table(bus).get("reply_timeout_us")
        if isinstance(timeout_us, int) and timeout_us >= period_us:
            yield Problem(
                f"buses.{name}.reply_timeout_us",
                f"must be shorter than one tick ({period_us:.0f} us), and is {timeout_us}",
                "a lost reply may cost one tick, not more: about half of the tick is usual",
            )


def _simulation(robot: Table) -> Iterator[Problem]:
    if "sim" in robot and robot["sim"] is not None:
        return
    hint = 'add a section [sim] with world = "cartpick"'
    for section, key in (("buses", "port"), ("streams", "source")):
        for name, table in _table(robot.get(section)).items():
            if _table(table).get(key) == "sim":
                yield Problem(f"{section}.{name}.{key}", 'is "sim", but this file has no section [sim]', hint)


def _endpoints(robot: Table) -> Iterator[Problem]:
    link = _table(robot.get("link"))
    command, state = link.get("command_endpoint"), link.get("state_endpoint")
    if isinstance(command, str) and command == state:
        yield Problem(
            "link.state_endpoint",
            f"is the same as link.command_endpoint ({command})",
            "give commands and state an endpoint each",
        )


def _table(value: object) -> Table:
    return value if isinstance(value, Mapping) else {}


def _items(value: object) -> Iterable[object]:
    return value if isinstance(value, list | tuple) else ()
