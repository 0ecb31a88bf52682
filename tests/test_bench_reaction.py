"""The reaction suite: what it takes a reaction apart into, on stamps made by hand and on a live robot."""

import itertools
import math
from argparse import Namespace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from spinal.bench.bench import Bench
from spinal.bench.live import reaction_stages, supervised_robot
from spinal.bench.live.reaction_run import Run, follow
from spinal.bench.live.reaction_stages import KEPT, STAGES, ReactionStages, Switch, share_of, stages_of
from spinal.bench.result import Verdict
from spinal.bench.suites import BY_NAME, reaction
from spinal.native import layout
from spinal.native.histogram import UPPER_EDGES_NS
from spinal.runtime.cli.meter import ReactionMeter
from spinal.runtime.config import load_robot
from spinal.runtime.errors import ConfigError
from spinal.runtime.policy.process import KEPT_STEPS
from spinal.runtime.segments import REPORT_BYTES, PoseSample, StepStamps

US, MS = 1000, 1_000_000
POLICY_NS, TICK_NS = 20 * MS, 4 * MS
EPOCH_NS = 1000 * MS
LATE, OBSERVE, RUN, FIT, PUBLISH = 100 * US, 300 * US, 700 * US, 200 * US, 10 * US
LOOP_LATE, READ, COMPUTE, WRITE = 30 * US, 900 * US, 5 * US, 3 * US
SENSOR = 10 * MS


def step_at(due_ns, late=LATE, run=RUN, held=0):
    observed = due_ns + late
    began = observed + OBSERVE
    ended = began + run
    fitted = ended + FIT
    return StepStamps(due_ns, observed, began, ended, fitted, fitted + held, fitted + held + PUBLISH)


def switch_at(tick_ns, step, late=LOOP_LATE, read=READ):
    woke = tick_ns + late
    computed = woke + read + COMPUTE
    return Switch(
        tick_ns, woke, woke + read, computed, computed + WRITE, step.observed_ns, step.observed_ns - SENSOR
    )


def share(event_ns, tick_ns=EPOCH_NS + 4 * MS, held_back=False, **changes):
    of_switch = {name: changes.pop(name) for name in ("late_loop", "read") if name in changes}
    step = step_at(EPOCH_NS, **changes)
    switch = switch_at(
        tick_ns, step, late=of_switch.get("late_loop", LOOP_LATE), read=of_switch.get("read", READ)
    )
    return share_of(event_ns, switch, step, 0, POLICY_NS, TICK_NS, held_back)


OWN = LATE + OBSERVE + FIT + PUBLISH + LOOP_LATE + COMPUTE
EVENT_NS = EPOCH_NS - 7 * MS


def test_own_is_what_neither_sampling_nor_model_nor_bus_takes():
    found = share(EVENT_NS)
    assert found.own_ns == OWN
    assert found.total_ns == 7 * MS + 4 * MS + LOOP_LATE + READ + COMPUTE + WRITE


@pytest.mark.parametrize(
    ("changes", "more"),
    [
        ({"late": LATE + 500 * US}, 500 * US),  # the policy wakes late
        ({"run": RUN + 800 * US}, 0),  # the model is slow: its own affair
        ({"read": READ + 500 * US}, 0),  # so is the bus's
        ({"late_loop": LOOP_LATE + 300 * US}, 300 * US),
        ({"tick_ns": EPOCH_NS + 8 * MS}, 4 * MS),  # a tick that could have taken it did not
        ({"held": 400 * US}, 400 * US),  # a gap that nobody asked for
        ({"held": 400 * US, "held_back": True}, 0),
    ],
)
def test_each_delay_falls_to_whom_it_belongs(changes, more):
    assert share(EVENT_NS, **changes).own_ns == OWN + more


def test_a_policy_step_that_was_skipped_is_the_runtimes():
    step = step_at(EPOCH_NS)
    switch = switch_at(EPOCH_NS + 4 * MS, step)
    before_the_slot_before = EPOCH_NS - POLICY_NS - 1 * MS
    assert share_of(before_the_slot_before, switch, step, 0, POLICY_NS, TICK_NS).own_ns == OWN + POLICY_NS


def test_a_policy_step_that_was_skipped_while_the_model_ran_is_the_models():
    """A run of 35 ms, then the slot that is overdue at once; an event early in that run waits for its end."""
    first = step_at(EPOCH_NS, run=35 * MS)
    second = step_at(EPOCH_NS + POLICY_NS, late=first.visible_ns - EPOCH_NS - POLICY_NS, run=35 * MS)
    stages = ReactionStages(POLICY_NS, TICK_NS)
    stages.take_steps([first, second, second])
    step, free_ns = stages._steps[second.observed_ns]
    assert free_ns == EPOCH_NS + LATE + 35 * MS
    switch = switch_at(-(-step.visible_ns // TICK_NS) * TICK_NS, step)
    found = share_of(EPOCH_NS + 1 * MS, switch, step, free_ns, POLICY_NS, TICK_NS)
    before = OBSERVE + FIT + PUBLISH
    assert found.own_ns == before + OBSERVE + FIT + PUBLISH + LOOP_LATE + COMPUTE


def test_an_event_while_the_policy_is_late_waits_for_nothing():
    found = share(EPOCH_NS + LATE // 2)
    assert found.own_ns == OWN - LATE
    assert found.floor_ns == found.total_ns - found.own_ns


def test_what_is_handed_over_while_the_bus_is_read_is_taken_at_once():
    step = step_at(EPOCH_NS)
    switch = switch_at(step.visible_ns // TICK_NS * TICK_NS + 0, step, read=step.visible_ns % TICK_NS + READ)
    assert switch.woke_ns < step.visible_ns < switch.read_ns
    found = share_of(EVENT_NS, switch, step, 0, POLICY_NS, TICK_NS)
    assert found.own_ns == LATE + OBSERVE + FIT + PUBLISH + COMPUTE


def test_stages_follow_each_other_and_add_up():
    step = step_at(EPOCH_NS)
    switch = switch_at(EPOCH_NS + 4 * MS, step)
    took = dict(zip(STAGES, stages_of(switch, step, switch.sensed_ns + 9 * MS), strict=True))
    assert sum(took.values()) == switch.written_ns - switch.sensed_ns
    assert took["sensor"] == 9 * MS
    assert (took["observe"], took["inference"], took["decode and fit"]) == (OBSERVE, RUN, FIT)
    assert (took["bus read"], took["hand off, sample, limit"], took["bus write"]) == (READ, COMPUTE, WRITE)


def live_stamps(ticks=5000, mode=layout.MODE_RUNNING):
    """A robot whose answers are in force with the first tick after they are visible."""
    records = np.zeros(ticks, layout.record_dtype(2))
    tick_ns = EPOCH_NS + TICK_NS * np.arange(ticks)
    steps = [step_at(EPOCH_NS - POLICY_NS + POLICY_NS * n) for n in range(ticks * TICK_NS // POLICY_NS + 1)]
    visible = np.array([step.visible_ns for step in steps])
    newest = np.searchsorted(visible, tick_ns, side="right") - 1
    records["tick_ns"] = tick_ns
    records["woke_ns"] = tick_ns + LOOP_LATE
    records["read_ns"] = records["woke_ns"] + READ
    records["computed_ns"] = records["read_ns"] + COMPUTE
    records["written_ns"] = records["computed_ns"] + WRITE
    records["mode"] = mode
    records["observation_stamp_ns"] = [steps[n].observed_ns for n in newest]
    records["sensor_stamp_ns"] = records["observation_stamp_ns"] - SENSOR
    samples = [PoseSample(step.observed_ns - SENSOR, step.observed_ns - 1 * MS, 0, 0, 0, 0) for step in steps]
    return records, steps, samples


def taken(records, steps, samples, parts=50):
    """As they come: records in parts, steps and samples a part behind."""
    stages = ReactionStages(POLICY_NS, TICK_NS)
    for part in range(parts):
        stages.take_records(np.array_split(records, parts)[part])
        stages.settle()
        stages.take_steps(list(np.array_split(np.array(steps), parts)[part].tolist()))
        stages.take_samples(samples[len(samples) * part // parts : len(samples) * (part + 1) // parts])
    stages.settle()
    return stages


def test_it_is_the_reaction_that_the_demo_reports():
    records, steps, samples = live_stamps()
    stages, demo = taken(records, steps, samples), ReactionMeter()
    demo.take(records)
    assert stages.in_force.summary() == demo.in_force.summary()
    assert stages.with_sensor.summary() == demo.with_sensor.summary()
    assert stages.in_force.total > 190


def test_every_event_is_taken_apart_and_own_is_the_same_for_all():
    stages = taken(*live_stamps())
    assert stages.own.total == stages.floor.total == stages.in_force.total
    assert abs(stages.own.quantile_ns(0.5) - OWN) < 0.04 * OWN
    assert stages.own.max_ns == OWN
    assert all(histogram.total > 900 for histogram in stages.stages)


def test_a_robot_that_does_not_run_has_no_events_and_no_first_action():
    stages = taken(*live_stamps(mode=layout.MODE_HOLDING))
    assert stages.in_force.total == 0
    assert stages.first_action_ns is None


def test_an_event_before_a_hold_is_not_answered_behind_it():
    records, steps, samples = live_stamps()
    for begin in range(1003, 4000, 307):
        held = slice(begin, begin + 200)
        records["mode"][held] = layout.MODE_HOLDING
        for name in ("observation_stamp_ns", "sensor_stamp_ns"):
            records[name][held] = records[name][begin - 1]
    stages = taken(records, steps, samples)
    assert stages.in_force.max_ns < POLICY_NS + 2 * TICK_NS
    assert stages.with_sensor.max_ns < POLICY_NS + 2 * TICK_NS + SENSOR


def test_the_first_action_counts_from_permission():
    records, steps, samples = live_stamps(200)
    records["mode"][:50] = layout.MODE_READY
    records["conditions"][:30] = 4 | 1  # an order has expired
    records["conditions"][30:50] = 1  # only a trajectory is missing
    stages = taken(records, steps, samples, parts=4)
    assert stages.first_action_ns == records["written_ns"][50] - records["tick_ns"][30]


def test_memory_is_bounded_when_the_policy_reports_nothing():
    records, _, _ = live_stamps(20_000)
    stages = ReactionStages(POLICY_NS, TICK_NS)
    for part in np.array_split(records, 10):
        stages.take_records(part)
        stages.settle()
    assert stages.own.total == 0
    assert len(stages._switches) == KEPT
    stages.take_steps([step_at(n * POLICY_NS) for n in range(3 * KEPT)])
    assert len(stages._steps) == KEPT


def test_own_is_judged_and_named():
    stages = taken(*live_stamps())
    found = {metric.name: metric for metric in reaction.of_reaction(stages, "")}
    assert found["own_ms.p50"].verdict is Verdict.PASS
    assert found["own_ms.p50"].value == pytest.approx(OWN / 1e6, rel=0.04)
    assert found["reaction_ms.p99"].floor < found["reaction_ms.p99"].value
    assert {"reaction_ms.p50", "with_sensor_ms.p99", "first_action_ms"} <= set(found)


def test_a_slow_runtime_fails_and_on_a_disturbed_machine_nobody_can_tell():
    records, steps, samples = live_stamps()
    slow = [step._replace(due_ns=step.due_ns - 3 * MS) for step in steps]
    for disturbed, verdict in (("", Verdict.FAIL), ("stolen", Verdict.INCONCLUSIVE)):
        found = {m.name: m for m in reaction.of_reaction(taken(records, slow, samples), disturbed)}
        assert found["own_ms.p50"].verdict is verdict


def test_no_event_is_no_pass():
    found = {m.name: m for m in reaction.of_reaction(ReactionStages(POLICY_NS, TICK_NS), "")}
    assert found["own_ms.p50"].verdict is Verdict.FAIL
    assert found["first_action_ms"].verdict is Verdict.ABSENT


def test_the_waterfall_is_of_medians_and_has_no_gap():
    shown = reaction.waterfall(taken(*live_stamps())).stages
    assert [stage.name for stage in shown] == [name for name in STAGES if name != "hold back"]
    assert all(a.end_us == b.begin_us for a, b in itertools.pairwise(shown))
    assert shown[-1].end_us == pytest.approx(SENSOR / 1e3 + (4 * MS + READ) / 1e3, rel=0.05)


def test_without_a_simulator_it_is_absent(monkeypatch):
    monkeypatch.setattr(supervised_robot, "find_spec", lambda name: None)
    found = reaction.measure(Bench(quick=True))
    assert [metric.verdict for metric in found.metrics] == [Verdict.ABSENT]
    assert "mujoco" in found.notes[0]


def test_the_robot_at_another_rate(tmp_path):
    robot = load_robot(supervised_robot.robot_at(100, tmp_path))
    shipped = load_robot(supervised_robot.SHIPPED)
    assert robot.policy.hz == 100
    assert Path(robot.policy.model).samefile(shipped.policy.model)
    assert robot.control == shipped.control
    with pytest.raises(ConfigError):
        supervised_robot.robot_at(100_000, tmp_path)


def test_the_report_of_the_policy_has_room_for_its_steps():
    now_ns = (1 << 62) + 1
    packed = msgspec.msgpack.encode([StepStamps(*[now_ns] * len(StepStamps._fields))] * KEPT_STEPS)
    assert len(packed) < REPORT_BYTES / 2


def test_a_live_run_is_taken_apart():
    if supervised_robot.absence():
        pytest.skip(supervised_robot.absence())
    with supervised_robot.supervised_robot(lambda line: None) as live:
        run = follow(live, 2.5, 0.0)
    assert isinstance(run, Run)
    assert run.stages.own.total > 0
    assert run.stages.own.total == run.stages.floor.total
    assert run.stages.own.total + run.stages.unsettled == run.stages.in_force.total
    assert run.stages.floor.max_ns < run.stages.in_force.max_ns
    assert all(h.total > 0 for h in run.stages.stages)
    assert run.late
    assert run.late[0].shape == (len(UPPER_EDGES_NS),)
    names = {metric.name: metric for metric in reaction.of_run(run, "")}
    assert {"starved_ticks", "missed_ticks", "picked", "seam", "restarts"} <= set(names)
    assert names["seam"].value < 1e-9


def test_the_options_have_defaults_that_measure():
    options = {o.flag.removeprefix("--").replace("-", "_"): o.default for o in BY_NAME["reaction"].options}
    args = Namespace(**options)
    assert (args.load, args.hz, args.delay_ms) == (0, None, 0.0)
    assert math.isclose(args.answer_ms, 4.0)
    assert reaction_stages.EVENT_PERIOD_NS == 100 * MS
