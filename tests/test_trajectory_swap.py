"""Every swap is continuous in position, velocity and acceleration, whatever the decoder; the end comes to rest."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loop_rig import ARM, DT_NS, EMERGENCY, GRIPPER, JOINTS, MS, SteppedRig
from test_trajectory import ORIGIN_NS, chunks, hand_off, trajectory

from spinal.runtime.trajectory import Path, make_interpolation
from spinal.runtime.types import Spline

LIMITS = np.array([[4.7, 80.0, 4000.0]])
DECODERS = ("walk", "jitter", "dct", "bins", "beast")
WAYS = ("smooth", "cubic", "quintic", "ruckig")


def actions(pick, decoder, steps, joints):
    """[step, joint] as a decoder of that kind might answer."""
    if decoder == "walk":
        return np.cumsum(pick.normal(0, 0.05, (steps, joints)), axis=0)
    if decoder == "jitter":
        return pick.normal(0, 0.3, (steps, joints))
    if decoder == "bins":
        return np.round(np.cumsum(pick.normal(0, 0.05, (steps, joints)), axis=0) * 128) / 128
    # FAST: few coefficients of the inverse cosine transform, in whole tenths
    k = np.arange(steps)
    waves = np.cos(np.pi * (k[:, None] + 0.5) * k / steps) * np.sqrt(2 / steps)
    few = np.round(pick.normal(0, 4, (steps, joints)) * (k[:, None] < 6)) / 10
    return waves @ few


def path_of(pick, decoder, way, steps, step_ns, origin_ns, command, **changes):
    joints = len(command)
    step_s = step_ns * 1e-9
    if decoder == "beast":
        degree = int(pick.integers(1, 6))
        controls = np.cumsum(pick.normal(0, 0.1, (int(pick.integers(degree + 1, 25)), joints)), axis=0)
        made = Path.of_spline(Spline(degree, controls, steps * step_s), steps)
    else:
        given_ = int(pick.integers(0, min(steps - 1, 16)))
        if way == "quintic":
            steps = min(steps, 127)
        ask = make_interpolation(way, 0.02, 200.0, np.repeat(LIMITS, joints, axis=0))
        made = ask(command, actions(pick, decoder, steps, joints), given_, step_s, None)
    return trajectory(
        made.position,
        made.curvature,
        degree=made.degree,
        controls=made.controls,
        origin_ns=origin_ns,
        step_ns=step_ns,
        **changes,
    )


def assert_joined(active, motion, switch_ns):
    """The motion at the switch, relative to what cancels there: the spline's own size."""
    here = active.sample(switch_ns)
    size = np.maximum(1, np.maximum(np.abs(motion), np.abs(active.sample(switch_ns + active.blend_ns))))
    assert (np.abs(here - motion) <= 1e-9 * size).all()


@given(
    pick=chunks,
    decoder=st.sampled_from(DECODERS),
    way=st.sampled_from(WAYS),
    joints=st.integers(1, 4),
    steps=st.integers(4, 127),
    step_ms=st.integers(2, 60),
    delay=st.integers(0, 16),
    between=st.floats(0, 1),
    limits=st.tuples(st.floats(0.1, 20), st.floats(1, 500), st.floats(10, 50_000)),
    share=st.floats(0.05, 1),
)
@settings(max_examples=250, deadline=None)
def test_a_swap_is_continuous_whatever_the_decoder(
    pick, decoder, way, joints, steps, step_ms, delay, between, limits, share
):
    """Two swaps: from any motion, and again in the middle of that blend."""
    step_ns = step_ms * MS
    changes = {"blend_share": share, "blend_max_ns": 400 * MS}
    command = pick.uniform(-1, 1, (joints, 3)) * [1, 4.7, 80]
    bounds = np.array([-3.0, 3.0, *limits])
    first = path_of(pick, decoder, way, steps, step_ns, ORIGIN_NS, command, **changes)
    switch_ns = ORIGIN_NS + int((min(delay, steps - 1) + between) * step_ns)
    motion = pick.uniform(-1, 1, (joints, 3)) * [1, 4.7, 80]
    active = hand_off(first, motion, switch_ns, limits=bounds)
    assert first.blend_min_ns <= active.blend_ns <= 400 * MS
    assert_joined(active, motion, switch_ns)
    again_ns = switch_ns + int(between * active.blend_ns)
    middle = active.sample(again_ns)
    second = path_of(pick, decoder, way, steps, step_ns, again_ns, middle, **changes)
    joined = hand_off(second, middle, again_ns, limits=bounds)
    assert_joined(joined, middle, again_ns)
    resumed = hand_off(second, middle, again_ns, limits=bounds, blend_end_ns=again_ns + joined.blend_ns)
    assert_joined(resumed, middle, again_ns)


@given(
    pick=chunks,
    decoder=st.sampled_from(DECODERS),
    way=st.sampled_from(("smooth", "quintic")),
    steps=st.integers(4, 127),
    step_ms=st.sampled_from([5, 10, 20, 33]),
)
@settings(max_examples=12, deadline=None)
def test_the_loop_swaps_every_joint_in_one_tick_and_comes_to_rest_behind_the_end(
    pick, decoder, way, steps, step_ms
):
    rig = SteppedRig().running(swing=0.2, steps=40)
    step_ns, taken = step_ms * MS, 1
    for delay in pick.integers(0, 17, 3):
        rig.tick(int(delay) + 1)
        joints = rig.state["joints"]
        command = np.stack(
            [joints[f"commanded_{word}"] for word in ("position", "velocity", "acceleration")], axis=1
        )
        began_ns = rig.next_ns - int(delay) * DT_NS
        stamps = {"observation_stamp_ns": began_ns, "published_ns": began_ns}
        path = path_of(pick, decoder, way, steps, step_ns, began_ns, command, **stamps)
        path.position[:, 2] = 0.01
        number = rig.publish(path)
        record = rig.tick()[0]
        if path.end_ns > record["tick_ns"] and rig.loop.mode == "running":
            assert (record["switched"], record["trajectory_id"]) == (1, number)
            taken += 1
    assert rig.stats["switches"] >= taken
    assert max(rig.stats["seam"].values()) <= 1e-9
    rig.tick(int((steps * step_ns + 1000 * MS) // DT_NS))
    assert rig.loop.mode == "holding"
    applied = rig.commands()[:, :2]
    assert np.abs(np.diff(applied[-5:], axis=0)).max() == 0, "it stands"
    dt = DT_NS * 1e-9
    bounds = zip(ARM[2:], range(1, 4), strict=True)
    for bound, order in bounds:
        assert np.abs(np.diff(applied, order, axis=0)).max() / dt**order <= bound * (1 + 1e-6)


def test_the_switch_is_one_instant_for_all_joints():
    """One tick, one record: whoever is on which bus, nobody follows the new chunk before the others do."""
    rig = SteppedRig().running(swing=0.2)
    rig.tick(5)
    before = rig.state["trajectory_id"]
    rig.publish(rig.path(swing=-0.2))
    record = rig.tick()[0]
    assert record["switched"] == 1
    assert record["trajectory_id"] == before + 1
    assert rig.state["in_force_ns"] != record["tick_ns"], "the state was published before"
    rig.tick()
    assert rig.state["in_force_ns"] == record["tick_ns"]


def test_a_rig_has_the_limits_that_these_tests_assume():
    assert (JOINTS, ARM[2:], GRIPPER[2], EMERGENCY[2]) == (3, (4.7, 80.0, 4000.0), 0.25, 4.7)
    assert pytest.approx(LIMITS[0]) == ARM[2:]
