"""An arm that begins in touch with its fence: folded, sunk or pushed there. It leaves slowly, by whatever way.

No deeper than a centimetre; from then on the fence is whole.
"""

import numpy as np
from fence_rig import clearance, planar
from memory_rig import MemoryRig

from spinal.native.fence import Fence

FLOOR = planar(workspace=((-1, -0.1, -1), (1, 1, 1)))
"""The flat arm above a floor at y = -0.1 m; links 0.2 m long and 2 cm thick, and 5 mm of margin."""
SUNK = (-0.45, 0.3, 0.01)
LEAVE_M, EASE = 0.01, 0.2


def rig(position, description=FLOOR):
    """Its own fence is kept: the loop holds an address."""
    made = MemoryRig(position=position, fence=Fence(description, 3), ease_speed=EASE, ease_travel=100.0)
    made.ready()
    return made


def led(robot, offset, ticks):
    """Leads both joints by ``offset`` rad from where they are; the clearance after each tick."""
    clear = []
    begin = np.array(robot.positions[:2])
    for k in range(ticks):
        if k % 5 == 0:
            share = min(1.0, (k + 5) / (0.8 * ticks))
            path = robot.path_from(robot.next_ns, steps=100, swing=0.0)
            position = np.array(path.position)
            position[:, :2] = begin + np.asarray(offset) * share
            robot.publish(along(path, position))
        robot.tick()
        clear.append(clearance(FLOOR, np.array(robot.positions)[None, :2])[0])
    return np.array(clear)


def along(path, position):
    values = {name: getattr(path, name) for name in path.__dataclass_fields__}
    return type(path)(**{**values, "position": position, "curvature": np.zeros_like(position)})


def test_an_arm_that_is_clear_is_never_slowed_and_has_nothing_to_leave():
    robot = rig((0.0, 0.3, 0.01))
    led(robot, (0.2, 0.0), 20)
    assert robot.state["speed_scale"] == 1.0


def test_an_arm_in_touch_leaves_slowly_and_then_at_full_speed():
    robot = rig(SUNK)
    before = clearance(FLOOR, np.array(SUNK)[None, :2])[0]
    assert before < 0
    clear = led(robot, (0.6, 0.0), 400)
    assert clear[0] < 0 < clear[-1]
    robot.tick()
    assert robot.state["speed_scale"] == 1.0
    slow = robot.seen[: int(np.argmax(clear > 0))]
    applied = np.array([record["joints"]["applied"][:2] for record in slow[-20:]])
    assert np.abs(np.diff(applied, axis=0)).max() <= 4.7 * EASE * 0.004 * 1.001


def test_on_its_way_it_may_come_a_centimetre_deeper_and_no_further():
    robot = rig(SUNK)
    before = clearance(FLOOR, np.array(SUNK)[None, :2])[0]
    clear = led(robot, (-0.6, 0.0), 300)
    assert clear.min() < before - 0.5 * LEAVE_M
    assert clear.min() >= before - LEAVE_M - 1e-9
    assert robot.stats["fenced_ticks"] > 0


def test_what_has_been_left_is_a_wall_again():
    robot = rig(SUNK)
    led(robot, (0.6, 0.0), 400)
    clear = led(robot, (-1.0, 0.0), 400)
    assert clear.min() >= 0
    assert robot.seen[-1]["joints"]["limited"][0] & 1024
    assert robot.loop.mode == "running"
