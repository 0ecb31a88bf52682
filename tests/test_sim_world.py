import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from spinal.drivers.sim import arm6, seeds
from spinal.drivers.sim.cartpick import (
    CART_ACCELERATION_M_S2,
    CART_SPEED_M_S,
    FIELD_M,
    JAW_CLOSED_M,
    STEP_NS,
    TIME_LIMIT_NS,
    CartpickWorld,
)

ON = np.ones(6)


@pytest.fixture(scope="module")
def world():
    return CartpickWorld()


def poses(world, steps):
    rows = []
    for _ in range(steps):
        world.step()
        rows.append((*world.block_pose(), *world.joint_position()))
    return np.array(rows)


@given(
    radius=st.floats(0.1, 0.22),
    azimuth=st.floats(-1.5, 1.5),
    height=st.floats(0.03, 0.12),
    roll=st.floats(-2.7, 2.7),
)
def test_ik_then_fk_returns_the_point_and_points_down(radius, azimuth, height, roll):
    shoulder = math.hypot(radius - arm6.SHOULDER_OFFSET, height + arm6.HAND - arm6.SHOULDER_HEIGHT)
    assume(shoulder < arm6.REACH)  # beyond it the nearest point in reach is meant; the test below
    point = (radius * math.cos(azimuth), radius * math.sin(azimuth), height)
    joints = arm6.ik(*point, roll)
    assert arm6.fk(joints) == pytest.approx(point, abs=1e-12)
    assert joints[1] + joints[2] + joints[3] == pytest.approx(math.pi)


def test_ik_of_a_point_out_of_reach_stays_on_the_line_to_it():
    point = arm6.fk(arm6.ik(0.5, 0.3, 0.1, 0.0))
    assert np.isfinite(point).all()
    assert math.atan2(point[1], point[0]) == pytest.approx(math.atan2(0.3, 0.5))
    assert math.hypot(*point[:2]) < arm6.SHOULDER_OFFSET + arm6.REACH


def test_ik_of_many_points_equals_each_alone():
    xyz = np.random.default_rng(0).uniform((0.12, -0.08, 0.03), (0.2, 0.08, 0.12), (7, 3))
    together = arm6.ik(xyz[:, 0], xyz[:, 1], xyz[:, 2], np.linspace(-1, 1, 7))
    for row, point, roll in zip(together, xyz, np.linspace(-1, 1, 7), strict=True):
        assert row == pytest.approx(arm6.ik(*point, roll))


@given(st.lists(st.floats(-1, 1), min_size=5, max_size=5))
def test_jacobian_is_the_derivative_of_fk(joints):
    q, h = np.array(joints), 1e-6
    numeric = np.stack([(arm6.fk(q + h * e) - arm6.fk(q - h * e)) / (2 * h) for e in np.eye(5)], axis=1)
    assert arm6.jacobian(q) == pytest.approx(numeric, abs=1e-8)


def test_fk_agrees_with_the_physics_model(world):
    world.reset(3)
    poses(world, 1)
    import mujoco

    mujoco.mj_forward(world.model, world.data)
    assert world.data.site("tool").xpos == pytest.approx(world.tool_point(), abs=1e-9)


def test_the_models_joint_ranges_are_the_published_ones(world):
    assert world.model.jnt_range[:6, 0] == pytest.approx(arm6.LOWER)
    assert world.model.jnt_range[:6, 1] == pytest.approx(arm6.UPPER)


def test_one_seed_gives_one_run_and_another_seed_another(world):
    world.reset(7)
    first = poses(world, 300)
    world.reset(8)
    other = poses(world, 300)
    world.reset(7)
    again = poses(world, 300)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_gravity_sags_the_arm_by_less_than_two_encoder_steps(world):
    world.reset(1)
    wanted = world.joint_position()
    poses(world, 500)
    sag = np.abs(world.joint_position() - wanted)[:5]
    assert 1e-4 < sag.max() < 2 * 2 * math.pi / 4096


def test_a_servo_saturates_near_the_datasheets_speed(world):
    world.reset(1)
    target = world.joint_position()
    target[0] += 1.5
    world.apply(target, ON)
    fastest = 0.0
    for _ in range(200):
        world.step()
        fastest = max(fastest, world.joint_velocity()[0])
    assert 4.4 < fastest < 5.0


def test_a_joint_without_torque_falls_and_the_others_hold(world):
    world.reset(1)
    start = world.joint_position()
    on = ON.copy()
    on[1] = False
    world.apply(start, on)
    poses(world, 400)
    moved = np.abs(world.joint_position() - start)
    assert moved[1] > 0.1
    assert world.joint_load()[1] == 0.0
    assert moved[0] < 0.01
    world.apply(world.joint_position(), ON)
    poses(world, 5)
    assert world.joint_load()[1] != 0.0


def test_the_cart_keeps_to_its_speed_acceleration_and_field(world):
    world.reset(11)
    place = poses(world, 4000)[:, :2]
    velocity = (place[10:] - place[:-10]) / 0.02
    speed = np.linalg.norm(velocity, axis=1)
    assert speed.max() < CART_SPEED_M_S[1] * 1.1
    assert np.median(speed) > CART_SPEED_M_S[0]
    acceleration = np.linalg.norm(velocity[100:] - velocity[:-100], axis=1) / 0.2
    assert 0.5 < acceleration.max() < CART_ACCELERATION_M_S2 * 1.1
    for axis, (low, high) in enumerate(FIELD_M):
        assert low - 0.03 < place[:, axis].min()
        assert place[:, axis].max() < high + 0.03


def test_a_suppressed_turn_is_the_only_difference_to_the_twin(world):
    twin = CartpickWorld(suppress_turn=1)
    world.reset(19)
    run = poses(world, 2400)
    twin.reset(19)
    other = poses(twin, 2400)
    turns = [event.time_ns for event in world.events if event.kind == "turn"]
    left = [event.time_ns for event in twin.events if event.kind == "turn"]
    assert left == turns[:1] + turns[2:]
    instant = turns[1] // STEP_NS
    assert np.array_equal(run[:instant], other[:instant])
    assert np.abs(run[instant + 100] - other[instant + 100])[:2].max() > 1e-3


def test_the_block_that_nobody_picks_times_out_on_the_dot(world):
    world.reset(2)
    poses(world, TIME_LIMIT_NS // STEP_NS - 1)
    assert world.outcome is None
    world.step()
    assert world.outcome == "timeout"
    assert world.events[-1] == (TIME_LIMIT_NS, "timeout")


def test_a_block_off_the_cart_is_dropped(world):
    world.reset(2)
    world.data.qpos[9:12] = 0.3, 0.2, 0.04
    poses(world, 100)
    assert world.outcome == "dropped"


def put_in_hand(world):
    world.data.qpos[9:12] = world.tool_point()
    pan, roll = world.joint_position()[[0, 4]]
    half = (pan - roll) / 2
    world.data.qpos[12:16] = math.cos(half), 0.0, 0.0, math.sin(half)
    world.data.qpos[5:7] = 0.0125
    world.data.qvel[:] = 0.0


def test_a_block_held_high_for_three_tenths_of_a_second_is_a_success(world):
    world.reset(4, "lifted")
    put_in_hand(world)
    poses(world, 149)
    assert world.outcome is None
    world.step()
    assert world.outcome == "success"


def test_a_new_block_appears_without_moving_the_arm(world):
    world.reset(5, "lifted")
    assert world.joint_position()[5] == JAW_CLOSED_M
    put_in_hand(world)
    poses(world, 200)
    before, arm = world.block_pose(), world.joint_position()
    world.respawn()
    assert np.array_equal(world.joint_position(), arm)
    assert math.dist(world.block_pose()[:3], before[:3]) > 0.05
    assert world.outcome is None
    assert world.elapsed_ns == 0
    assert world.events[-1] == (world.time_ns, "spawn")


@settings(max_examples=20)
@given(st.integers(0, 10_000))
def test_a_new_block_never_appears_under_a_lowered_hand(world, seed):
    world.reset(5)
    world.data.qpos[:5] = arm6.ik(0.17, 0.0, 0.036, 0.0)
    world.respawn(np.random.default_rng(seed))
    assert math.dist(world.block_pose()[:2], (0.17, 0.0)) > 0.08 - 0.017


def test_seeds_of_different_purposes_never_meet():
    ranges = [seeds.EVALUATION, seeds.VALIDATION, seeds.TRAINING]
    for one in ranges:
        for other in ranges:
            assert one is other or one.stop <= other.start or other.stop <= one.start
