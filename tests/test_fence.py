"""The fence keeps: whatever is asked for, and whichever brake follows, the arm stays clear; and it comes near."""

import numpy as np
import pytest
from fence_rig import (
    DT_S,
    EMERGENCY,
    LIMITS,
    RUN,
    Driver,
    between_ticks,
    clearance,
    planar,
    random_arm,
    restless,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from spinal.native.fence import KEEP_OUT, SELF, WORKSPACE, Capsule, Fence
from spinal.native.limiter import Limiter, between

ROUNDING_M = 2e-9


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    return Driver(tmp_path_factory.mktemp("fence"))


def ramp(ticks, *joints, dt_s=DT_S):
    """Requests that go from a position at a speed for ever: (position, speed) of each joint."""
    requests = np.zeros((ticks, len(joints), 3))
    for k, (position, speed) in enumerate(joints):
        requests[:, k, 0], requests[:, k, 1] = position + speed * dt_s * np.arange(1, ticks + 1), speed
    return requests


def at_rest(*positions):
    return np.array([(position, 0.0, 0.0) for position in positions])


def step(before, after, description):
    """Bits for a step of at-rest states that both stand still."""
    return Fence(description, len(before)).judge(
        at_rest(*before), at_rest(*after), [LIMITS] * len(before), [EMERGENCY] * len(before), DT_S
    )


@given(seed=st.integers(0, 2**32 - 1), joints=st.integers(1, 5), period=st.sampled_from([0.001, 0.004, 0.01]))
@settings(max_examples=25, deadline=None)
def test_no_request_and_no_brake_brings_a_random_arm_into_touch(driver, seed, joints, period):
    rng = np.random.default_rng(seed)
    description, start = random_arm(rng, joints)
    requests, orders = restless(rng, 600, joints, start, period)
    run = driver.run(description, start, requests, orders, dt_s=period)
    path = between_ticks(np.vstack([start, run.position]))
    assert clearance(description, path).min() >= -ROUNDING_M


def test_a_hundred_thousand_ticks_of_random_requests_stay_clear_and_the_fence_is_busy(driver):
    rng = np.random.default_rng(4)
    fenced = 0
    for joints in (2, 3, 4, 5):
        description, start = random_arm(rng, joints)
        requests, orders = restless(rng, 25_500, joints, start)
        run = driver.run(description, start, requests, orders)
        assert clearance(description, np.vstack([start, run.position])).min() >= -ROUNDING_M
        fenced += (run.bits != 0).sum()
    assert fenced > 10_000


def test_limits_hold_beside_the_fence(driver):
    rng = np.random.default_rng(7)
    description, start = random_arm(rng, 4)
    requests, orders = restless(rng, 20_000, 4, start)
    orders[:] = RUN
    run = driver.run(description, start, requests, orders)
    assert (run.bits != 0).sum() > 1000
    assert run.position.min() >= LIMITS[0]
    assert run.position.max() <= LIMITS[1]
    assert np.abs(run.velocity).max() <= LIMITS[2] * (1 + 1e-8)
    assert np.abs(run.acceleration).max() <= LIMITS[3] * (1 + 1e-8)
    assert np.abs(run.jerk()).max() <= LIMITS[4] * (1 + 1e-6)


@pytest.mark.parametrize("speed", [0.2, 1.0, 2.0, 4.7])
def test_an_arm_that_is_led_against_a_wall_comes_to_rest_at_it(driver, speed):
    description = planar()
    run = driver.run(description, (0.0, 0.0), ramp(1500, (0.0, speed), (0.0, 0.0)))
    free = clearance(description, run.position)
    assert 0 < free[-1] < 0.0005
    assert free.min() >= 0
    assert np.abs(run.velocity[-1]).max() < 1e-9
    assert run.bits[-1] == WORKSPACE


@pytest.mark.parametrize("speed", [0.5, 1.0, 2.0, 4.7])
def test_it_comes_to_rest_as_smoothly_as_an_ordinary_brake(driver, speed):
    run = driver.run(planar(), (0.0, 0.0), ramp(1200, (0.0, speed), (0.0, 0.0)))
    first = int(np.argmax(run.bits != 0))
    jerk = run.jerk()[first : first + 200, 0]
    joint = Limiter(LIMITS, DT_S, emergency=EMERGENCY)
    joint.push(run.position[first - 1, 0], run.velocity[first - 1, 0], run.acceleration[first - 1, 0])
    accelerations = [joint.acceleration]
    for _ in range(200):
        joint.brake()
        accelerations.append(joint.acceleration)
    ordinary = np.diff(accelerations) / DT_S
    assert np.sqrt((jerk**2).mean()) <= 1.05 * np.sqrt((ordinary**2).mean())
    assert (np.diff(np.sign(jerk[np.abs(jerk) > 0.25 * LIMITS[4]])) != 0).sum() <= 2


def test_it_goes_on_when_the_request_leaves(driver):
    there, back = ramp(400, (0.0, 1.0), (0.0, 0.0)), ramp(600, (0.4, -1.0), (0.0, 0.0))
    run = driver.run(planar(), (0.0, 0.0), np.concatenate([there, back]))
    assert run.bits[399]
    assert not run.bits[450:520].any()
    assert run.position[520, 0] == pytest.approx(0.4 - 121 * DT_S, abs=1e-3)


def test_it_leaves_a_wall_by_a_motion_of_which_a_part_would_lead_into_it(driver):
    """The shoulder draws back twice as fast as the elbow pushes on."""
    there = ramp(400, (0.0, 1.0), (0.0, 0.0))
    stood = driver.run(planar(), (0.0, 0.0), there).position[-1]
    away = ramp(100, (stood[0], -1.0), (stood[1], 0.9))
    run = driver.run(planar(), (0.0, 0.0), np.concatenate([there, away]))
    assert run.bits[399]
    assert np.abs(run.position[-1] - away[-1, :, 0]).max() < 0.02
    assert clearance(planar(), run.position).min() >= 0


def test_it_slides_along_a_wall_that_it_is_led_along(driver):
    """The elbow folds while the shoulder pushes: the tip moves along the wall, and no joint chatters."""
    requests = ramp(800, (0.0, 0.6), (0.0, -0.3))
    run = driver.run(planar(), (0.0, 0.0), requests)
    fenced = run.bits != 0
    assert fenced.sum() > 50
    after = int(np.argmax(fenced)) + 40
    assert np.sqrt((run.jerk()[after : after + 100] ** 2).mean()) < 0.25 * LIMITS[4]


def test_a_rigid_link_is_kept_clear_with_the_joint_that_carries_it(driver):
    """A stand that does not move stands in the floor; a tool that does not turn hangs on the elbow."""
    arm = planar()
    stand = arm.links[0]._replace(joint=-1)
    links = [stand, arm.links[0]._replace(origin=(0, 0, 0)), arm.links[1]._replace(parent=1)]
    links = [stand, *[link._replace(parent=k) for k, link in enumerate(links[1:])]]
    tool = links[2]._replace(parent=2, joint=-1, origin=(0.2, 0, 0))
    capsules = [arm.capsules[0]._replace(end=(0, 0, -0.5)), arm.capsules[0]._replace(link=3, end=(0, 0.1, 0))]
    description = arm._replace(links=[*links, tool], capsules=capsules)
    run = driver.run(description, (0.0, 0.0), ramp(600, (0.0, 1.0), (0.0, 0.0)))
    free = clearance(description, run.position)
    assert free.min() >= 0
    assert free[-1] < 0.0005
    assert run.bits[-1] == WORKSPACE


# ---- what is named ----


def test_each_barrier_has_its_bit():
    box = ((0.3, 0.15, 0.0), (0.4, 0.25, 0.2))
    assert step((0.0, 0.0), (0.9, 0.0), planar(workspace=((-1, -0.25, -1), (1, 0.25, 1)))) == WORKSPACE
    assert step((0.0, 0.0), (0.5, 0.0), planar(workspace=None, boxes=[box])) == KEEP_OUT
    folded = planar(workspace=None, pairs=[(0, 2)], links=3)
    assert step((0.0, 1.5, 1.5), (0.0, 2.7, 1.5), folded) == SELF
    assert step((0.0, 0.0), (0.1, 0.0), planar()) == 0


def test_what_stands_in_the_way_of_a_step_counts_though_both_its_ends_are_clear():
    post = ((0.3, -0.01, 0.0), (0.31, 0.01, 0.2))
    description = planar(workspace=None, boxes=[post])
    assert step((-0.3, 0.0), (-0.2, 0.0), description) == 0
    assert step((-0.3, 0.0), (0.3, 0.0), description) == KEEP_OUT


@pytest.mark.parametrize(("room", "bits"), [(0.036, WORKSPACE), (0.047, 0)])
def test_what_two_joints_do_together_is_bounded_and_not_by_much(room, bits):
    """They swing through 0: the tip is 0.0197 m behind its furthest at first, 0.0438 m in the end."""
    ball = [planar().capsules[1]._replace(start=(0.2, 0, 0))]
    nearest = 0.4 - 0.02 - 0.005 - room
    description = planar(workspace=((nearest, -1, -1), (1, 1, 1)))._replace(capsules=ball)
    assert step((-0.2, -0.2), (0.3, 0.3), description) == bits


def test_what_moves_two_links_alike_does_not_bring_them_together():
    """The shoulder swings an arm that is folded to 2 cm; there is nothing else to touch."""
    description = planar(workspace=None, pairs=[(0, 2)], links=3)
    folded = (0.0, np.pi / 2, 2.3)
    assert 0 < clearance(description, np.array([folded]))[0] < 0.03
    assert step(folded, (0.5, *folded[1:]), description) == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", range(4))
def test_a_state_that_is_not_finite_is_refused(bad, place):
    before, after = at_rest(0.0, 0.0), at_rest(0.01, 0.0)
    if place < 3:
        after[1, place] = bad
    else:
        before[1, 0] = bad
    fence = Fence(planar(workspace=None), 2)
    assert fence.judge(before, after, [LIMITS] * 2, [EMERGENCY] * 2, DT_S) == WORKSPACE | KEEP_OUT | SELF


def test_a_fast_arm_passes_a_wall_that_its_brake_stays_12_mm_away_from():
    """Shoulder and elbow turn against each other, so that the tip hardly leaves the line that it moves on."""
    speeds = (2.0, -4.0)
    path = []
    for bounds in (LIMITS, EMERGENCY):
        joints = [Limiter(bounds, DT_S) for _ in speeds]
        for joint, speed in zip(joints, speeds, strict=True):
            joint.push(0.0, speed)
        for _ in range(40):
            path.append([joint.position for joint in joints])
            [joint.brake() for joint in joints]
    nearest = clearance(planar(workspace=((-9, -1, -9), (9, 1, 9))), np.array(path)).min()
    before = at_rest(*(-speed * DT_S for speed in speeds))
    after = [(0.0, speed, 0.0) for speed in speeds]
    for room, bits in ((0.012, 0), (0.001, WORKSPACE)):
        wall = 1 - nearest + room
        fence = Fence(planar(workspace=((-9, -wall, -9), (9, wall, 9))), 2)
        assert fence.judge(before, after, [LIMITS] * 2, [EMERGENCY] * 2, DT_S) == bits


def test_an_arm_that_stands_is_clear_even_in_touch():
    assert step((1.2, 0.0), (1.2, 0.0), planar()) == 0


# ---- an arm that begins in touch ----


def test_an_arm_in_touch_may_leave_and_then_not_come_back(driver):
    description = planar(workspace=((-1, -0.2, -1), (1, 0.2, 1)))
    start = (0.7, 0.0)
    before = clearance(description, np.array([start]))[0]
    assert before < -0.05
    out = driver.run(description, start, ramp(300, (0.7, -0.8), (0.0, 0.0)))
    free = clearance(description, out.position)
    assert not out.bits.any()
    assert (np.diff(free[free < 0]) >= -1e-9).all()
    assert free[-1] > 0
    back = driver.run(description, out.position[-1], ramp(600, (out.position[-1, 0], 1.0), (0.0, 0.0)))
    assert 0 <= clearance(description, back.position).min() < 0.0005


def test_an_arm_in_touch_may_not_go_deeper(driver):
    description = planar(workspace=((-1, -0.2, -1), (1, 0.2, 1)))
    run = driver.run(description, (0.7, 0.0), ramp(600, (0.7, 0.8), (0.0, 0.0)))
    before = clearance(description, np.array([(0.7, 0.0)]))[0]
    assert clearance(description, run.position).min() >= before - 1e-5
    assert run.bits[-1] == WORKSPACE


def test_an_arm_in_touch_that_only_begins_to_leave_is_refused():
    """It draws back, and acceleration under way turns it round: it would come to rest deeper."""
    fence = Fence(planar(workspace=((-1, -0.1, -1), (1, 0.1, 1)), links=1), 1)
    before = [(0.7, 0.0, 0.0)]
    turning, leaving = [(0.6984, -0.4, 80.0)], [(0.6984, -0.4, 0.0)]
    assert fence.judge(before, turning, [LIMITS], [EMERGENCY], DT_S) == WORKSPACE
    assert fence.judge(before, leaving, [LIMITS], [EMERGENCY], DT_S) == 0


def test_leaving_one_barrier_does_not_open_another(driver):
    """Out of the floor, towards a box that is clear."""
    box = ((0.25, -0.35, 0.0), (0.35, -0.25, 0.2))
    description = planar(workspace=((-1, -0.5, -1), (1, 0.1, 1)), boxes=[box])
    alone = description._replace(workspace=None)
    run = driver.run(description, (0.4, 0.0), ramp(1200, (0.4, -1.0), (0.0, 0.0)))
    assert clearance(description, np.array([(0.4, 0.0)]))[0] < 0
    assert clearance(alone, run.position).min() >= -ROUNDING_M
    assert run.bits[-1] == KEEP_OUT


def test_a_box_that_is_left_excuses_no_other_and_none_of_the_same_link():
    left, met = ((0.3, 0.05, 0.0), (0.35, 0.2, 0.2)), ((0.3, -0.2, 0.0), (0.35, -0.08, 0.2))
    for boxes in ((left, met), (met, left)):
        description = planar(workspace=None, boxes=boxes)
        assert step((0.2, 0.0), (-0.2, 0.0), description) == KEEP_OUT
        assert step((0.2, 0.0), (0.0, 0.0), description) == 0


def test_an_arm_in_two_boxes_may_not_leave_one_by_way_of_the_other():
    upper, lower = ((0.3, 0.05, 0.0), (0.35, 0.2, 0.2)), ((0.3, -0.2, 0.0), (0.35, 0.045, 0.2))
    for boxes in ((upper, lower), (lower, upper)):
        description = planar(workspace=None, boxes=boxes)
        assert step((0.2, 0.0), (0.15, 0.0), description) == KEEP_OUT
        assert step((0.2, 0.0), (0.15, 0.0), description._replace(boxes=[upper])) == 0


@pytest.mark.parametrize("turned", [False, True])
def test_a_ball_on_the_arm_does_not_reach_one_that_stands(turned):
    arm = planar(workspace=None)
    stand = arm.links[0]._replace(joint=-1)
    at = (0.4 * np.cos(0.3), 0.4 * np.sin(0.3), 0.0)
    balls = [Capsule(0, at, at, 0.02), Capsule(1, (0.4, 0, 0), (0.4, 0, 0), 0.02)]
    pair = (1, 0) if turned else (0, 1)
    links = [stand, arm.links[0]._replace(joint=1)]
    description = arm._replace(links=links, capsules=balls, pairs=[pair])
    assert step((0.0, -0.3), (0.0, 0.3), description) == SELF
    assert step((0.0, -0.3), (0.0, 0.15), description) == 0


def test_a_pair_that_parts_excuses_no_other():
    start, end = (0.0, 2.6, 1.6, 0.0), (0.0, 0.6, 1.6, 2.6)
    for pairs in ([(0, 2), (1, 3)], [(1, 3), (0, 2)]):
        description = planar(workspace=None, pairs=pairs, links=4)
        assert clearance(description._replace(pairs=[(0, 2)]), np.array([start]))[0] < 0
        assert clearance(description._replace(pairs=[(1, 3)]), np.array([start]))[0] > 0
        assert step(start, end, description) == SELF
        assert step(start, (*end[:3], 0.0), description) == 0


def test_an_arm_that_begins_folded_into_itself_may_unfold(driver):
    description = planar(workspace=None, pairs=[(0, 2)], links=3)
    start = (0.0, 2.6, 1.6)
    assert clearance(description, np.array([start]))[0] < 0
    run = driver.run(description, start, ramp(500, (0.0, 0.0), (2.6, -1.0), (1.6, 0.0)))
    assert (run.bits != 0).sum() <= 2
    assert clearance(description, run.position)[-1] > 0


# ---- a step between the brake and the request ----


def test_a_share_is_allowed_and_a_greater_one_is_not(driver):
    description = planar()
    fence = Fence(description, 2)
    limits, emergency = [LIMITS] * 2, [EMERGENCY] * 2
    run = driver.run(description, (0.0, 0.0), ramp(400, (0.0, 1.0), (0.0, 0.0)))
    first = int(np.argmax(run.bits != 0))
    before = np.stack([run.position[first - 1], run.velocity[first - 1], run.acceleration[first - 1]], axis=1)
    steps = {"brake": [], "step": []}
    for (position, velocity, acceleration), request in zip(
        before, ramp(400, (0.0, 1.0), (0.0, 0.0))[first], strict=True
    ):
        for name, rows in steps.items():
            joint = Limiter(LIMITS, DT_S, emergency=EMERGENCY)
            joint.push(position, velocity, acceleration)
            joint.brake() if name == "brake" else joint.step(*request)
            rows.append((joint.position, joint.velocity, joint.acceleration))
    share = fence.share(before, steps["brake"], steps["step"], limits, emergency, DT_S)
    assert 0 < share < 1
    rows = list(zip(before, steps["brake"], steps["step"], strict=True))
    allowed = np.array([between(*row, share, DT_S) for row in rows])
    more = np.array([between(*row, share + 1 / 32, DT_S) for row in rows])
    assert fence.judge(before, allowed, limits, emergency, DT_S) == 0
    assert fence.judge(before, more, limits, emergency, DT_S) == WORKSPACE
    kept, bits = fence.keep(before, steps["brake"], steps["step"], limits, emergency, DT_S)
    assert bits == WORKSPACE
    assert (kept == allowed).all()
    assert np.allclose(run.position[first], allowed[:, 0], atol=1e-12)
