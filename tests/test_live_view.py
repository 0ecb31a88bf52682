"""The live view's picture, and what its keys do."""

import io
from types import SimpleNamespace

import pytest
from rich.console import Console

from spinal.native import layout
from spinal.runtime.cli import session
from spinal.runtime.cli.live import draw
from spinal.runtime.cli.session import Options, Session
from spinal.runtime.cli.standing import Standing
from spinal.runtime.errors import LinkError
from spinal.runtime.supervisor.latch import Latch
from spinal.runtime.supervisor.stops import Pressed

QUANTILES = {"p50": 1.0, "p99": 2.0, "max": 3.0, "n": 9}
FIGURES = {
    "seconds": 10.0,
    "task": "",
    "servo": {"hz": 250, "late_us": QUANTILES, "missed": 0},
    "policy": {
        "hz": 50,
        "late_us": QUANTILES,
        "runs": 1,
        "inference_us": QUANTILES,
        "delay_ms": 1.0,
        "starved_ticks": 0,
    },
    "command": {"max_seam": {"position": 0.0}, "blend_ms": QUANTILES, "limited_ticks": 0},
    "bus": {"wire_us": 900, "measured_us": QUANTILES, "errors": 0},
    "reaction_ms": QUANTILES,
}
DOOR = Pressed("door", 1, "pressed (/x)", still=True)
KEY = Pressed("command", 1, "a key in the live view", still=False)
ESTOP = layout.CONDITIONS[layout.Condition.ESTOP]


def picture(standing, styled=False):
    out = io.StringIO()
    console = Console(file=out, width=110, force_terminal=styled, color_system="standard" if styled else None)
    console.print(draw("robot", FIGURES, standing, [standing.cause] if standing.cause else [], 0.0, []))
    return out.getvalue()


def test_a_running_robot():
    text = picture(Standing("running", "fresh", 5.0, speed=0.5, hottest=("elbow", 41.2), supply=7.34))
    assert "running" in text
    assert "speed 50%, hottest motor elbow 41 C, supply 7.3 V" in text
    assert "STOPPED" not in text
    assert "[space] STOP" in text
    assert "[a] arm again" in text


def test_a_robot_whose_motors_tell_nothing_shows_nothing_of_them():
    text = picture(Standing("holding", "hold", 5.0, ("ordered to hold",)))
    assert "ordered to hold" in text
    assert "at rest, torque on" in text
    assert "hottest" not in text
    assert "supply" not in text


def test_a_stopped_robot_is_unmistakable():
    latch = Latch(layout.Condition.ESTOP, 1, str(KEY))
    standing = Standing("stopped", "hold", 12.0, (ESTOP,), latch, (KEY,), energised=True)
    text = picture(standing)
    assert "STOPPED since 12 s: emergency stop (command: a key in the live view)" in text
    assert "The arm holds, torque on. When nobody is near the arm: [a] arm again" in text
    styled = picture(standing, styled=True)
    assert "\x1b[1;37;41m STOPPED" in styled
    assert "\x1b[1;31m╭" in styled, "and so is its frame"
    assert "\x1b[1;31m╭" not in picture(Standing("running"), styled=True)


@pytest.mark.parametrize(
    ("standing", "words"),
    [
        (Standing("stopped", pressed=(DOOR, KEY)), "Release door first, then [a] arm again"),
        (Standing("off", pressed=(DOOR,)), "STOPPED: emergency stop (door: pressed (/x))"),
        (
            Standing("off", since_s=4.0, latch=Latch(layout.Condition.COLLISION, 1, "elbow")),
            "STOPPED since 4 s: a joint pushes hard against something (elbow)",
        ),
        (Standing("stopped", latch=Latch(layout.Condition.REFUSED, 1)), "Only a new start leaves this"),
        (Standing("stopped", "to_rest", at_rest=False, energised=True), "The arm comes to rest."),
        (Standing("stopped", "damp", energised=True), "The arm lets go: torque fades."),
        (Standing("stopped", "off", energised=False), "Torque is off."),
        (Standing("stopped", since_s=600.0), "STOPPED since 10 min"),
    ],
)
def test_what_it_does_and_what_to_do_next(standing, words):
    assert words in picture(standing)


def test_causes_name_the_line_and_leave_nothing_out():
    latch = Latch(layout.Condition.ESTOP | layout.Condition.OVERHEATED, 1, str(KEY))
    both = Standing("stopped", conditions=(ESTOP, "no trajectory"), latch=latch, pressed=(KEY, DOOR))
    assert both.cause == f"{latch.cause}; emergency stop (door: pressed (/x))"
    assert "overheated" in both.cause
    assert Standing("stopped", conditions=(ESTOP,)).cause == ESTOP
    assert Standing("holding", conditions=("a", "b")).cause == "a; b"
    assert Standing("running").cause == ""


# Keys.


class Client:
    """A link that notes what it is asked."""

    def __init__(self):
        self.asked = []
        self.accepts = True

    def send_goal(self, kind, parameters, **_):
        self.asked.append((kind, dict(parameters)))
        return SimpleNamespace(accepted=self.accepts, reason="not_now", detail="the robot is running")


@pytest.fixture
def keys():
    """A session without a robot: press with its ``_press``."""
    made = Session.__new__(Session)
    made._options = Options()
    made._client = Client()
    made.pressed, made.said = [], []
    made._stops = SimpleNamespace(press=made.pressed.append)
    made._journal = SimpleNamespace(write=lambda event, **fields: None)
    made._orders = SimpleNamespace(read=lambda: made.order)
    made._link_report = SimpleNamespace(read=lambda: {"status": made.status})
    made.order, made.status = None, ""
    made.view = SimpleNamespace(say=made.said.append)
    return made


@pytest.mark.parametrize("key", session.STOP_KEYS)
def test_a_stop_takes_no_way_over_the_link(keys, key):
    assert not keys._press(key, keys.view)
    assert len(keys.pressed) == 1
    assert keys._client.asked == []


@pytest.mark.parametrize(
    ("key", "status", "speed", "asked"),
    [
        ("a", "", 1.0, ("arm", {})),
        ("p", "running", 1.0, ("pause", {})),
        ("p", "paused", 1.0, ("go_on", {})),
        ("-", "", 1.0, ("speed", {"percent": 90})),
        ("+", "", 1.0, ("speed", {"percent": 100})),
        ("-", "", 0.05, ("speed", {"percent": 0})),
        ("+", "", 0.3, ("speed", {"percent": 40})),
    ],
)
def test_everything_else_does(keys, key, status, speed, asked):
    keys.status, keys.order = status, SimpleNamespace(speed=speed)
    assert not keys._press(key, keys.view)
    assert keys._client.asked == [asked]
    assert keys.pressed == []


def test_a_refusal_is_said(keys):
    keys._client.accepts = False
    keys._press("a", keys.view)
    assert keys.said == ["arm refused: the robot is running"]


def test_without_a_link_the_robot_is_armed_here(keys):
    def dead(*_, **__):
        raise LinkError("no robot answered")

    keys._client.send_goal = dead
    keys._supervisor = SimpleNamespace(arm=lambda: "still pressed: door")
    keys._press("a", keys.view)
    assert keys.said == ["no robot answered", "not armed: still pressed: door"]
    keys._press("p", keys.view)
    assert len(keys.said) == 3
