"""B-splines in the tick: the same curve as scipy's, whatever degree; what is refused; from a chunk to the arm."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import BSpline, make_interp_spline
from test_trajectory import (
    BAD_SHAPE,
    MS,
    NOT_FINITE,
    OK,
    ORIGIN_NS,
    STEP_NS,
    chunks,
    hand_off,
    motion_of,
    still,
    trajectory,
    verdict,
)

from spinal.native.shared import Mailbox, Segment
from spinal.native.trajectory import (
    LARGEST_BYTES,
    MAX_CONTROLS,
    MAX_DEGREE,
    MAX_WAYPOINTS,
    TrajectoryWriter,
    judge,
)
from spinal.runtime.errors import ConfigError
from spinal.runtime.trajectory import Path, jerk_limited, make_interpolation, planned_positions
from spinal.runtime.trajectory.bspline import basis_at, quintic_matrix
from spinal.runtime.types import Spline


def knots(degree, controls):
    inner = np.linspace(0, 1, controls - degree + 1)
    return np.concatenate([np.zeros(degree), inner, np.ones(degree)])


def bspline(degree, controls, intervals=20, **changes):
    """[control, joint] as a trajectory that begins at ORIGIN_NS."""
    made = Path.of_spline(Spline(degree, np.asarray(controls, float), intervals * 0.02), intervals)
    path = trajectory(made.position, made.curvature, degree=degree, controls=made.controls)
    return replace(path, **changes)


shapes = st.integers(1, MAX_DEGREE).flatmap(
    lambda degree: st.tuples(st.just(degree), st.integers(degree + 1, MAX_CONTROLS))
)


@given(pick=chunks, shape=shapes, joints=st.integers(1, 4), intervals=st.integers(1, MAX_WAYPOINTS - 1))
@settings(max_examples=150, deadline=None)
def test_it_is_scipys(pick, shape, joints, intervals):
    degree, count = shape
    controls = pick.normal(0, 1, (count, joints))
    path = bspline(degree, controls, intervals)
    duration_ns = intervals * STEP_NS
    reference = BSpline(knots(degree, count), controls, degree)
    active = hand_off(path, np.zeros((joints, 3)), ORIGIN_NS - 10**11)
    at_knots = np.arange(count - degree) * duration_ns // (count - degree)
    for since_ns in [0, duration_ns, *pick.integers(0, duration_ns, 20), *at_knots[:3]]:
        got = active.sample(ORIGIN_NS + int(since_ns))
        x = since_ns / duration_ns * (count - degree)
        near_knot = abs(x - round(x)) < 1e-6
        for order in range(3):
            if order > degree or (near_knot and order >= degree - 0):
                continue  # a corner: either side is right
            expected = reference(since_ns / duration_ns, order) / (duration_ns * 1e-9) ** order
            size = 1 + np.abs(controls).max() * ((count - degree) / (duration_ns * 1e-9)) ** order
            assert np.abs(got[:, order] - expected).max() <= 1e-9 * size
    assert (active.sample(ORIGIN_NS)[:, 0] == controls[0]).all()
    end = active.sample(ORIGIN_NS + duration_ns)[:, 0]
    assert end == pytest.approx(controls[-1], abs=1e-12)


def test_a_straight_line_has_no_acceleration_at_degree_1():
    active = hand_off(bspline(1, [[0.0], [2.0], [1.0]], 20), [[0, 0, 0]], 0)
    assert active.sample(ORIGIN_NS + 100 * MS)[0] == pytest.approx([1.0, 10.0, 0.0])
    assert active.sample(ORIGIN_NS + 300 * MS)[0] == pytest.approx([1.5, -5.0, 0.0])


@given(pick=chunks, shape=shapes, at=st.floats(0, 0.95))
@settings(max_examples=60, deadline=None)
def test_handing_a_b_spline_to_itself_does_not_move_it(pick, shape, at):
    degree, count = shape
    path = bspline(degree, np.cumsum(pick.normal(0, 0.1, (count, 2)), axis=0))
    start = hand_off(path, np.zeros((2, 3)), 0).sample(ORIGIN_NS)
    plain = hand_off(path, start, ORIGIN_NS)
    switch_ns = ORIGIN_NS + int(at * 20 * STEP_NS)
    again = hand_off(path, plain.sample(switch_ns), switch_ns)
    assert again.blend_ns == path.blend_min_ns
    for t_ns in range(switch_ns, ORIGIN_NS + 20 * STEP_NS, 7 * MS):
        assert again.sample(t_ns) == pytest.approx(plain.sample(t_ns), rel=1e-9, abs=1e-9)


def test_the_switch_is_the_commanded_motion_and_the_mismatch_decays():
    pick = np.random.default_rng(0)
    path = bspline(4, pick.normal(0, 0.1, (12, 3)))
    motion = pick.uniform(-1, 1, (3, 3)) * [0.1, 1, 10]
    active = hand_off(path, motion, ORIGIN_NS + 60 * MS)
    assert active.sample(ORIGIN_NS + 60 * MS) == pytest.approx(motion, rel=1e-9, abs=1e-9)
    end_ns = ORIGIN_NS + 60 * MS + active.blend_ns
    alone = hand_off(path, np.zeros((3, 3)), 0).sample(end_ns)
    assert active.sample(end_ns) == pytest.approx(alone, rel=1e-12)


def test_a_gripper_steps_through_the_waypoints_whatever_the_control_points_say():
    path = bspline(3, np.full((6, 2), 9.0), intervals=3)
    path.position[:, 0] = [0.0, 0.0, 0.02, 0.02]
    active = hand_off(path, motion_of([0, 9.0]), ORIGIN_NS, grippers=[True, False])
    assert [active.sample(ORIGIN_NS + t * MS)[0, 0] for t in (0, 20, 21, 60)] == [0.0, 0.0, 0.02, 0.02]
    assert active.sample(ORIGIN_NS + 30 * MS)[1, 0] == pytest.approx(9.0)


@pytest.mark.parametrize(
    ("degree", "controls", "says"),
    [
        (6, 9, "does not fit"),
        (-1, 9, "does not fit"),
        (4, 4, "does not fit"),
        (3, MAX_CONTROLS + 1, "does not fit"),
    ],
)
def test_control_points_that_do_not_fit_cannot_be_published(degree, controls, says):
    segment = Segment.create("trajectory", [Mailbox.size(LARGEST_BYTES)])
    Mailbox.format(segment, 0, LARGEST_BYTES)
    writer = TrajectoryWriter(Mailbox(segment, 0))
    path = still(degree=degree, controls=np.zeros((controls, 1)))
    with pytest.raises(ValueError, match=says):
        writer.publish(path, path.position, path.curvature)
    path = still(degree=3, controls=np.zeros((9, 2)))
    with pytest.raises(ValueError, match="for 2 of 1 joints"):
        writer.publish(path, path.position, path.curvature)
    segment.close()


@pytest.mark.parametrize("where", [(0, 0), (8, 1)])
def test_a_control_point_that_is_not_finite_is_refused(where):
    path = bspline(4, np.zeros((9, 2)))
    assert verdict(path) == OK
    path.controls[where] = np.nan
    assert verdict(path) == NOT_FINITE


def test_the_largest_b_spline_is_accepted():
    assert verdict(bspline(MAX_DEGREE, np.zeros((MAX_CONTROLS, 64)), MAX_WAYPOINTS - 1)) == OK


@pytest.mark.parametrize("waypoints", [1, 0, -1, -(1 << 31), MAX_WAYPOINTS + 1])
def test_a_head_that_lies_about_its_waypoints_is_a_bad_shape(waypoints):
    message = np.zeros(LARGEST_BYTES, np.uint8)
    message[72:80].view(np.int32)[:] = waypoints, 1
    assert judge(message, 1, ORIGIN_NS) == BAD_SHAPE


def test_a_gripper_stays_at_its_first_waypoint_long_before_it():
    path = trajectory([[0.01], [0.02]])
    assert hand_off(path, [[0, 0, 0]], ORIGIN_NS, grippers=[True]).sample(ORIGIN_NS - 500 * MS)[0, 0] == 0.01


@pytest.mark.parametrize(
    ("kind", "degree", "controls", "expected"),
    [
        (0, 0, 0, OK),
        (0, 77, 99, OK),  # a cubic has neither
        (1, 3, 4, OK),
        (1, 0, 4, BAD_SHAPE),
        (1, MAX_DEGREE + 1, 9, BAD_SHAPE),
        (1, 3, 3, BAD_SHAPE),
        (1, 3, MAX_CONTROLS + 1, BAD_SHAPE),
        (1, -1, 4, BAD_SHAPE),
        (1, 3, -(1 << 31), BAD_SHAPE),
        (2, 3, 4, BAD_SHAPE),
        (-1, 3, 4, BAD_SHAPE),
    ],
)
def test_a_head_that_lies_about_its_kind_is_a_bad_shape(kind, degree, controls, expected):
    """Shared memory is written by another process: its counts are looked at before anything is copied."""
    segment = Segment.create("trajectory", [Mailbox.size(LARGEST_BYTES)])
    Mailbox.format(segment, 0, LARGEST_BYTES)
    box, path, message = Mailbox(segment, 0), still(), np.zeros(LARGEST_BYTES, np.uint8)
    TrajectoryWriter(box).publish(path, path.position, path.curvature)
    box.read_latest(message)
    counts = message[72:92].view(np.int32)
    assert counts.tolist() == [30, 1, 0, 0, 0], "waypoints, joints, kind, degree, control points"
    assert judge(message, 1, ORIGIN_NS + 10 * MS) == OK
    counts[2:] = kind, degree, controls
    assert judge(message, 1, ORIGIN_NS + 10 * MS) == expected
    if expected == OK:
        with pytest.raises(ValueError, match="a message of 200 bytes says that it has"):
            judge(message[:200], 1, ORIGIN_NS + 10 * MS)
    segment.close()


# --- interpolating quintic, and the plan of either kind


@pytest.mark.parametrize("steps", [4, 5, 20, 123])
def test_the_quintic_is_scipys(steps):
    pick = np.random.default_rng(steps)
    command, actions = (
        pick.normal(0, 1, (2, 3)) * [1, 3, 30],
        np.cumsum(pick.normal(0, 0.1, (steps, 2)), axis=0),
    )
    h = STEP_NS * 1e-9
    made = make_interpolation("quintic", 0, 0, np.zeros((2, 3)))(command, actions, 0, h)
    seconds = np.arange(steps + 1) * h
    onward = command @ [1, h, h * h / 2]
    points = np.concatenate([command[None, :, 0] + actions[0] - onward, actions])
    ends = ([(1, command[:, 1]), (2, command[:, 2])], [(3, np.zeros(2)), (4, np.zeros(2))])
    span = np.concatenate([np.repeat(seconds[:1], 5), seconds, np.repeat(seconds[-1:], 5)])
    reference = make_interp_spline(seconds, points, k=5, t=span, bc_type=ends)
    path = trajectory(made.position, made.curvature, degree=5, controls=np.ascontiguousarray(made.controls))
    active = hand_off(path, np.zeros((2, 3)), 0)
    for since_ns in range(0, steps * STEP_NS, max(1, steps // 8) * (3 * MS + 17)):
        got = active.sample(ORIGIN_NS + since_ns)
        for order in range(3):
            expected = reference(since_ns * 1e-9, order)
            assert got[:, order] == pytest.approx(expected, rel=1e-6, abs=1e-7 * 50**order)


@pytest.mark.parametrize("way", ["cubic", "quintic"])
@pytest.mark.parametrize("given", [0, 1, 2, 7])
def test_what_goes_through_every_action_has_no_corner_where_the_answer_begins(way, given):
    """A parabola that is known, and an answer that goes on with it 0.3 rad higher."""
    h, command = 0.02, np.array([[0.2, -1.0, 6.0]])
    seconds = h * np.arange(1, 21)
    parabola = (command @ [np.ones(20), seconds, seconds**2 / 2]).T
    actions = parabola + 0.3 * (np.arange(20) >= given)[:, None]
    made = make_interpolation(way, 0, 0, np.zeros((1, 3)))(command, actions, given, h)
    path = trajectory(made.position, made.curvature, degree=made.degree, controls=made.controls)
    active = hand_off(path, [[0, 0, 0]], 0)
    for since_ns in range(0, 15 * STEP_NS, 7 * MS):
        expected = command[0] @ [1, since_ns * 1e-9, (since_ns * 1e-9) ** 2 / 2] + 0.3
        assert active.sample(ORIGIN_NS + since_ns)[0, 0] == pytest.approx(expected, abs=1e-4)
    for step in range(given, 20):
        here = active.sample(ORIGIN_NS + (step + 1) * STEP_NS)[0, 0]
        assert here == pytest.approx(actions[step, 0], abs=1e-9)


def test_a_quintic_needs_two_actions_and_a_chunk_four():
    with pytest.raises(ValueError, match="2 actions at least, not 1"):
        quintic_matrix(1, 0.02)
    with pytest.raises(ValueError, match="4 actions at least, not 3"):
        make_interpolation("quintic", 0, 0, np.zeros((1, 3)))(np.zeros((1, 3)), np.zeros((3, 1)), 0, 0.02)


@pytest.mark.parametrize(("degree", "controls", "order"), [(3, 3, 0), (3, 5, 4), (2, 5, -1)])
def test_a_basis_that_there_is_not_is_refused(degree, controls, order):
    with pytest.raises(ValueError, match="control points at least"):
        basis_at(np.zeros(1), degree, controls, order)


@given(
    pick=chunks,
    shape=st.none() | shapes,
    since_ms=st.floats(-20, 420),
    step_ms=st.sampled_from([7, 20, 33]),
)
@settings(max_examples=80, deadline=None)
def test_a_plan_of_either_kind_is_where_the_tick_will_be(pick, shape, since_ms, step_ms):
    if shape is None:
        path = trajectory(pick.normal(0, 0.1, (21, 3)), pick.normal(0, 10, (21, 3)))
    else:
        path = bspline(shape[0], pick.normal(0, 0.1, (shape[1], 3)))
    first_ns = ORIGIN_NS + int(since_ms * MS)
    found = planned_positions(path, first_ns, step_ms * MS)
    times = np.arange(first_ns, path.end_ns, step_ms * MS) if first_ns >= ORIGIN_NS else []
    assert len(found) == len(times)
    active = hand_off(path, np.zeros((3, 3)), 0)
    for t_ns, here in zip(times, found, strict=True):
        assert here == pytest.approx(active.sample(int(t_ns))[:, 0], rel=1e-9, abs=1e-9)


def test_a_package_that_is_not_there_is_named_with_what_to_do(monkeypatch):
    monkeypatch.setattr(jerk_limited, "find_spec", lambda name: None)
    with pytest.raises(ConfigError) as refused:
        make_interpolation("ruckig", 0.02, 200.0, np.ones((2, 3)))
    (problem,) = refused.value.problems
    assert problem.path == "execution.interpolation"
    assert "pip install 'spinal[ruckig]'" in problem.hint
