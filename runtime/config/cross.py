"""What must hold between the sections of a robot file.

These checks read plain tables and skip whatever is missing or of a wrong type, so that they can run beside
the checks of single fields: a person sees every problem of a file at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from spinal.runtime.config.reflexes import DEFAULTS, GRIPPER_OFF
from spinal.runtime.errors import Problem

Table = Mapping[str, Any]


def cross_problems(robot: Table) -> list[Problem]:
    """Problems between sections; ``robot`` is a robot file as read, or the dump of a checked one."""
    return [
        *_wiring(robot),
        *_rates(robot),
        *_reflexes(robot),
        *_simulation(robot),
        *_endpoints(robot),
        *_stops(robot),
        *_fence(robot),
    ]


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


_GRADES = (
    ("following", 1, "the first grade comes first: lower following_hold or raise following_stop"),
    ("contact", 1, "the first grade comes first: lower contact_hold or raise contact_stop"),
    ("temperature", 1, "the first grade comes first: lower temperature_hold or raise temperature_stop"),
    ("voltage", -1, "a supply that falls passes voltage_hold first: raise it or lower voltage_stop"),
)


def _reflexes(robot: Table) -> Iterator[Problem]:
    settings = _table(robot.get("reflexes"))
    common = {**DEFAULTS, **settings}
    yield from _crossed_grades("reflexes", common, settings)
    held, longest = common["contact_ms"], common["contact_long_ms"]
    if isinstance(held, int) and isinstance(longest, int) and 0 < longest <= held:
        yield Problem(
            "reflexes.contact_long_ms",
            f"must be above reflexes.contact_ms ({held}), and is {longest}",
            "a contact holds first, and stops when it goes on: raise contact_long_ms, or 0 for never",
        )
    joints = {joint.get("name"): joint for joint in map(_table, _items(robot.get("joints")))}
    for name, own in _table(settings.get("joints")).items():
        path = f"reflexes.joints.{name}"
        if joints and name not in joints:
            known = [known for known in joints if isinstance(known, str)]
            hint = did_you_mean(name, known, "the joints of this file")
            yield Problem(path, "names a joint that is not there", hint)
            continue
        said = {key: value for key, value in _table(own).items() if value is not None}
        gripper = _table(joints.get(name)).get("kind") == "gripper"
        off = dict.fromkeys(GRIPPER_OFF, 0.0) if gripper else {}
        yield from _crossed_grades(path, {**common, **off, **said}, said)


def _crossed_grades(path: str, settings: Table, said: Table) -> Iterator[Problem]:
    """Grades in the wrong order, of those of which ``said`` names at least one."""
    for name, rising, hint in _GRADES:
        hold, stop = settings[f"{name}_hold"], settings[f"{name}_stop"]
        said_here = f"{name}_hold" in said or f"{name}_stop" in said
        if said_here and _numbers(hold, stop) and 0 not in (hold, stop) and rising * hold >= rising * stop:
            side = "below" if rising > 0 else "above"
            yield Problem(
                f"{path}.{name}_hold", f"must be {side} {name}_stop ({stop:g}), and is {hold:g}", hint
            )


def _numbers(*values: object) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


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


def _stops(robot: Table) -> Iterator[Problem]:
    names: dict[str, int] = {}
    places: dict[tuple[str, str], int] = {}
    ports = {_table(bus).get("port"): name for name, bus in _table(robot.get("buses")).items()}
    for index, row in enumerate(_items(_table(robot.get("estop")).get("lines"))):
        line, label = _table(row), row_label("estop.lines", index, row)
        name, kind = line.get("name"), line.get("kind")
        if isinstance(name, str) and names.setdefault(name, index) != index:
            hint = "a line has one name, and is wired once: rename or remove one of the two"
            yield Problem(f"{label}.name", f"is already the name of estop.lines[{names[name]}]", hint)
        field = "path" if kind == "gpio" else "port"
        place = line.get(field)
        if not isinstance(kind, str) or not isinstance(place, str):
            continue
        if places.setdefault((kind, place), index) != index:
            hint = "one wire is one line: remove one of the two"
            yield Problem(f"{label}.{field}", f"is already read by estop.lines[{places[kind, place]}]", hint)
        if kind != "gpio" and place in ports:
            hint = "the bus keeps its adapter for itself: wire the button to another one"
            yield Problem(f"{label}.{field}", f"is the port of bus {ports[place]}", hint)


def _fence(robot: Table) -> Iterator[Problem]:
    joints = [_table(joint) for joint in _items(robot.get("joints"))]
    kinds = {joint["name"]: joint.get("kind") for joint in joints if isinstance(joint.get("name"), str)}
    for index, link in enumerate(map(_table, _items(_table(robot.get("fence")).get("links")))):
        joint = link.get("joint")
        path = f"{row_label('fence.links', index, link)}.joint"
        if not isinstance(joint, str) or not joints:
            continue
        if joint not in kinds:
            hint = did_you_mean(joint, kinds, "the joints of this file")
            yield Problem(path, f"names a joint that is not there: {joint}", hint)
        elif kinds[joint] == "gripper":
            hint = "leave joint out, and let the capsules hold the gripper open and closed"
            yield Problem(path, f"names a gripper, which turns no link: {joint}", hint)


def _table(value: object) -> Table:
    return value if isinstance(value, Mapping) else {}


def _items(value: object) -> Iterable[object]:
    return value if isinstance(value, list | tuple) else ()
