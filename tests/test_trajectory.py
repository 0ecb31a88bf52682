"""The hand-off from what was commanded to a new chunk, the spline, its fit, and which trajectories are refused."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import CubicSpline

from spinal.native.shared import Mailbox, Segment
from spinal.native.trajectory import LARGEST_BYTES, MAX_WAYPOINTS, ActiveTrajectory, TrajectoryWriter
from spinal.runtime.config.execution import ExecutionSettings
from spinal.runtime.trajectory import KEPT, fit, resample
from spinal.runtime.types import Trajectory

MS = 1_000_000
ORIGIN_NS = 5_000_000_000
STEP_NS = 20 * MS
LIMITS = np.array([-3.0, 3.0, 4.7, 80.0, 4000.0])
SMOOTHING, SEAM = ExecutionSettings().smoothing, ExecutionSettings().seam_smoothing
OK, BAD_SHAPE, NOT_FINITE, STALE, FUTURE = range(5)


def trajectory(waypoints, curvature=None, **changes):
    """[waypoint, joint] as a trajectory that begins at ORIGIN_NS."""
    position = np.ascontiguousarray(waypoints, np.float64)
    head = Trajectory(
        observation_stamp_ns=ORIGIN_NS,
        sensor_stamp_ns=ORIGIN_NS,
        published_ns=ORIGIN_NS,
        origin_ns=ORIGIN_NS,
        step_ns=STEP_NS,
        fresh_for_ns=60 * MS,
        blend_min_ns=20 * MS,
        blend_max_ns=160 * MS,
        blend_share=0.5,
        position=position,
        curvature=np.zeros_like(position) if curvature is None else np.ascontiguousarray(curvature),
    )
    return replace(head, **changes)


def motion_of(position, velocity=0.0, acceleration=0.0):
    """[joint, 3]"""
    return np.stack(np.broadcast_arrays(np.asarray(position, float), velocity, acceleration), axis=1)


def fitted(command, actions, given=0, smoothing=0.0, **changes):
    """Actions [step, joint] behind ``command``, [joint, 3] or [joint] at rest, as the policy fits them."""
    motion = np.asarray(command, np.float64)
    if motion.ndim == 1:
        motion = np.column_stack([motion, np.zeros((len(motion), 2))])
    position, curvature = fit(motion, np.asarray(actions, np.float64), given, STEP_NS * 1e-9, smoothing, 0.0)
    return trajectory(position, curvature, **changes)


def hand_off(path, motion, switch_ns, limits=LIMITS, grippers=None, blend_end_ns=None):
    joints = path.position.shape[1]
    return ActiveTrajectory(
        path,
        path.position,
        path.curvature,
        np.ascontiguousarray(motion, np.float64),
        np.tile(limits, (joints, 1)),
        [False] * joints if grippers is None else grippers,
        switch_ns,
        blend_end_ns,
    )


def curve(active, times_ns, joint=0):
    """[time, 3] of one joint."""
    return np.array([active.sample(int(t))[joint] for t in times_ns])


chunks = st.integers(0, 1 << 32).map(np.random.default_rng)


@given(
    pick=chunks,
    joints=st.integers(1, 8),
    steps=st.integers(5, 40),
    delay=st.floats(0, 1),
    blend_min_ms=st.integers(0, 40),
    roughness=st.sampled_from([1e-3, 0.1, 1.0]),
)
@settings(max_examples=150, deadline=None)
def test_at_the_switch_it_is_the_motion_that_was_commanded(
    pick, joints, steps, delay, blend_min_ms, roughness
):
    path = fitted(
        pick.uniform(-1, 1, joints),
        np.cumsum(pick.normal(0, roughness, (steps, joints)), axis=0),
        blend_min_ns=blend_min_ms * MS,
    )
    motion = pick.uniform(-1, 1, (joints, 3)) * [3, 4.7, 80]
    switch_ns = ORIGIN_NS + int(delay * steps * STEP_NS)
    active = hand_off(path, motion, switch_ns)
    here = active.sample(switch_ns)
    size = np.maximum(np.abs(motion), np.abs(hand_off(path, np.zeros((joints, 3)), 0).sample(switch_ns)))
    assert (np.abs(here - motion) <= 1e-9 * (1 + size)).all()
    # Behind the blend nothing of the mismatch is left.
    end_ns = switch_ns + active.blend_ns
    alone = hand_off(path, np.zeros((joints, 3)), end_ns - 10**12).sample(end_ns)
    assert active.sample(end_ns) == pytest.approx(alone, abs=1e-12, rel=1e-12)


@given(pick=chunks, delay=st.floats(0, 0.9))
@settings(max_examples=40, deadline=None)
def test_velocity_and_acceleration_are_the_derivatives_of_position(pick, delay):
    path = fitted(pick.uniform(-1, 1, 1), np.cumsum(pick.normal(0, 0.05, (20, 1)), axis=0))
    switch_ns = ORIGIN_NS + int(delay * 20 * STEP_NS)
    motion = pick.uniform(-1, 1, (1, 3)) * [1, 2, 20]
    active = hand_off(path, motion, switch_ns)
    h_ns = 50_000
    times = np.arange(switch_ns + 2 * h_ns, switch_ns + 300 * MS, 1_234_567)
    before, here, after = (curve(active, times + shift) for shift in (-h_ns, 0, h_ns))
    slope = (after - before) / (2e-9 * h_ns)
    jerk = np.abs(np.diff(here[:, 2])).max() / 1.234567e-3
    assert np.abs(slope[:, 0] - here[:, 1]).max() < 1e-6 + jerk * (1e-9 * h_ns) ** 2
    assert np.abs(slope[:, 1] - here[:, 2]).max() < 1e-5 + 4 * jerk * 1e-9 * h_ns


@given(pick=chunks, at=st.floats(0, 0.95))
@settings(max_examples=60, deadline=None)
def test_handing_a_spline_to_itself_does_not_move_it(pick, at):
    path = fitted(pick.uniform(-1, 1, 3), np.cumsum(pick.normal(0, 0.1, (20, 3)), axis=0))
    plain = hand_off(path, hand_off(path, np.zeros((3, 3)), 0).sample(ORIGIN_NS), ORIGIN_NS)
    switch_ns = ORIGIN_NS + int(at * 20 * STEP_NS)
    again = hand_off(path, plain.sample(switch_ns), switch_ns)
    assert again.blend_ns == path.blend_min_ns
    for t_ns in range(switch_ns, ORIGIN_NS + 20 * STEP_NS, 7 * MS):
        assert again.sample(t_ns) == pytest.approx(plain.sample(t_ns), rel=1e-9, abs=1e-9)


@given(pick=chunks, at=st.floats(0, 1.2))
@settings(max_examples=60, deadline=None)
def test_a_hand_off_under_way_is_resumed_exactly(pick, at):
    """Who looks ahead from a state in the middle of a blend sees what the tick will command."""
    path = fitted(pick.uniform(-1, 1, 3), np.cumsum(pick.normal(0, 0.1, (20, 3)), axis=0))
    plain = hand_off(path, pick.uniform(-1, 1, (3, 3)) * [1, 2, 20], ORIGIN_NS)
    blend_end_ns = ORIGIN_NS + plain.blend_ns
    here_ns = ORIGIN_NS + int(at * plain.blend_ns)
    resumed = hand_off(path, plain.sample(here_ns), here_ns, blend_end_ns=blend_end_ns)
    for t_ns in range(here_ns, blend_end_ns + 40 * MS, 3 * MS):
        assert resumed.sample(t_ns) == pytest.approx(plain.sample(t_ns), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("steps", [4, 5, 20, 50])
def test_the_spline_is_scipys(steps):
    """Without smoothing: through the actions, the command, and two points before it on the command's parabola."""
    pick = np.random.default_rng(steps)
    command, actions = pick.normal(0, 1, (2, 3)) * [1, 3, 30], pick.normal(0, 1, (steps, 2))
    path = fitted(command, actions)
    h = STEP_NS * 1e-9
    seconds = np.arange(-2, steps + 1) * h
    before = [command @ [1, t, t * t / 2] for t in seconds[:2]]
    known = np.vstack([*before, command[:, 0], actions])
    reference = CubicSpline(seconds, known, bc_type=("not-a-knot", (2, np.zeros(2))))
    plain = hand_off(path, np.zeros((2, 3)), 0)
    for t_ns in range(0, steps * STEP_NS, 3 * MS + 17):
        got = plain.sample(ORIGIN_NS + t_ns)
        for order in range(3):
            expected = reference(t_ns * 1e-9, order)
            assert got[:, order] == pytest.approx(expected, rel=1e-9, abs=1e-9 * 50**order)


def wave(frequency_hz, t_s):
    """A sine's position, velocity and acceleration, [..., 3]."""
    w = 2 * np.pi * frequency_hz
    x = w * np.asarray(t_s) + 0.3
    return np.stack([np.sin(x), w * np.cos(x), -w * w * np.sin(x)], axis=-1)


def gain(frequency_hz, smoothing):
    """Of a sine in a 50 Hz chunk, away from the chunk's ends."""
    motion = wave(frequency_hz, np.arange(51) * 0.02)
    path = fitted(motion[:1], motion[1:, :1], smoothing=smoothing)
    times = ORIGIN_NS + np.arange(200 * MS, 800 * MS, MS)
    got = curve(hand_off(path, np.zeros((1, 3)), 0), times)[:, 0]
    phase = 2 * np.pi * frequency_hz * (times - ORIGIN_NS) * 1e-9
    parts = np.linalg.lstsq(np.column_stack([np.sin(phase), np.cos(phase)]), got, rcond=None)[0]
    return float(np.hypot(*parts))


def test_the_fit_keeps_what_a_chunk_can_say():
    assert gain(2, SMOOTHING) >= 0.99
    assert gain(5, SMOOTHING) >= 0.99
    assert gain(10, SMOOTHING) == pytest.approx(
        1 / (1 + SMOOTHING * (2 * np.sin(0.2 * np.pi)) ** 16), abs=0.02
    )
    assert gain(20, SMOOTHING) <= 0.02, "noise must not pass"
    assert gain(10, 0.0) >= 0.98, "without smoothing it is the interpolating spline"


@pytest.mark.parametrize("given", [0, 1, 5])
def test_the_fit_begins_with_what_is_known(given):
    pick = np.random.default_rng(given)
    command, actions = pick.normal(0, 1, (4, 3)), pick.normal(0, 1, (20, 4))
    position, _ = fit(command, actions, given, 0.02, 0.1, 1.0)
    assert (position[0] == command[:, 0]).all()
    assert (position[1 : given + 1] == actions[:given]).all()
    assert (position[given + 1] != actions[given]).all()


def seam_of(hz, plan=None, given=5, steps=50):
    """(a sine's positions, waypoints) of a chunk that goes on with it, of which ``plan`` points are planned."""
    motion = wave(hz, np.arange(steps + 1) * 0.02)
    positions = motion[:, :1]
    planned = None if plan is None else positions[:plan]
    waypoints, _ = fit(motion[:1], positions[1:], given, 0.02, SMOOTHING, SEAM, planned)
    return positions, waypoints


@pytest.mark.parametrize("hz", [2, 5, 8])
def test_a_chunk_that_agrees_with_the_plan_keeps_its_bandwidth_at_the_seam(hz):
    truth, alone = seam_of(hz)
    _, agreed = seam_of(hz, plan=26)
    off = [np.abs(waypoints - truth)[6:16].max() for waypoints in (alone, agreed)]
    assert off[1] < 0.25 * off[0]


def test_what_a_chunk_changes_is_smoothed_as_if_the_plan_stood_still():
    """All of it is linear: KEPT of the plan's own motion goes through whatever the chunk changes."""
    pick = np.random.default_rng(0)
    still_, moving = np.zeros((21, 2)), np.cumsum(pick.normal(0, 0.01, (21, 2)), axis=0)
    change = np.cumsum(pick.normal(0, 0.01, (20, 2)), axis=0)
    command = np.zeros((2, 3))

    def of(actions, plan):
        return fit(command, actions, 2, 0.02, SMOOTHING, SEAM, plan)[0][3:]

    together = of(change, KEPT * moving) - of(0 * change, KEPT * moving)
    assert together == pytest.approx(of(change, still_), abs=1e-9)


@pytest.mark.parametrize("planned", [0, 1, 3])
def test_a_plan_that_ends_at_once_is_none(planned):
    pick = np.random.default_rng(planned)
    command, actions, plan = (
        pick.normal(0, 1, (4, 3)),
        pick.normal(0, 1, (20, 4)),
        pick.normal(0, 1, (planned, 4)),
    )
    for with_it, without in zip(
        fit(command, actions, 2, 0.02, SMOOTHING, SEAM, plan),
        fit(command, actions, 2, 0.02, SMOOTHING, SEAM),
        strict=True,
    ):
        assert with_it == pytest.approx(without, rel=1e-12, abs=1e-9)


def test_behind_the_plans_end_only_the_chunk_counts():
    """A plan ends with a jump of its own: nobody asks for the jump."""
    actions = np.zeros((20, 1))
    plan = np.zeros((10, 1))
    waypoints, _ = fit(np.zeros((1, 3)), actions, 2, 0.02, SMOOTHING, SEAM, plan)
    assert np.abs(waypoints).max() < 1e-12
    longer, _ = fit(np.zeros((1, 3)), actions, 2, 0.02, SMOOTHING, SEAM, np.concatenate([plan, plan[:3] + 1]))
    assert np.abs(longer).max() > 0.01


def test_a_plan_longer_than_the_chunk_is_cut():
    pick = np.random.default_rng(0)
    command, actions, plan = pick.normal(0, 1, (2, 3)), pick.normal(0, 1, (8, 2)), pick.normal(0, 1, (30, 2))
    whole = fit(command, actions, 1, 0.02, SMOOTHING, SEAM, plan)
    cut = fit(command, actions, 1, 0.02, SMOOTHING, SEAM, plan[:9])
    assert all((one == other).all() for one, other in zip(whole, cut, strict=True))


@given(pick=chunks, since=st.floats(0, 19.9))
@settings(max_examples=60, deadline=None)
def test_resampled_is_where_the_spline_is(pick, since):
    path = fitted(pick.uniform(-1, 1, 3), np.cumsum(pick.normal(0, 0.1, (20, 3)), axis=0))
    since_ns = round(since * STEP_NS)
    found = resample(path.position, path.curvature, since_ns / STEP_NS, STEP_NS * 1e-9)
    assert len(found) == 20 - since_ns // STEP_NS
    plain = hand_off(path, np.zeros((3, 3)), 0)
    for step, here in enumerate(found):
        at_ns = ORIGIN_NS + since_ns + step * STEP_NS
        assert here == pytest.approx(plain.sample(at_ns)[:, 0], rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("since", [20.0, 20.5, 300.0])
def test_nothing_is_left_of_a_spline_that_has_ended(since):
    assert len(resample(np.zeros((21, 2)), np.zeros((21, 2)), since, 0.02)) == 0


def test_a_chunk_that_goes_on_with_the_commanded_motion_leaves_nothing_to_decay():
    command = np.array([[0.4, -1.0, 6.0]])
    t_s = np.arange(1, 41) * STEP_NS * 1e-9
    path = fitted(command, (command @ np.stack([np.ones(40), t_s, t_s**2 / 2])).T, smoothing=0.1)
    assert hand_off(path, [[0, 0, 0]], 0).sample(ORIGIN_NS) == pytest.approx(command, rel=1e-6, abs=1e-6)
    assert hand_off(path, command, ORIGIN_NS).blend_ns == path.blend_min_ns


def test_a_chunk_that_is_too_short_is_refused():
    with pytest.raises(ValueError, match="4 actions at least, not 3"):
        fit(np.zeros((1, 3)), np.zeros((3, 1)), 0, 0.02, 0.1, 0.0)


def still(points=30, joints=1, **changes):
    return trajectory(np.zeros((points, joints)), **changes)


@given(
    mismatch=st.tuples(st.floats(-1, 1), st.floats(-4, 4), st.floats(-60, 60)),
    more=st.floats(1, 3),
)
@settings(max_examples=100, deadline=None)
def test_the_blend_grows_with_the_mismatch_between_its_bounds(mismatch, more):
    path = still()
    small = hand_off(path, [mismatch], ORIGIN_NS).blend_ns
    large = hand_off(path, [np.array(mismatch) * more], ORIGIN_NS).blend_ns
    assert path.blend_min_ns <= small <= large <= path.blend_max_ns


def test_the_blend_bounds_are_reached_and_what_lies_between_is_used():
    path = still()
    blends = [hand_off(path, [[d, 0, 0]], ORIGIN_NS).blend_ns for d in (0, 5e-5, 0.001, 0.01, 1, 1e30)]
    assert blends[:2] == [path.blend_min_ns] * 2
    assert path.blend_min_ns < blends[2] < blends[3] < path.blend_max_ns
    assert blends[4:] == [path.blend_max_ns] * 2


def test_one_joint_that_needs_time_gives_it_to_all():
    path = still(joints=2)
    alone = hand_off(still(), [[0.05, 0, 0]], ORIGIN_NS).blend_ns
    assert hand_off(path, [[0.05, 0, 0], [0, 0, 0]], ORIGIN_NS).blend_ns == alone


def assert_decays_inside(mismatch, share):
    """In every joint; the peaks of acceleration come on top of what was there at the switch, which fades."""
    bounds = {"blend_min_ns": MS, "blend_max_ns": 10_000 * MS, "blend_share": share}
    path = still(joints=len(mismatch), step_ns=500 * MS, **bounds)
    active = hand_off(path, mismatch, ORIGIN_NS)
    assert active.blend_ns < path.blend_max_ns
    times = ORIGIN_NS + np.linspace(0, active.blend_ns, 201).astype(np.int64)
    for joint, (_, _, before) in enumerate(mismatch):
        acceleration = curve(active, times, joint)[:, 2]
        jerk = np.diff(acceleration) / (np.diff(times) * 1e-9)
        assert np.abs(jerk).max() <= share * LIMITS[4] * (1 + 1e-6)
        size = np.abs(acceleration)
        peaks = 1 + np.flatnonzero((size[1:-1] >= size[:-2]) & (size[1:-1] >= size[2:]))
        left = abs(before) * (1 - (peaks - 1) / 200)
        assert (size[peaks] <= share * LIMITS[3] + left + 1e-6).all()


@given(pick=chunks, joints=st.integers(1, 4), share=st.floats(0.1, 1), size=st.floats(0, 1))
@settings(max_examples=300, deadline=None)
def test_the_decaying_mismatch_stays_inside_its_share_of_the_limits(pick, joints, share, size):
    mismatch = size * pick.uniform(-1, 1, (joints, 3)) * [2, 4.7, 80] * pick.choice([0, 0.1, 1], (joints, 3))
    assert_decays_inside(mismatch, share)


@pytest.mark.parametrize("blend_s", [0.05, 0.1, 0.2])
def test_the_jerk_in_the_middle_of_a_blend_is_bounded_too(blend_s):
    """A mismatch whose quintic in ``blend_s`` has no jerk at its ends, and half too much between."""
    share = 0.5
    d = 1.5 * share * LIMITS[4] * blend_s**3 / 10
    assert_decays_inside([[d, -10 / 3 * d / blend_s, 20 / 3 * d / blend_s**2]], share)


def test_an_acceleration_that_only_fades_has_no_peak_between():
    """A mismatch whose jerk does not change its sign in that time: its quintic's jerk has no root at all."""
    d, blend_s = 0.001, 0.1
    path = still(blend_min_ns=100 * MS, blend_max_ns=100 * MS)
    active = hand_off(path, [[d, -2.807 * d / blend_s, 6.051 * d / blend_s**2]], ORIGIN_NS)
    assert active.blend_ns == 100 * MS
    acceleration = curve(active, ORIGIN_NS + np.linspace(0, 100 * MS, 101).astype(np.int64))[:, 2]
    assert (np.diff(acceleration) < 0).all()
    assert acceleration[-1] == pytest.approx(0, abs=1e-9)


def test_a_blend_that_one_joint_lengthens_still_suits_the_others():
    """The first joint alone would do with less, and does not fit every longer blend."""
    first, second = np.array([[0.1062, 2.0727, -53.6941], [0.3013, -0.0, -1.0708]])
    share = 0.1260
    assert_decays_inside([first], share)
    assert_decays_inside([second], share)
    assert_decays_inside([first, second], share)


def test_a_gripper_steps_to_the_waypoint_that_comes_next_and_never_blends():
    closed, opened = 0.0, 0.022
    path = trajectory([[closed, 0.0], [closed, 0.0], [opened, 0.0], [opened, 0.0]])
    active = hand_off(path, [[0.5, 9, 99], [0, 0, 0]], ORIGIN_NS, grippers=[True, False])
    assert active.blend_ns == path.blend_min_ns
    expected = {
        -5 * MS: closed,
        0: closed,
        20 * MS: closed,
        20 * MS + 1: opened,
        40 * MS: opened,
        500 * MS: opened,
    }
    for since_ns, position in expected.items():
        assert active.sample(ORIGIN_NS + since_ns)[0].tolist() == [position, 0, 0]


def verdict(path, joints=None, now_ns=ORIGIN_NS + 10 * MS):
    active = hand_off(path, np.zeros((path.position.shape[1], 3)), ORIGIN_NS)
    return active.verdict(path.position.shape[1] if joints is None else joints, now_ns)


def test_a_sound_trajectory_is_accepted():
    assert verdict(still()) == OK
    assert verdict(still(points=2)) == OK
    assert verdict(still(points=MAX_WAYPOINTS)) == OK
    assert [verdict(still(step_ns=step_ns)) for step_ns in (MS, 1000 * MS)] == [OK, OK]


@pytest.mark.parametrize(
    "changes",
    [
        {"step_ns": MS - 1},
        {"step_ns": 1000 * MS + 1},
        {"fresh_for_ns": 0},
        {"blend_min_ns": -1},
        {"blend_max_ns": 19 * MS},
        {"blend_max_ns": 10_000 * MS + 1},
        {"blend_share": 0.0},
        {"blend_share": 1.01},
        {"blend_share": float("nan")},
        {"origin_ns": -1},
        {"observation_stamp_ns": -1},
        {"origin_ns": -(1 << 63)},
    ],
)
def test_a_head_without_sense_is_a_bad_shape(changes):
    assert verdict(still(**changes)) == BAD_SHAPE


@pytest.mark.parametrize("step_ns", [0, -STEP_NS])
def test_a_step_that_leads_nowhere_cannot_be_handed_off(step_ns):
    with pytest.raises(ValueError, match="leads nowhere"):
        hand_off(still(step_ns=step_ns), [[0, 0, 0]], ORIGIN_NS)


def test_another_number_of_joints_is_a_bad_shape():
    assert verdict(still(joints=3), joints=2) == BAD_SHAPE


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("array", ["position", "curvature"])
@pytest.mark.parametrize("where", [(0, 0), (29, 1)])
def test_a_value_that_is_not_finite_is_refused(bad, array, where):
    path = still(joints=2)
    getattr(path, array)[where] = bad
    assert verdict(path) == NOT_FINITE


def test_a_trajectory_that_has_ended_is_stale():
    path = still(points=10)
    assert verdict(path, now_ns=path.end_ns - 1) == OK
    assert verdict(path, now_ns=path.end_ns) == STALE


@pytest.mark.parametrize("stamp", ["origin_ns", "observation_stamp_ns"])
def test_a_stamp_more_than_a_step_ahead_is_of_the_future(stamp):
    now_ns = ORIGIN_NS
    assert verdict(still(**{stamp: now_ns + STEP_NS}), now_ns=now_ns) == OK
    for beyond_ns in (now_ns + STEP_NS + 1, (1 << 63) - 1):
        assert verdict(still(**{stamp: beyond_ns}), now_ns=now_ns) == FUTURE


@pytest.mark.parametrize(
    ("points", "joints"), [(1, 1), (MAX_WAYPOINTS + 1, 1), (5, 65)], ids=["too short", "too long", "too wide"]
)
def test_what_does_not_fit_cannot_be_published(points, joints):
    segment = Segment.create("trajectory", [Mailbox.size(LARGEST_BYTES)])
    Mailbox.format(segment, 0, LARGEST_BYTES)
    writer = TrajectoryWriter(Mailbox(segment, 0))
    with pytest.raises(ValueError, match="does not fit"):
        writer.publish(still(), np.zeros((points, joints)), np.zeros((points, joints)))
    assert Mailbox(segment, 0).latest == 0
    path = still()
    assert writer.publish(path, path.position, path.curvature) == 1
    segment.close()


def test_a_mailbox_that_is_too_small_for_trajectories_is_refused():
    segment = Segment.create("small", [Mailbox.size(64)])
    Mailbox.format(segment, 0, 64)
    with pytest.raises(ValueError, match="too small"):
        TrajectoryWriter(Mailbox(segment, 0))
    segment.close()
