"""The bus suite: its arithmetic on stamps made by hand, its rig and its bare client against emulated servos."""

import os
import socket
import sys

import numpy as np
import pytest
from waiting import until

from spinal.bench.bus import bare as bare_bus
from spinal.bench.bus import bare_client
from spinal.bench.bus.bare_client import Cycles
from spinal.bench.bus.cycles import cut, unomitted
from spinal.bench.bus.rig import BusRig
from spinal.bench.live.supervised_robot import SHIPPED
from spinal.bench.result import Verdict
from spinal.bench.suites import bus
from spinal.bench.suites.bus import Losses
from spinal.native import clock, feetech, layout
from spinal.native.emulator import Emulator, EmulatorServer
from spinal.runtime.config import load_robot
from spinal.runtime.config.budget import bus_budget
from spinal.runtime.errors import ProcessError

US, MS = 1000, 1_000_000
PERIOD_NS = 4 * MS
ROBOT = load_robot(SHIPPED)
IDS = [joint.id for joint in ROBOT.joints]


def cycles(took_us=1000.0, count=2000, begin_ns=0, spread_us=20.0):
    rng = np.random.default_rng(begin_ns)
    took = (took_us + spread_us * rng.random(count)) * US
    return Cycles(begin_ns + PERIOD_NS * np.arange(count), took.astype(np.int64))


def steady(ours, bare, disturbed=""):
    metrics, _ = bus.of_steady(ours, bare, PERIOD_NS, 860.0, disturbed)
    return {metric.name: metric for metric in metrics}


def test_a_loop_like_the_bare_client_passes():
    found = steady(cycles(), cycles(begin_ns=PERIOD_NS // 2))
    assert found["cycle_us.p50"].verdict is Verdict.PASS
    assert found["cycle_us.p50"].ratio == pytest.approx(1.0, abs=0.01)
    assert found["cycle_over_wire_us.p50"].value == pytest.approx(150, abs=10)


def test_a_tenth_of_a_millisecond_more_is_caught():
    slow = steady(cycles(1100), cycles(begin_ns=PERIOD_NS // 2))
    assert slow["cycle_us.p50"].verdict is Verdict.FAIL
    told = steady(cycles(1100), cycles(begin_ns=PERIOD_NS // 2), "stolen")
    assert told["cycle_us.p50"].verdict is Verdict.INCONCLUSIVE


def test_slices_are_of_the_same_time_on_both_sides():
    borders = np.array([0, 10, 20])
    stamps, values = np.array([-1, 0, 9, 10, 19, 20]), np.array([1, 2, 3, 4, 5, 6])
    assert cut(stamps, values, borders).sum(axis=1).tolist() == [2, 2]


def test_a_long_cycle_counts_for_the_slots_that_it_took():
    assert sorted(unomitted(np.array([3, 25]), 10).tolist()) == [3, 5, 15, 25]
    assert unomitted(np.array([3, 10]), 10).tolist() == [3, 10]


def test_the_cycle_of_a_tick_is_reading_and_writing_alone():
    records = np.zeros(2, layout.record_dtype(1))
    records["woke_ns"], records["read_ns"] = 100, 900
    records["planned_ns"], records["computed_ns"], records["written_ns"] = 950, 990, 1000
    assert bus.taken_apart(records).took_ns.tolist() == [810, 810]


@pytest.mark.parametrize(
    ("losses", "disturbed", "verdict"),
    [
        (Losses(), "", Verdict.PASS),
        (Losses(missing_replies=1), "", Verdict.FAIL),
        (Losses(bad_packets=1), "", Verdict.FAIL),
        (Losses(failed_writes=1), "", Verdict.FAIL),
        (Losses(unwritten_bytes=1), "", Verdict.FAIL),
        (Losses(missing_replies=1), "stolen", Verdict.INCONCLUSIVE),
        (Losses(missing_replies=1, servos_late_ns=600 * US), "", Verdict.INCONCLUSIVE),
        (Losses(missing_replies=1, bare_held_ns=600 * US), "", Verdict.INCONCLUSIVE),
        (Losses(missing_replies=1, servos_late_ns=500 * US, bare_held_ns=500 * US), "", Verdict.FAIL),
    ],
)
def test_nothing_may_be_lost_unless_the_machine_held_the_servos_up(losses, disturbed, verdict):
    found = bus.of_losses("lost", losses, 100, 580 * US, disturbed)
    worst = {metric.verdict for metric in found} - {Verdict.PASS}
    assert worst == ({verdict} - {Verdict.PASS})


def test_the_rate_is_judged_beside_the_bare_clients():
    (good,) = bus.of_rate(810, 812, 893, 1000, "")
    (slow,) = bus.of_rate(700, 812, 893, 1000, "")
    (told,) = bus.of_rate(700, 812, 893, 1000, "stolen")
    assert (good.verdict, slow.verdict, told.verdict) == (Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE)
    assert good.value == pytest.approx(810 / 893)


def drive(rig, seconds=0.12):
    return bus._drive(rig, clock.now_ns() + 5 * MS, seconds)


def test_the_rig_drives_the_robots_own_bus():
    with BusRig(ROBOT) as rig:
        records = drive(rig)
        counts = rig.counts
    assert counts["bus_cycles"] == len(records) == counts["ticks"]
    assert records["joint_count"].tolist() == [len(ROBOT.joints)] * len(records)
    assert (records["mode"][1:] == layout.MODE_READY).all()
    budget = bus_budget(ROBOT, "arm")
    assert rig.wire_ns == round((budget.read_us + budget.write_us) * 1e3)
    assert (bus.taken_apart(records).took_ns >= 0.9 * budget.read_us * US).mean() > 0.9


def test_a_servo_that_falls_silent_is_counted():
    with BusRig(ROBOT) as rig:
        (emulator,) = rig.emulators
        emulator.set_faults(2, silent=True)
        records = drive(rig)
        assert rig.counts["missing_replies"] >= len(records)


def test_buses_of_a_group_have_all_their_joints():
    with BusRig(ROBOT, buses=2) as rig:
        records = drive(rig)
        assert rig.counts["bus_cycles"] == 2 * len(records)
    assert records["joint_count"][0] == 2 * len(ROBOT.joints)


def test_a_pty_is_a_line_as_well():
    try:
        os.close(os.openpty()[0])
    except OSError as error:
        pytest.skip(f"no pty: {error}")
    with BusRig(ROBOT, "pty") as rig:
        assert len(drive(rig)) > 1


def test_a_rig_that_does_not_start_leaves_nothing_open(monkeypatch):
    before = len(os.listdir("/proc/self/fd"))
    monkeypatch.setattr("spinal.bench.bus.rig.configure", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError), BusRig(ROBOT):
        pass
    assert len(os.listdir("/proc/self/fd")) == before


def bare_run(silent=(), count=5, health_every=0):
    emulator = Emulator(IDS)
    for index in range(len(IDS)):
        emulator.put_register(index, bare_bus.RETURN_DELAY, 0)
        emulator.set_faults(index, silent=index in silent)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with ours, theirs, EmulatorServer(emulator, theirs.fileno()):
        start = clock.now_ns()
        found = bare_bus.run(ours, IDS, start, start + count * PERIOD_NS, PERIOD_NS, 0, health_every)
        sent = 2 * len(found[0]) + (len(found[0]) // health_every if health_every else 0)
        until(lambda: emulator.stats().packets >= sent, "the last goals arrive")
        return found, emulator.stats()


def test_the_bare_client_puts_the_same_bytes_on_the_wire():
    with BusRig(ROBOT) as rig:
        wire_ns = rig.wire_ns
    request = feetech.sync_read(IDS, bare_bus.READ_ADDRESS, bare_bus.READ_BYTES)
    goals = feetech.sync_write(bare_bus.GOAL_ADDRESS, dict.fromkeys(IDS, b"\x00\x00"))
    owed = feetech.replies_size(len(IDS), bare_bus.READ_BYTES)
    assert (len(request) + owed + len(goals)) * 10 * US == wire_ns


def test_the_bare_client_stamps_each_cycle():
    (stamps, lost), wire = bare_run()
    assert 1 <= len(stamps) <= 5
    assert all(took > 800 * US for _, took in stamps)
    assert wire.packets == 2 * len(stamps)
    assert wire.bad_checksums == 0
    assert lost == 0


def test_the_bare_client_asks_for_health_in_the_bytes_of_the_bus():
    (stamps, lost), wire = bare_run(health_every=1)
    assert wire.packets == 3 * len(stamps)
    assert wire.bad_checksums == 0
    assert lost == 0
    with BusRig(ROBOT) as rig:
        longest_ns = rig.health_wire_ns
    question, answer = (
        feetech.read(IDS[0], *bare_bus.HEALTH[0]),
        feetech.replies_size(1, bare_bus.HEALTH[0][1]),
    )
    assert (len(question) + answer) * 10 * US == longest_ns


def test_the_bare_client_does_not_wait_for_ever():
    (stamps, lost), _ = bare_run(silent=(1,), count=2)
    assert lost == len(stamps) * 12


def test_the_bare_client_as_a_process():
    start = clock.now_ns() + 400 * MS
    with bare_client.bare_client(ROBOT, PERIOD_NS, start, 0.2) as found:
        pass
    read = found.read()
    assert len(read.took_ns) > 1
    assert ((read.begin_ns - start) >= 0).all()
    assert read.median_ns <= read.longest_ns


def test_a_bare_client_that_fails_is_one_line(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with (
        pytest.raises(ProcessError, match="the bare client failed"),
        bare_client.bare_client(ROBOT, PERIOD_NS, clock.now_ns(), 0.1),
    ):
        pass
