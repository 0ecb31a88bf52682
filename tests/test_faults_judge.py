"""Verdicts on faults: what is safe passes, and each way not to be is found."""

from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest

from spinal.bench.faults import table
from spinal.bench.faults.families import FAMILIES
from spinal.bench.faults.fault import CARRIES_ON, Fault, Promise
from spinal.bench.faults.harness import Sign
from spinal.bench.faults.judge import Evidence, Row, judge
from spinal.bench.faults.motion import Frames
from spinal.bench.faults.run import chosen, judge_misses
from spinal.bench.faults.soak import HELD_UP, Soak, servos_held_up
from spinal.bench.live.supervised_robot import SHIPPED
from spinal.native import layout
from spinal.native.guard import TakeOver
from spinal.native.limiter import Limiter
from spinal.runtime.config.limits import command_limits, emergency_limits
from spinal.runtime.config.load import load_robot
from spinal.runtime.errors import BenchError

JOINTS = load_robot(SHIPPED).joints
DT_NS, DT_S, MS = 4_000_000, 0.004, 1_000_000
BEGAN, TICKS = 100, 400
CLEAN = np.array([12.0, 47.0])
HOLDS = Promise(("holding",), react_ms=50.0)
RUNNING, HOLDING, STOPPED = layout.MODE_RUNNING, layout.MODE_HOLDING, layout.MODE_STOPPED


def fault(promise=HOLDS, **words):
    return Fault("some-fault", "something happens", lambda robot: nullcontext(0), promise, **words)


def evidence(promise=HOLDS, held=(105, 250), mode=HOLDING, condition=layout.Condition.JOINT_SILENT, **words):
    """A robot that moves, holds in some ticks, and moves again; the fault comes behind tick BEGAN."""
    limits = command_limits(JOINTS[0])
    limiter, position = Limiter(limits, DT_S), []
    records = np.zeros(TICKS, layout.record_dtype(len(JOINTS)))
    for tick in range(TICKS):
        if held[0] <= tick < held[1]:
            limiter.brake()
            records["mode"][tick] = mode
            records["conditions"][tick] = condition
        else:
            limiter.step(1.9 if tick // 60 % 2 else -1.9)
            records["mode"][tick] = RUNNING
        position.append(limiter.position)
    records["tick"] = np.arange(TICKS)
    records["tick_ns"] = np.arange(TICKS) * DT_NS
    records["planned_ns"] = records["tick_ns"] + MS
    records["written_ns"] = records["tick_ns"] + 2 * MS
    records["joints"]["applied"][:, 0] = position
    counts = np.tile([joint.count_at_zero for joint in JOINTS], (TICKS, 1)).astype(np.int64)
    counts[:, 0] += np.rint(np.array(position) * JOINTS[0].counts_per_unit).astype(np.int64)
    frames = Frames(records["written_ns"] + MS // 2, counts, np.ones(counts.shape, bool))
    began_ns = BEGAN * DT_NS + MS
    settings = {"lifted_ns": began_ns, "ended_ns": int(frames.arrived_ns[-1]) + MS, "recovery": "itself"}
    settings |= {name: words.pop(name) for name in list(words) if name in Evidence.__dataclass_fields__}
    return Evidence(
        fault=fault(promise, **words),
        joints=JOINTS,
        period_ns=DT_NS,
        began_ns=began_ns,
        frames=frames,
        records=records,
        **settings,
    )


def test_a_hold_is_safe_and_its_figures_are_right():
    row = judge(evidence(), CLEAN)
    assert row.safe, row.why
    assert row.detected_ms == 5 * 4
    assert row.detected_by == "joint_silent"
    assert row.first_safe_frame_ms == 5 * 4 + 1
    assert 0 < row.brake_ms <= row.brake_limit_ms == pytest.approx(98.75)
    assert row.at_rest_ms == pytest.approx(row.first_safe_frame_ms + row.brake_ms)
    assert row.recovery_ms == (250 - 100) * 4 - 1
    assert row.state == "holding"
    assert 0 < row.peak_step_ratio <= 1.1


def test_one_that_carries_on_was_never_out_of_control():
    row = judge(evidence(CARRIES_ON, held=(0, 0)), CLEAN)
    assert row.safe, row.why
    assert (row.state, row.first_safe_frame_ms, row.at_rest_ms) == ("running", 0.0, None)


def test_the_supervisors_word_and_a_counter_show_it_too():
    words = [Sign(0, "policy ended long ago"), Sign(BEGAN * DT_NS + 3 * MS, "policy ended by signal SIGKILL")]
    assert judge(evidence(words=words), CLEAN).detected_ms == 2
    assert judge(evidence(words=[replace(words[1], what="planner: pick accepted")]), CLEAN).detected_ms == 20
    signs = [Sign(BEGAN * DT_NS + 2 * MS, "missing replies")]
    assert judge(evidence(signs=signs), CLEAN).detected_ms == 20, "not a sign of this fault"
    assert judge(evidence(signs=signs, counters=("missing replies",)), CLEAN).detected_ms == 1


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        (evidence(held=(0, 0)), "came to be running"),
        (evidence(CARRIES_ON), "came to be holding"),
        (evidence(held=(120, 250)), "promised within 50"),
        (evidence(mode=STOPPED), "came to be stopped"),
        (evidence(latched=1 << 20, recovery="never"), "latched, and should not be"),
        (evidence(recovery="never"), "recovers by never"),
        (
            evidence(Promise(("holding",), 50.0, latched=True, recovery="a person")),
            "not latched, and should be",
        ),
    ],
)
def test_each_broken_promise_is_named(seen, why):
    row = judge(seen, CLEAN)
    assert not row.safe
    assert why in "; ".join(row.why)


def test_a_jump_is_not_safe_whoever_made_it():
    seen = evidence()
    seen.frames.counts[300, 2] += 40
    row = judge(seen, CLEAN)
    assert not row.safe
    assert row.peak_step_ratio == pytest.approx(40 / 12)
    assert "a step of 3.33 times a clean one" in row.why
    assert any(why.startswith("over a limit: elbow_flex") for why in row.why)


def test_a_record_over_a_limit_is_not_safe_though_counts_hide_it():
    seen = evidence()
    seen.records["joints"]["applied"][300, 1] += 1e-3  # less than a count, and 4 times the jerk limit
    assert any("shoulder_lift" in why and "jerk" in why for why in judge(seen, CLEAN).why)


def test_a_servo_without_torque_is_not_safe_unless_that_is_the_fault():
    seen = evidence()
    seen.frames.torque[150, 3] = False
    assert "a servo has lost its torque" in judge(seen, CLEAN).why
    told = replace(seen, fault=fault(replace(HOLDS, keeps_torque=False)))
    assert judge(told, CLEAN).safe


def creeping(ticks):
    """It holds for a second, and creeps on for some ticks of it at three counts a tick."""
    seen = evidence(held=(105, 355))
    seen.frames.counts[105:, 0] += np.minimum(np.arange(TICKS - 105) * 3, ticks * 3)
    return seen


def test_a_brake_that_takes_longer_than_the_limits_need_is_not_safe():
    assert any(
        "ms from the first safe frame to rest, 99 allowed" in why for why in judge(creeping(60), CLEAN).why
    )
    assert "it did not come to rest" in judge(creeping(300), CLEAN).why


def test_limits_of_an_emergency_are_for_a_stop_alone():
    for mode, promise, safe in ((STOPPED, Promise(("stopped",), 50.0), True), (HOLDING, HOLDS, False)):
        seen = evidence(promise, mode=mode)
        limits = emergency_limits(JOINTS[0])
        limiter = Limiter(limits, DT_S)
        before = seen.records["joints"]["applied"][:105, 0]
        velocity = np.diff(before)[-1] / DT_S
        acceleration = np.diff(before, 2)[-1] / DT_S**2
        limiter.push(before[-1], velocity, acceleration)
        brake = []
        for _ in range(TICKS - 105):
            limiter.brake()
            brake.append(limiter.position)
        applied = seen.records["joints"]["applied"]
        applied[105:, 0] = brake
        seen.records["mode"][105:] = mode
        seen.frames.counts[:, 0] = JOINTS[0].count_at_zero + np.rint(
            applied[:, 0] * JOINTS[0].counts_per_unit
        )
        assert judge(seen, CLEAN).safe == safe, judge(seen, CLEAN).why


def test_what_a_new_arm_does_is_not_held_against_the_old_one():
    seen = evidence()
    seen.frames.arrived_ns[300:] += 10**9
    seen.frames.counts[320:, 0] += 500
    assert not judge(seen, CLEAN).safe
    gone = replace(seen, fault=fault(Promise(("off",), gap_ms=None), arm_is_new=True))
    assert judge(gone, CLEAN).safe, judge(gone, CLEAN).why


def test_a_new_controller_that_is_not_armed_yet_is_no_sign():
    seen = evidence(CARRIES_ON, held=(0, 0))
    seen.records["conditions"][110] = layout.Condition.NOT_ARMED
    assert judge(seen, CLEAN).detected_ms is None


def test_more_missed_ticks_than_in_any_window_are_not_safe():
    for behind, safe in ((3, True), (4, False)):
        row = Row("some-fault", True, misses={"behind": behind, "windows": 20, "mean": 0.5, "most": 3})
        judge_misses(row)
        assert row.safe == safe


def test_clean_steps_are_the_p999():
    seen = Soak()
    seen.steps[3, 0], seen.steps[12, 0], seen.steps[40, 0] = 9000, 995, 5
    seen.steps[47, 1] = 10_000
    assert seen.clean_steps.tolist() == [12.0, 47.0]
    seen.risen = {"following": 2, "late": 3, "estop": 0}
    assert seen.false_trips == {"following": 2}
    seen.risen["joint_silent"], seen.holds = 2, {"joint_silent+late": 1, "joint_silent": 1}
    assert seen.false_trips == {"following": 2, "joint_silent": 1}
    seen.holds[f"joint_silent+{HELD_UP}"] = 1
    assert seen.false_trips == {"following": 2}


@pytest.mark.parametrize(
    ("ticks", "frames", "held_up"),
    [
        (range(0, 48, 4), range(0, 48, 4), False),  # everything arrived: the replies were lost
        (range(0, 48, 4), (2, 34, 38, 42), True),
        (range(0, 48, 4), (), True),
        (range(0, 20, 4), (), False),  # the loop stood still itself
        (range(0, 48, 4), (20, 40), False),
    ],
)
def test_servos_that_took_nothing_were_held_up(ticks, frames, held_up):
    tick_ns, arrived_ns = (np.array([t * MS for t in times], np.int64) for times in (ticks, frames))
    assert servos_held_up(tick_ns, arrived_ns, 0, 48 * MS, 4 * MS) == held_up


def dead_controller(brake_frames=True):
    """Nothing more is recorded behind the fault; the guard's frames alone reach the servos, 20 ms behind it."""
    seen = evidence(held=(BEGAN + 1, TICKS))
    arrived_ns = seen.frames.arrived_ns.copy()
    arrived_ns[BEGAN + 1 :] += 20 * MS
    frames = replace(seen.frames, arrived_ns=arrived_ns)
    at_ns = [int(arrived_ns[tick]) - MS // 10 for tick in (BEGAN + 1, BEGAN + 2, BEGAN + 12)]
    deed = TakeOver(
        "died", "braked", at_ns[0], 0, 0, None, at_ns[0], at_ns[0], at_ns[1], at_ns[2], 10, 0, 0.01
    )
    return replace(
        seen,
        frames=frames if brake_frames else frames.part(slice(0, BEGAN + 1)),
        records=seen.records[: BEGAN + 1],
        taken_over=deed,
    )


def test_the_guards_brake_counts_from_what_reached_the_servos():
    row = judge(dead_controller(), CLEAN)
    assert row.safe, row.why
    assert (row.state, row.detected_by) == ("holding", "the guard: died")
    assert 20 <= row.first_safe_frame_ms < 30
    assert row.brake_limit_ms == pytest.approx(51.2, abs=0.1)


def test_a_guard_whose_frames_never_arrive_has_not_braked():
    row = judge(dead_controller(brake_frames=False), CLEAN)
    assert not row.safe
    assert row.first_safe_frame_ms is None
    assert any("no command for" in why for why in row.why)


def test_nobody_takes_over_a_dead_controller():
    row = judge(replace(dead_controller(brake_frames=False), taken_over=None), CLEAN)
    assert not row.safe


def sample_rows():
    return [
        ("processes", [judge(evidence(), CLEAN), judge(evidence(held=(0, 0)), CLEAN)]),
        ("host", [Row("clock-forward", False, what="the clock jumps", skipped="it cannot be set")]),
    ]


def test_the_table_fits_a_terminal_and_says_why():
    rows = sample_rows()
    rows[0][1][0].name = "controller-stopped-500ms"
    lines = table.of_rows(rows)
    assert max(len(line) for line in [*lines, *table.NOTES]) <= 110
    text = "\n".join(lines)
    assert "it came to be running" in text
    assert "skipped: it cannot be set" in text
    assert "UNSAFE" in text


def test_the_summary_counts():
    rows = [row for _, rows in sample_rows() for row in rows]
    assert table.summary(rows) == "2 faults, 1 NOT SAFE: some-fault, 1 skipped"
    assert "fewer than 300 %" in table.summary(rows[:1])


def test_markdown_has_a_row_each_and_as_many_cells():
    lines = table.markdown(sample_rows())
    assert len(lines) == 4
    assert len({line.count("|") for line in lines}) == 1


def test_faults_have_names_of_their_own_and_are_found():
    names = [fault.name for faults in FAMILIES.values() for fault in faults]
    assert len(names) == len(set(names)) >= 60
    assert [f.name for _, faults in chosen(["reply-lost", "pose-off"], quick=False) for f in faults] == [
        "reply-lost",
        "pose-off",
    ]
    assert chosen(["sensor"], quick=True) == [("sensor", FAMILIES["sensor"])]
    assert 10 <= sum(len(faults) for _, faults in chosen([], quick=True)) <= 20
    with pytest.raises(BenchError, match="is no fault") as raised:
        chosen(["controller-kiled"], quick=False)
    assert "did you mean controller-killed?" in raised.value.hint
