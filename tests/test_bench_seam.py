"""The seam benchmark: metrics against closed forms, methods against what is known of them, what is judged."""

from argparse import Namespace
from dataclasses import replace

import numpy as np
import pytest
from scipy.interpolate import BSpline

from spinal.bench.bench import Bench
from spinal.bench.result import Verdict
from spinal.bench.seam import bandwidth, curves, feed, jerk_limited, linear, smoothness, spline, trial
from spinal.bench.seam.played import Played
from spinal.bench.seam.spinal_loop import EPOCH_NS, SETTLE_TICKS, behind, relative_jump, spinal
from spinal.bench.suites import seam
from spinal.runtime import segments

HZ = feed.TICK_HZ


@pytest.fixture(scope="module")
def fed():
    return feed.disagreeing(chunks=8)


@pytest.fixture(scope="module")
def ours(fed):
    return spinal()(fed)


def minimum_jerk(duration_s, distance, joints=1):
    """[tick, joint] at a rate so high that differences are derivatives."""
    hz = 2000 / duration_s
    tau = np.linspace(0, 1, 2001)
    path = distance * (10 * tau**3 - 15 * tau**4 + 6 * tau**5)
    return np.repeat(path[:, None], joints, axis=1), hz


# --- metrics


def test_differences_are_derivatives_in_rad_and_seconds():
    t = np.arange(200) / HZ
    cubic = (2 * t**3)[:, None]
    assert smoothness.jerk(cubic, HZ) == pytest.approx(12.0, rel=1e-6)
    assert smoothness.acceleration(cubic[:3] * 0 + t[:3, None] ** 2, HZ) == pytest.approx(2.0)
    assert smoothness.velocity(5 * t[:, None], HZ) == pytest.approx(5.0)


@pytest.mark.parametrize(
    ("duration_s", "distance", "joints"), [(1.0, 1.0, 1), (0.2, 30.0, 1), (7.0, 0.01, 3)]
)
def test_ldlj_of_a_minimum_jerk_motion_is_its_closed_form(duration_s, distance, joints):
    """Integral of jerk^2: 720 A^2 / T^5; peak speed 15/8 A/T. However long, however far, in however many joints."""
    path, hz = minimum_jerk(duration_s, distance, joints)
    assert smoothness.ldlj(path, hz) == pytest.approx(-np.log(720 * (8 / 15) ** 2), abs=0.01)


def test_sparc_does_not_know_how_long_or_how_far():
    once, hz = minimum_jerk(2.0, 1.0)
    short = smoothness.sparc(once[::4], hz / 4)
    far, fast = minimum_jerk(1.0, 9.0)
    assert smoothness.sparc(far[::2], fast / 2) == pytest.approx(short, abs=0.01)
    assert short == pytest.approx(-1.41, abs=0.02)  # as its authors have it for one minimum-jerk motion


def test_sparc_and_ldlj_are_lower_for_a_motion_that_stops_on_its_way():
    once, hz = minimum_jerk(2.0, 1.0)
    twice = np.concatenate([0.5 * once[::2], 0.5 + 0.5 * once[2::2]])
    for metric in (smoothness.sparc, smoothness.ldlj):
        assert metric(twice, hz) < metric(once, hz) - 0.1


def test_sparc_of_one_line_in_the_spectrum_is_no_number_of_a_division_by_nothing():
    assert smoothness.sparc(np.linspace(0, 1, 3)[:, None], 1e-3) <= 0


def test_amplitude_is_found_beside_a_constant_and_at_any_phase():
    t = np.arange(1000) / HZ
    for phase in (0.0, 1.0, 2.5):
        path = 3 + 0.25 * np.sin(2 * np.pi * 8 * t + phase)
        assert bandwidth.amplitude(path[:, None], 8) == pytest.approx(0.25)


def test_rise_is_read_between_ticks():
    share = np.array([0.0, 0.2, 0.6, 0.4])
    assert bandwidth.rise_s(share, 0.4) == pytest.approx(1.5 * feed.TICK_S)
    assert bandwidth.rise_s(share, 0.0) == 0.0
    assert np.isnan(bandwidth.rise_s(share, 0.7))


# --- the feed


def test_the_same_seed_is_the_same_feed_and_another_is_not():
    one, two, other = feed.disagreeing(3), feed.disagreeing(3), feed.disagreeing(3, seed=1)
    assert np.array_equal(one.chunks, two.chunks)
    assert not np.array_equal(one.chunks, other.chunks)


def test_chunks_are_off_by_what_is_said():
    fed = feed.disagreeing(chunks=200)
    due = np.arange(1, feed.HORIZON + 1) * feed.TICKS_PER_STEP
    starts = np.arange(200)[:, None] * feed.TICKS_PER_CHUNK
    inside = (starts + due < fed.ticks).all(axis=1)
    off = fed.chunks[inside] - fed.truth[(starts + due)[inside]]
    assert off.mean(axis=1).std() == pytest.approx(feed.OFFSET_RAD, rel=0.05)
    assert (off - off.mean(axis=1, keepdims=True)).std() == pytest.approx(feed.JITTER_RAD, rel=0.05)


# --- the methods


@pytest.mark.parametrize("controls", [8, 12, 25])
@pytest.mark.parametrize("degree", [0, 3, 4, 5])
def test_the_basis_is_scipys(degree, controls):
    u = np.linspace(0, 1, 60)
    k = spline.knots(degree, controls)
    assert spline.basis(u, degree, controls) == pytest.approx(
        BSpline.design_matrix(u, k, degree).toarray(), abs=1e-12
    )
    assert spline.basis(u, degree, controls).sum(axis=1) == pytest.approx(1.0)


@pytest.mark.parametrize("order", [1, 2])
def test_the_basis_derivatives_are_scipys(order):
    u = np.linspace(0, 0.999, 60)
    weights = np.random.default_rng(0).normal(size=12)
    expected = BSpline(spline.knots(5, 12), weights, 5).derivative(order)(u)
    assert spline.basis(u, 5, 12, order) @ weights == pytest.approx(expected, abs=1e-8)


def test_a_start_begins_with_the_motion_it_was_given():
    motion = np.array([[0.3, -1.2, 7.0], [0.0, 2.0, -40.0]])
    duration_s, controls = 0.9, 10
    weights = np.concatenate([spline.start_controls(motion, duration_s, 5, controls), np.ones((7, 2))])
    found = [
        spline.basis(np.zeros(1), 5, controls, order) @ weights / duration_s**order for order in range(3)
    ]
    assert np.stack(found, axis=2)[0] == pytest.approx(motion, abs=1e-9)


def test_naive_jumps_and_the_queue_does_not():
    fed = feed.disagreeing(chunks=3)
    jumps = [np.abs(method(fed).after - method(fed).before)[1:] for method in (linear.naive, linear.queue)]
    assert jumps[0][:, :, 0].max() > feed.OFFSET_RAD
    assert jumps[1][:, :, 0].max() == 0
    assert jumps[1][:, :, 1].max() > 0.5


@pytest.mark.parametrize("method", [linear.naive, linear.queue])
def test_without_averages_every_action_is_played_as_it_was_told(fed, method):
    assert np.abs(smoothness.deviation(method(fed).position, fed)).max() < 1e-12


def test_the_average_weighs_old_and_new():
    fed = feed.step(1.0, first=1, chunks=2)
    played = linear.average(fed).position[fed.swap_tick(1) :: feed.TICKS_PER_STEP, 0]
    both = feed.HORIZON - feed.EXECUTED - feed.DELAY
    assert played[1 : both + 1] == pytest.approx(0.7)
    assert played[both + 1 :] == pytest.approx(1.0)


def test_the_ensemble_weighs_the_oldest_most():
    fed = feed.step(1.0, first=1, chunks=2)
    played = linear.ensemble(fed).position[fed.swap_tick(1) + feed.TICKS_PER_STEP, 0]
    assert played == pytest.approx(np.exp(-0.01) / (1 + np.exp(-0.01)))


@pytest.mark.parametrize(("fixed", "continuous"), [(1, 1), (2, 2), (3, 3)])
def test_a_spline_start_is_continuous_to_its_order_and_no_further(fed, fixed, continuous):
    played = spline.joined(5, 12, fixed)(fed)
    jump = np.abs(played.after - played.before)[1:].max(axis=(0, 1))
    assert (jump[:continuous] < 1e-9).all()
    assert (jump[continuous:] > 0.1).all()


def test_a_decay_is_c2_and_ends_on_the_fit(fed):
    played = spline.decay(16, 0.1)(fed)
    assert np.abs(played.after - played.before).max() < 1e-9
    left = spline.quintic_decay(np.array([[0.1, -2.0, 30.0]]), 0.1)
    assert left[0] == pytest.approx(np.array([[0.1, -2.0, 30.0]]))
    assert np.abs(left[50:]).max() < 1e-12
    assert np.gradient(left[:50, 0, 0], feed.TICK_S)[1:-1] == pytest.approx(left[1:49, 0, 1], abs=0.05)


def test_what_is_reported_of_a_swap_is_what_is_played(fed):
    """The sides of a swap, against one-sided differences of the positions."""
    for method in (linear.queue, spline.joined(5, 12, 3), spline.decay(16, 0.2), spinal()):
        played = method(fed)
        for k in range(1, 8):
            swap = fed.swap_tick(k)
            slope = (played.position[swap + 1] - played.position[swap]) * HZ
            bend = 0.5 * played.after[k, :, 2] * feed.TICK_S
            assert slope == pytest.approx(played.after[k, :, 1] + bend, abs=0.02)


def test_few_control_points_are_a_low_pass_filter():
    """decoding.md's table of gains, for a whole second of chunk: the same order here."""
    few, many = spline.joined(5, 8, 3), spline.joined(5, 25, 3)
    assert bandwidth.gain(few, 5) < 0.2
    assert bandwidth.gain(many, 5) > 0.95


def test_straight_lines_have_the_gain_of_straight_lines():
    for hz in (5, 10):
        assert bandwidth.gain(linear.queue, hz) == pytest.approx(np.sinc(hz * feed.STEP_S) ** 2, abs=2e-3)


def test_the_benchmark_reproduces_what_is_published_of_it():
    """decoding.md, section 3, within what another draw of the offsets changes."""
    fed = feed.disagreeing()
    published = {
        "naive": 624_468,
        "lerobot_queue": 54_893,
        "lerobot_average": 43_314,
        "beast_c0": 41_785,
        "spline_c2_8": 20,
        "spline_c2_12": 110,
        "spline_c2_16": 336,
        "spline_c2_20": 723,
        "spline_c2_25": 1466,
        "decay_16_100ms": 383,
    }
    for name, expected in published.items():
        position = seam.PEERS[name](fed).position[fed.swap_tick(1) :]
        assert 0.75 < smoothness.rms(smoothness.jerk(position, HZ)) / expected < 1.1, name


# --- ours


def test_the_loop_is_continuous_by_its_commands_alone(ours, fed):
    jump, measured = relative_jump(ours)
    assert jump < 1e-9
    assert measured == len(fed.chunks)
    assert ours.counts["switches"] == len(fed.chunks)
    assert max(ours.counts["seam"].values()) < 1e-9
    assert ours.counts["starved_ticks"] == 0


def test_the_loop_is_the_same_every_time(ours, fed):
    assert np.array_equal(spinal()(fed).position, ours.position)


def test_the_loop_answers_one_tick_behind_the_swap(ours):
    assert ours.first_action_ms == pytest.approx(102.0)


def test_the_loop_never_leaves_the_limits_of_the_robot(fed):
    rough = replace(fed, chunks=np.where(np.arange(8)[:, None, None] % 2, 1.5, -1.5) + 0 * fed.chunks)
    played = spinal()(rough)
    assert played.limited.any()
    assert np.abs(smoothness.velocity(played.position, HZ)).max() <= 4.7 * (1 + 1e-6)
    assert np.abs(smoothness.acceleration(played.position, HZ)).max() <= 80 * (1 + 1e-6)
    assert np.abs(smoothness.jerk(played.position, HZ)).max() <= 4000 * (1 + 1e-3)


def test_settings_of_the_robot_file_count(ours, fed):
    assert not np.array_equal(spinal(smoothing=1.0)(fed).position, ours.position)
    assert not np.array_equal(spinal(prefix=False)(fed).position, ours.position)


WAYS = {
    **{name: {"interpolation": name} for name in ("smooth", "cubic", "quintic", "ruckig")},
    "beast": {"controls": 12},
}


@pytest.mark.parametrize("prefix", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_every_way_from_an_answer_to_a_path_goes_through_the_loop(way, prefix, fed):
    """The same signature, the same hand-off: no seam, no tick without a chunk, and the motion that was meant."""
    played = spinal(prefix=prefix, **WAYS[way])(fed)
    assert played.counts["switches"] == len(fed.chunks)
    assert max(played.counts["seam"].values()) < 1e-9
    assert played.counts["starved_ticks"] == 0
    jump, measured = relative_jump(played)
    assert not measured or jump < 1e-9
    first = fed.swap_tick(1)
    assert smoothness.rms(played.position[first:] - fed.truth[first:]) < 2 * feed.OFFSET_RAD


@pytest.mark.parametrize("order", [0, 1, 2])
def test_a_jump_behind_a_swap_is_seen_in_the_commands(ours, fed, order):
    """One part in ten million of a planted jump, in one joint, of each of the three."""
    motion = np.zeros((fed.ticks, fed.joints, 3))
    t = (np.arange(fed.ticks) - fed.swap_tick(2)) * feed.TICK_S
    wave = np.polynomial.Polynomial([0.3, 1.0, -2.0, 5.0, 40.0, -100.0])
    for column in range(3):
        motion[:, :, column] = wave.deriv(column)(t)[:, None]
    swap = fed.swap_tick(2)
    assert behind(motion, swap) == pytest.approx(motion[swap], abs=1e-10)
    motion[swap + 1 :, 4, order] += 1e-7
    found = behind(motion, swap)
    assert found[4, order] - motion[swap, 4, order] == pytest.approx(1e-7, rel=1e-3)
    after = ours.after.copy()
    after[3, 4, order] += 1e-7
    assert relative_jump(replace(ours, after=after))[0] > 1e-9


def test_a_loop_whose_commands_jump_at_a_swap_is_found_out(monkeypatch, fed):
    """The loop's own word for it does not help: it never sees the jump."""
    swap_ns = EPOCH_NS + (SETTLE_TICKS + fed.swap_tick(3)) * feed.TICK_NS

    class Jumping(segments.StateReader):
        def read(self):
            state = super().read()
            beyond = state.command_ns > swap_ns
            return replace(state, commanded=state.commanded + 1e-7 * beyond)

    monkeypatch.setattr(segments, "StateReader", Jumping)
    played = spinal(prefix=False)(fed)
    assert max(played.counts["seam"].values()) < 1e-9
    assert relative_jump(played)[0] == pytest.approx(1e-7, rel=0.01)


def test_swaps_under_the_limiter_are_left_out_and_none_left_is_no_pass(ours):
    after = ours.after.copy()
    after[3] += 1.0
    straight = ours.straight.copy()
    straight[3] = 0
    jump, measured = relative_jump(replace(ours, after=after, straight=straight))
    assert (jump < 1e-9, measured) == (True, len(straight) - 1)
    nothing, measured = relative_jump(replace(ours, straight=0 * straight))
    assert np.isnan(nothing)
    assert measured == 0


# --- the suite


@pytest.fixture(scope="module")
def trials(fed):
    chosen = ("naive", "lerobot_queue", "decay_25_100ms", "spline_c2_8")
    methods = {**{name: seam.PEERS[name] for name in chosen}, "spinal": spinal()}
    return {name: trial.run(name, method, fed) for name, method in methods.items()}


def verdicts(trials):
    return {metric.name: metric.verdict for metric in seam.metrics(trials)}


def test_each_promise_is_judged_and_each_peer_shown(trials):
    found = {metric.name: metric for metric in seam.metrics(trials)}
    judged = {name for name, metric in found.items() if metric.limit is not None}
    assert judged == {
        f"spinal.{name}"
        for name in (
            "gain_5hz",
            "gain_10hz",
            "overshoot",
            "seam.commands",
            "seam.loop",
            "jerk_below_queue",
            "starved_ticks",
            "first_action_ms",
        )
    }
    assert {"naive.rms_jerk", "naive.gain_10hz", "naive.rise_50_ms"} <= set(found)
    assert len(found) == len(seam.metrics(trials))


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"gain_5hz": 0.94}, "gain_5hz"),
        ({"gain_10hz": 0.69}, "gain_10hz"),
        ({"rms_jerk": 1e6}, "jerk_below_queue"),
    ],
)
def test_a_figure_over_its_limit_fails(trials, changes, name):
    good = replace(trials["spinal"], gain_5hz=1.0, gain_10hz=0.8, rms_jerk=1.0)
    assert verdicts({**trials, "spinal": good})[f"spinal.{name}"] is Verdict.PASS
    bad = replace(good, **changes)
    assert verdicts({**trials, "spinal": bad})[f"spinal.{name}"] is Verdict.FAIL


def test_late_starved_overshooting_or_jumping_fails(trials):
    ours = trials["spinal"]
    late = replace(ours.played, first_action_ms=104.0)
    starved = replace(ours.played, counts={**ours.played.counts, "starved_ticks": 1})
    jumping = replace(ours.played, after=ours.played.after + 1e-6)
    for played, name in ((late, "first_action_ms"), (starved, "starved_ticks"), (jumping, "seam.commands")):
        found = verdicts({**trials, "spinal": replace(ours, played=played)})
        assert found[f"spinal.{name}"] is Verdict.FAIL
        assert verdicts(trials)[f"spinal.{name}"] is Verdict.PASS
    over = replace(ours, step=replace(ours.step, overshoot=0.16))
    assert verdicts({**trials, "spinal": over})["spinal.overshoot"] is Verdict.FAIL


def test_jerk_stands_beside_the_best_that_keeps_as_much(trials):
    """N=8 has far less jerk, and is no floor: it has lost the motion."""
    as_much = trials["decay_25_100ms"].gain_10hz
    ours = replace(trials["spinal"], gain_10hz=as_much)
    assert trials["spline_c2_8"].rms_jerk < ours.rms_jerk
    given = {**trials, "spinal": ours}
    (metric,) = (one for one in seam.metrics(given) if one.name == "spinal.rms_jerk")
    assert metric.floor == trials["decay_25_100ms"].rms_jerk
    assert not trials["spline_c2_8"].keeps_as_much_as(ours)
    faster = replace(ours, gain_10hz=2.0, step=replace(ours.step, rise_50_ms=0.1))
    (metric,) = (one for one in seam.metrics({**trials, "spinal": faster}) if one.name == "spinal.rms_jerk")
    assert (metric.floor, metric.why) == (None, "no other method keeps as much bandwidth")


def test_the_front_has_a_point_for_each_method(trials):
    curve = curves.front(trials, {"naive": "straight", "spline_c2_8": "straight"})
    assert set(curve.lines) == {"straight", "lerobot_queue", "decay_25_100ms", "spinal"}
    assert curve.x == sorted(curve.x)
    assert {len(line) for line in curve.lines.values()} == {len(curve.x)}
    assert sum(value is not None for line in curve.lines.values() for value in line) == len(trials)


def test_the_seam_is_drawn_where_the_chunks_are_furthest_apart(trials, fed):
    position, velocity, acceleration = curves.seam([trials["naive"], trials["spinal"]], fed)
    assert (position.x[0], position.x[-1]) == pytest.approx((-100.0, 300.0))
    at = position.x.index(0.0)
    jump = position.lines["naive"][at + 1] - position.lines["naive"][at]
    others = np.abs(np.diff(trials["naive"].played.position, axis=0)[fed.swap_tick(1) :])
    assert abs(jump) > 0.8 * others.max()
    assert velocity.lines["naive"][at + 1] == pytest.approx(jump * HZ)
    assert abs(acceleration.lines["naive"][at + 1]) > 100 * max(
        abs(value) for value in acceleration.lines["spinal"]
    )


def test_the_whole_suite_says_its_table():
    said = []
    measured = seam.measure(Bench(False, 0.0, Namespace(), said.append))
    (text,) = said
    rows = text.splitlines()
    assert len({row.count("|") for row in rows}) == 1
    names = {row.split(" | ")[0].removeprefix("| ") for row in rows[2:]}
    assert {"naive", "lerobot_queue", "spinal", *seam.SETTINGS} <= names
    assert ("ruckig_400" in names) == jerk_limited.PRESENT
    assert bool(measured.notes) != jerk_limited.PRESENT
    assert len({metric.name for metric in measured.metrics}) == len(measured.metrics)
    assert len({curve.name for curve in measured.curves}) == len(measured.curves) == 6
    for curve in measured.curves:
        assert all(len(line) == len(curve.x) for line in curve.lines.values())


def test_without_ruckig_it_says_so(monkeypatch):
    monkeypatch.setattr(jerk_limited, "PRESENT", False)
    monkeypatch.setattr(
        seam, "PEERS", {name: seam.PEERS[name] for name in {"naive", *seam.SHOWN} & set(seam.PEERS)}
    )
    monkeypatch.setattr(seam, "SETTINGS", {})
    said = []
    measured = seam.measure(Bench(True, 0.0, Namespace(), said.append))
    assert said == [], "the gate has no use for the table"
    assert measured.notes == ["ruckig is not installed, so it is not compared: pip install 'spinal[bench]'"]


@pytest.mark.skipif(not jerk_limited.PRESENT, reason="ruckig is optional")
def test_ruckig_stays_inside_its_limits(fed):
    played = jerk_limited.ruckig(15.0, 400.0)(fed)
    assert isinstance(played, Played)
    assert np.abs(smoothness.jerk(played.position, HZ)).max() <= 400 * 1.001
    assert np.abs(smoothness.acceleration(played.position, HZ)).max() <= 15 * 1.001
