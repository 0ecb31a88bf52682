"""An arm that begins in touch with its fence: folded, sunk or pushed there. It leaves slowly, by whatever way.

No deeper than a centimetre; from then on the fence is whole.
"""

import numpy as np
import pytest
from fence_rig import Driver, clearance, planar, random_arm, restless
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_rig import MemoryRig

from spinal.native.fence import Capsule, Fence, Link

FLOOR = planar(workspace=((-1, -0.1, -1), (1, 1, 1)))
"""The flat arm above a floor at y = -0.1 m; links 0.2 m long and 2 cm thick, and 5 mm of margin."""
SUNK = (-0.45, 0.3, 0.01)
LEAVE_M, EASE = 0.01, 0.2
LEFT_M, ROUNDING_M = 0.0005, 2e-9


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    return Driver(tmp_path_factory.mktemp("fence"))


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


def test_a_part_that_no_joint_moves_is_nothing_to_leave():
    stand = FLOOR.links[0]._replace(joint=-1)
    capsules = [FLOOR.capsules[0], Capsule(0, (0, -0.3, 0), (0, -0.3, 0), 0.02)]
    below = FLOOR._replace(
        links=[stand, FLOOR.links[0]], capsules=[capsules[0]._replace(link=1), capsules[1]]
    )
    robot = rig((0.0, 0.3, 0.01), below)
    led(robot, (0.2, 0.0), 5)
    assert robot.state["speed_scale"] == 1.0


def test_without_a_speed_for_easing_an_arm_in_touch_is_not_slowed():
    robot = MemoryRig(position=SUNK, fence=Fence(FLOOR, 3), ease_speed=0.0)
    robot.ready()
    led(robot, (0.1, 0.0), 5)
    assert robot.state["speed_scale"] == 1.0


def led_down_up_down(driver, start, low, high):
    """One link above a floor, told to go down to ``low`` rad, up to ``high``, and down again."""
    floor = planar(workspace=((-1, -0.1, -1), (1, 1, 1)), links=1)
    requests = np.zeros((600, 1, 3))
    requests[:, 0, 0] = np.repeat([low, high, low], 200)
    run = driver.run(floor, (start,), requests, leaves=True)
    return clearance(floor, np.vstack([[[start]], run.position])), run.to_leave


def angle_at(clear_m):
    """Of the link whose end is clear of the floor by so much."""
    return -np.arcsin((0.1 - 0.02 - 0.005 - clear_m) / 0.2)


@pytest.mark.parametrize("began_m", [-0.012, -0.001, 0.0, 0.0004])
def test_a_barrier_is_left_bit_by_bit(driver, began_m):
    """What has been left of it is not given back."""
    higher_m = 0.4 * min(began_m, 0) + 0.0004
    clear, to_leave = led_down_up_down(driver, angle_at(began_m), angle_at(-0.06), angle_at(higher_m))
    assert clear[0] == pytest.approx(began_m)
    down, up, again = clear[:200], clear[200:400], clear[400:]
    assert min(began_m, 0) - LEAVE_M - ROUNDING_M <= down.min() < min(began_m, 0) - LEAVE_M + 0.0002
    assert up.max() == pytest.approx(higher_m, abs=1e-6)
    deepest = min(max(began_m, higher_m), 0) - LEAVE_M
    assert deepest - ROUNDING_M <= again.min() < deepest + 0.0002
    assert (to_leave == 1).all()


def test_the_very_first_barrier_is_one(driver):
    """The link's own root is nearer to the low side along x than the margin allows, and stays so."""
    narrow = planar(workspace=((-0.02, -1, -1), (1, 1, 1)), links=1)
    run = driver.run(narrow, (0.0,), np.zeros((3, 1, 3)), leaves=True)
    assert run.to_leave.tolist() == [1, 1, 1]


# ---- against an oracle: every barrier by itself ----

FAR_M = 1e3
BASE = Capsule(0, (0, 0, 0), (0.05, 0, 0), 0.03)
"""A part of the stand: it moves by no joint, and so is no barrier to itself, but to the rest of the arm."""


def barriers(description):
    """The description, once with each of its barriers alone."""
    nothing = description._replace(workspace=None, boxes=[], pairs=[])
    for pair in description.pairs:
        yield nothing._replace(pairs=[pair])
    for capsule in description.capsules:
        alone = nothing._replace(capsules=[capsule])
        for box in description.boxes:
            yield alone._replace(boxes=[box])
        for side in range(6 if description.workspace else 0):
            walls = np.array([[-FAR_M] * 3, [FAR_M] * 3])
            walls[side // 3, side % 3] = description.workspace[side // 3][side % 3]
            yield alone._replace(workspace=tuple(map(tuple, walls)))


def arm_in_touch(rng, joints):
    """A random arm on a stand of its own, at a pose that touches some of what is around it."""
    description, start = random_arm(rng, joints)
    stand = Link(-1, -1, (0, 0, 0), (1, 0, 0, 0, 1, 0, 0, 0, 1), (0, 0, 1))
    links = [stand, *(link._replace(parent=link.parent + 1) for link in description.links)]
    capsules = [*(capsule._replace(link=capsule.link + 1) for capsule in description.capsules), BASE]
    pairs = [*description.pairs, *((joints, k) for k in range(1, joints))]
    moved = start + rng.uniform(-0.6, 0.6, joints)
    return description._replace(links=links, capsules=capsules, pairs=pairs), moved


@given(seed=st.integers(0, 2**32 - 1), joints=st.integers(1, 4))
@settings(max_examples=25, deadline=None)
def test_each_barrier_is_left_once_and_no_deeper_than_a_centimetre_on_the_way(driver, seed, joints):
    rng = np.random.default_rng(seed)
    description, start = arm_in_touch(rng, joints)
    requests, orders = restless(rng, 300, joints, start)
    run = driver.run(description, start, requests, 0 * orders, leaves=True)
    poses = np.vstack([start, run.position])
    to_leave = np.zeros(len(poses), int)
    for alone in barriers(description):
        clear = clearance(alone, poses)
        if not np.isfinite(clear).all():
            continue
        touching = clear < LEFT_M
        left = len(poses) if touching.all() else int(np.argmin(touching))
        to_leave[:left] += 1
        reached = np.minimum(np.maximum.accumulate(clear), 0)
        assert (clear[1:left] >= reached[: left - 1][: len(clear[1:left])] - LEAVE_M - ROUNDING_M).all()
        assert (clear[left:] >= -ROUNDING_M).all()
    assert (np.abs(run.to_leave - to_leave[1:]) == 0).all()
