"""Where the worst ticks' time went: the arithmetic, the evidence, the causes, and how they are shown."""

import re

import msgspec
import numpy as np
import pytest
from rich.console import Console

from spinal.bench.profile import picture, view
from spinal.bench.profile.causes import Case, Cause, attribute, duration
from spinal.bench.profile.evidence import COARSEST_NS, Sample, of_samples
from spinal.bench.profile.findings import Profile, profile
from spinal.bench.profile.ticks import STAGES, of_records, usual_ns, worst
from spinal.bench.profile.watch import HEAD, Seen

US, MS, S = 1_000, 1_000_000, 1_000_000_000
PERIOD_NS = 4 * MS
BEGAN_NS = 100 * S
BUDGET_NS = 2 * MS
USUAL = {"wake": 50 * US, "read": 900 * US, "plan": US, "compute": 2 * US, "write": 20 * US}
LATE = 60
"""The tick in the middle of a synthetic watch that something happens to."""


def heads(count=120, period_ns=PERIOD_NS, **long):
    """A loop that ticks in the usual way, and whose tick LATE takes ``long`` in a stage: ns."""
    made = np.zeros(count, HEAD)
    slot_ns, free_ns = BEGAN_NS, 0
    for row, record in enumerate(made):
        took = {**USUAL, **(long if row == LATE else {})}
        woke_ns = max(slot_ns, free_ns) + took["wake"]
        slot_ns += (woke_ns - slot_ns) // period_ns * period_ns
        record["tick"], record["tick_ns"], record["woke_ns"] = row, slot_ns, woke_ns
        stamp_ns = woke_ns
        for stage, name in (
            ("read", "read"),
            ("plan", "planned"),
            ("compute", "computed"),
            ("write", "written"),
        ):
            stamp_ns += took[stage]
            record[f"{name}_ns"] = stamp_ns
        record["switched"] = row % 5 == 0
        slot_ns, free_ns = slot_ns + period_ns, stamp_ns
    return made


def stage(made, name, row=LATE):
    """From when to when a tick was in a stage."""
    ticks = of_records(made)
    at = int(np.flatnonzero(ticks.number == row)[0])
    return tuple(ticks.edge_ns[at, STAGES.index(name) :][:2])


def sampled(until_ns, thread=7, every_ns=10 * MS, **rises):
    """Samples on time until then; ``rises``: field -> (instant, by how much)."""
    samples = []
    for due_ns in range(BEGAN_NS - 30 * MS, until_ns + 50 * MS, every_ns):
        counted = {
            name: amount if due_ns >= instant_ns else 0 for name, (instant_ns, amount) in rises.items()
        }
        fields = {**dict.fromkeys(Sample._fields, 0), **counted}
        fields |= {
            "due_ns": due_ns,
            "began_ns": due_ns + 60 * US,
            "done_ns": due_ns + 90 * US,
            "thread": thread,
        }
        samples.append(Sample(**fields))
    return samples


def case_of(made, samples, missing=()):
    ticks = of_records(made)
    return Case(ticks, usual_ns(ticks), of_samples(samples), dict(missing), BUDGET_NS)


def why(made, samples, missing=(), row=LATE):
    case = case_of(made, samples, missing)
    return attribute(case, int(np.flatnonzero(case.ticks.number == row)[0]))


def seen(made, samples, **changes):
    known = {
        "seconds": 20.0,
        "heads": made,
        "samples": samples,
        "missing": {},
        "lost": 0,
        "dropped": 0,
        "counters": {"skipped_slots": 0, "minor_faults": 0, "major_faults": 0, "missing_replies": 0},
        "cost": 0.011,
    }
    return Seen(**{**known, **changes})


# --- stages -----------------------------------------------------------------------------------------


def test_stages_sum_to_the_time_since_the_scheduled_instant():
    ticks = of_records(heads())
    assert ticks.period_ns == PERIOD_NS
    assert len(ticks.number) == 119  # the first has no predecessor
    assert (ticks.stage_ns.sum(axis=1) == ticks.total_ns).all()
    assert dict(zip(STAGES, usual_ns(ticks), strict=True)) == {"behind": 0, **USUAL}
    assert not ticks.skipped.any()
    assert ticks.switched.sum() == 23


def test_a_stall_counts_from_the_first_slot_that_it_missed():
    ticks = of_records(heads(wake=21 * MS))
    (row,) = worst(ticks, 1)
    assert ticks.number[row] == LATE
    assert ticks.skipped[row] == 5
    assert ticks.stage_ns[row, STAGES.index("wake")] == 21 * MS
    assert ticks.skipped.sum() == 5


def test_time_that_the_tick_before_took_is_not_the_wakes():
    ticks = of_records(heads(compute=9 * MS))
    first, second = worst(ticks, 2)
    assert (ticks.number[first], ticks.number[second]) == (LATE, LATE + 1)
    late_ns = 9 * MS + USUAL["wake"] + USUAL["read"] + USUAL["plan"] + USUAL["write"] - PERIOD_NS
    assert ticks.stage_ns[second, STAGES.index("behind")] == late_ns
    assert ticks.stage_ns[second, STAGES.index("wake")] == USUAL["wake"]


def test_records_that_are_missing_are_counted_and_the_tick_behind_them_is_not_judged():
    made = np.delete(heads(), range(40, 50))
    ticks = of_records(made)
    assert ticks.gaps == 10
    assert 50 not in ticks.number
    assert not ticks.skipped.any()
    assert not ticks.follows[list(ticks.number).index(51)]


def test_a_loop_that_begins_anew_is_no_gap():
    again = heads()
    for name in ("tick_ns", "woke_ns", "read_ns", "planned_ns", "computed_ns", "written_ns"):
        again[name] += S
    ticks = of_records(np.concatenate([heads(), again]))
    assert ticks.gaps == 0
    assert len(ticks.number) == 238
    assert ticks.total_ns.max() < PERIOD_NS


@pytest.mark.parametrize("count", [0, 1])
def test_nothing_seen_is_said(count):
    found = profile(seen(heads(count), []), 20, "robot.toml", 1, BUDGET_NS, PERIOD_NS)
    assert found.sentence == "no tick seen in 20 s"
    assert found.worst == []
    view.show(found, Console(quiet=True))


# --- evidence ---------------------------------------------------------------------------------------


def test_a_window_is_what_rose_between_the_samples_around_it():
    instant_ns = BEGAN_NS + 100 * MS
    evidence = of_samples(
        sampled(BEGAN_NS + S, waited_ns=(instant_ns, 5 * MS), forced=(instant_ns, 2), faults=(instant_ns, 3))
    )
    window = evidence.around(instant_ns - 8 * MS, instant_ns - 2 * MS)
    assert (window.waited_ns, window.forced, window.faults, window.stopped) == (5 * MS, 2, 3, False)
    later = evidence.around(instant_ns + 12 * MS, instant_ns + 14 * MS)
    assert (later.waited_ns, later.forced) == (0, 0)


def test_what_the_thread_usually_waits_is_taken_off():
    samples = [one._replace(waited_ns=k * 100 * US) for k, one in enumerate(sampled(BEGAN_NS + S))]
    window = of_samples(samples).around(BEGAN_NS + 41 * MS, BEGAN_NS + 42 * MS)
    assert window.waited_ns < 2 * US


def test_without_samples_close_enough_there_is_no_window():
    samples = sampled(BEGAN_NS + S)
    apart = [one for one in samples if not BEGAN_NS < one.due_ns < BEGAN_NS + COARSEST_NS + 20 * MS]
    inside = (BEGAN_NS + 50 * MS, BEGAN_NS + 51 * MS)
    assert of_samples(samples).around(*inside) is not None
    assert of_samples(apart).around(*inside) is None
    assert of_samples(samples).around(0, 1) is None
    assert of_samples(samples).around(BEGAN_NS + 10 * S, BEGAN_NS + 11 * S) is None
    assert of_samples([]).around(0, 1) is None
    assert of_samples([]).stood_still_ns(0, 1) == 0
    unread = [one._replace(thread=0) for one in samples]
    assert of_samples(unread).around(*inside) is None
    other = [one._replace(thread=7 + (one.due_ns > inside[0])) for one in samples]
    assert of_samples(other).around(*inside) is None


def held_back(samples, due_ns, by_ns, own_waited_ns):
    """The watcher itself came late to the sample that was due around then, and the later ones are due later."""
    changed = []
    for one in samples:
        if one.due_ns < due_ns:
            changed.append(one)
        elif changed and changed[-1].due_ns < due_ns:
            began_ns = one.began_ns + by_ns
            changed.append(
                one._replace(began_ns=began_ns, done_ns=began_ns + 30 * US, own_waited_ns=own_waited_ns)
            )
        elif one.due_ns > changed[-1].began_ns:
            changed.append(one._replace(own_waited_ns=own_waited_ns))
    return changed


def test_who_watches_stood_still_only_when_nobody_else_kept_him():
    due_ns = BEGAN_NS + 100 * MS
    on_time = sampled(BEGAN_NS + S)
    for own_ns, still_ns in ((0, 40 * MS), (39 * MS, MS), (45 * MS, 0)):
        evidence = of_samples(held_back(on_time, due_ns, 40 * MS, own_ns))
        assert evidence.stood_still_ns(due_ns, due_ns + 41 * MS) == pytest.approx(still_ns, abs=US)
    blind = [one._replace(own_waited_ns=-1) for one in held_back(on_time, due_ns, 40 * MS, 0)]
    assert of_samples(blind).stood_still_ns(due_ns, due_ns + 41 * MS) == 0


# --- causes -----------------------------------------------------------------------------------------


def test_a_late_wake_without_evidence_is_unknown():
    found = why(heads(wake=9 * MS), sampled(BEGAN_NS + S))
    assert found.cause is Cause.UNKNOWN
    assert "nobody was seen" in found.detail
    assert why(heads(wake=9 * MS), []).cause is Cause.UNKNOWN


def test_a_thread_that_waited_in_the_run_queue_waited_for_a_processor():
    made = heads(wake=9 * MS)
    _, woke_ns = stage(made, "wake")
    found = why(made, sampled(BEGAN_NS + S, waited_ns=(woke_ns, 8 * MS), forced=(woke_ns, 3)))
    assert found.cause is Cause.QUEUED
    assert found.detail == "waited 8.0 ms for a processor, pushed off it 3 times"
    half_ns = sampled(BEGAN_NS + S, waited_ns=(woke_ns, 4 * MS))
    assert why(made, half_ns).cause is Cause.UNKNOWN


def test_stolen_time_is_the_hypervisors_also_while_the_thread_waits():
    made = heads(wake=30 * MS)
    _, woke_ns = stage(made, "wake")
    rises = {"stolen_ns": (woke_ns, 30 * MS), "waited_ns": (woke_ns, 29 * MS)}
    assert why(made, sampled(BEGAN_NS + S, **rises)).cause is Cause.STOLEN
    short = heads(wake=700 * US)
    _, woke_ns = stage(short, "wake")
    jiffy = sampled(BEGAN_NS + S, stolen_ns=(woke_ns, 10 * MS))
    assert why(short, jiffy).cause is Cause.UNKNOWN  # a jiffy says nothing about less than 1 ms


def test_when_who_watches_could_not_run_either_the_machine_stood_still():
    made = heads(wake=40 * MS)
    slot_ns, _ = stage(made, "wake")
    still = held_back(sampled(BEGAN_NS + S), slot_ns, 35 * MS, 0)
    found = why(made, still)
    assert found.cause is Cause.MACHINE
    assert "nothing else ran either" in found.detail
    busy = held_back(sampled(BEGAN_NS + S), slot_ns, 35 * MS, 35 * MS)
    assert why(made, busy).cause is Cause.UNKNOWN


def test_a_thread_seen_stopped_was_stopped():
    made = heads(read=50 * MS)
    begin_ns, end_ns = stage(made, "read")
    samples = [one._replace(stopped=int(begin_ns < one.due_ns < end_ns)) for one in sampled(BEGAN_NS + S)]
    found = why(made, samples)
    assert found.cause is Cause.STOPPED
    assert found.detail == "stopped by a signal or a debugger for 49 ms in read"
    earlier = [one._replace(stopped=int(one.due_ns < begin_ns - 20 * MS)) for one in samples]
    assert why(made, earlier).cause is not Cause.STOPPED


def test_a_read_inside_its_deadline_waited_for_the_bus_and_one_beyond_it_for_something_else():
    late, silent, beyond = heads(read=1_900 * US), heads(read=2_050 * US), heads(read=8 * MS)
    samples = sampled(BEGAN_NS + S)
    assert why(late, samples).cause is Cause.BUS
    assert why(late, samples).detail == "its replies took 1.9 ms, usually 900 us"
    assert why(silent, samples, {LATE: 6}).detail == "6 joints did not answer in 2.0 ms"
    assert why(silent, samples, {LATE: 1}).detail == "1 joint did not answer in 2.0 ms"
    assert why(beyond, samples).cause is Cause.UNKNOWN
    assert "beyond its own deadline" in why(beyond, samples).detail
    assert why(late, []).cause is Cause.UNKNOWN
    assert why(heads(write=3 * MS), samples).cause is Cause.BUS


@pytest.mark.parametrize(
    ("long", "row", "words"),
    [
        ({"plan": 35 * US}, LATE, "hand-off of 35 us"),
        ({"compute": 80 * US}, LATE, "sampling and limits of 80 us"),
    ],
)
def test_what_nobody_else_did_inside_our_code_is_ours(long, row, words):
    made = heads(**long)
    found = why(made, sampled(BEGAN_NS + S), row=row)
    assert (found.cause, found.detail) == (Cause.OURS, words)
    end_ns = stage(made, STAGES[found.stage])[1]
    faulty = why(made, sampled(BEGAN_NS + S, faults=(end_ns, 4)), row=row)
    assert faulty.detail == f"{words}, 4 page faults"
    preempted = why(made, sampled(BEGAN_NS + S, waited_ns=(end_ns, 90 * US)), row=row)
    assert preempted.cause is Cause.QUEUED
    assert why(made, [], row=row).cause is Cause.UNKNOWN


def test_planning_without_a_hand_off_has_its_own_words():
    made = heads(plan=30 * US)
    made["switched"] = 0
    assert why(made, sampled(BEGAN_NS + S)).detail == "state and modes of 30 us"


def test_a_tick_behind_a_long_one_has_its_cause():
    made = heads(compute=14 * MS)
    found = why(made, sampled(BEGAN_NS + S), row=LATE + 1)
    assert (found.cause, STAGES[found.stage]) == (Cause.OURS, "behind")
    assert found.detail == f"behind tick {LATE}: sampling and limits of 14 ms"
    alone = why(np.delete(made, LATE - 1), sampled(BEGAN_NS + S), row=LATE + 1)
    assert (alone.cause, alone.detail) == (Cause.UNKNOWN, "behind a tick that was not seen")


@pytest.mark.parametrize(
    ("ns", "words"),
    [
        (0, "0.0 us"),
        (1_940, "1.9 us"),
        (35_000, "35 us"),
        (999_400, "999 us"),
        (999_600, "1.0 ms"),
        (51_600_000, "52 ms"),
        (1_234_000_000, "1.2 s"),
    ],
)
def test_durations_as_a_person_says_them(ns, words):
    assert duration(ns) == words


# --- what a person and a program get ----------------------------------------------------------------


def found_of(**long):
    made = heads(**long)
    return profile(seen(made, sampled(BEGAN_NS + S)), 3, "robot.toml", 12, BUDGET_NS, PERIOD_NS)


def test_the_sentence_counts_causes_and_says_what_is_ours():
    found = found_of(plan=3 * MS)
    assert found.sentence.startswith("3 worst of 119 ticks in 20 s: ")
    assert "1 ours: hand-off of 3.0 ms" in found.sentence
    both = found_of(plan=9 * MS)
    assert "2 ours, the worst hand-off of 9.0 ms" in both.sentence
    for one in (found, both):
        causes = one.sentence.split(": ", 1)[1]
        assert sum(int(number) for number in re.findall(r"(?:^|, )(\d+) ", causes)) == 3


def test_the_json_is_typed_and_whole():
    found = found_of(plan=3 * MS)
    assert msgspec.json.decode(msgspec.json.encode(found), type=Profile) == found
    first = found.worst[0]
    assert first.tick == LATE
    assert first.at_s == pytest.approx((LATE - 1) * 0.004)
    assert sum(first.stages_us.values()) == pytest.approx(first.total_us, abs=0.5)
    assert set(found.stages) == {*STAGES, "plan with hand-off", "total"}
    assert found.stages["plan"].n + found.stages["plan with hand-off"].n == found.ticks == 119
    assert found.stages["plan with hand-off"].max == 3000.0


def test_a_file_that_was_changed_and_records_that_were_dropped_are_noted():
    made = seen(heads(), [], dropped=7)
    found = profile(made, 3, "robot.toml", 12, BUDGET_NS, 2 * MS)
    assert any("a period of 4.0 ms, the file now says 2.0 ms" in note for note in found.notes)
    assert any("7 records were dropped by the robot" in note for note in found.notes)


def test_the_view_shows_sentence_ticks_stages_and_cost(capsys):
    found = found_of(wake=21 * MS)
    view.show(found)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == found.sentence
    (row,) = [line for line in lines if line.lstrip().startswith(f"{LATE} ")]
    assert "22 ms" in row
    assert "." * 23 + "r" in row
    assert "unknown" in row
    assert any(line.startswith("plan with hand-off") for line in lines)
    assert any("watching took 1.1% of one processor" in line for line in lines)
    assert max(map(len, lines)) <= view.FILE_WIDTH


def test_every_bar_is_as_long_and_no_stage_is_drawn_before_its_turn():
    for tick in found_of(read=9 * MS).worst:
        text = view.bar(tick).plain
        assert len(text) == view.BAR
        assert text == "".join(sorted(text, key=list(view.LETTERS.values()).index))


def test_the_picture_is_a_png_and_nothing_stays_beside_it(tmp_path):
    pytest.importorskip("matplotlib")
    picture.draw(found_of(wake=21 * MS), tmp_path / "worst.png")
    picture.draw(profile(seen(heads(0), []), 3, "r", 1, BUDGET_NS, PERIOD_NS), tmp_path / "empty.png")
    assert (tmp_path / "worst.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert {path.name for path in tmp_path.iterdir()} == {"worst.png", "empty.png"}


def test_without_matplotlib_there_is_one_line(monkeypatch):
    monkeypatch.setattr(picture, "find_spec", lambda name: None)
    (problem,) = picture.unfit()
    assert "matplotlib" in str(problem)
