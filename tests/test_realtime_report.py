"""What the loop says about its permissions is what the kernel gave."""

import os

import pytest
from loop_rig import MS, Rig
from native_build import build
from plants import Kind, Plant
from waiting import until


@pytest.fixture(scope="module")
def plants(tmp_path_factory):
    return build("plants.c", tmp_path_factory.mktemp("native"))


@pytest.fixture
def running(plants):
    """Starts one loop and stops it again."""
    rigs = []

    def start(**wishes):
        rig = Rig(Plant(plants, Kind.HONEST), dt_ns=5 * MS, **wishes)
        rigs.append(rig)
        rig.loop.start()
        until(lambda: rig.stats["ticks"] > 0, "the loop ticks")
        return rig.loop

    yield start
    for rig in rigs:
        rig.loop.stop()


def test_what_was_not_asked_for_is_not_granted(running):
    loop = running()
    report = loop.realtime
    assert report["fifo"] == report["mlock"] == report["affinity"] == "not asked"
    assert report["timer_slack"] is None
    assert os.sched_getscheduler(loop.thread_id) & ~os.SCHED_RESET_ON_FORK == os.SCHED_OTHER
    assert os.sched_getaffinity(loop.thread_id) == os.sched_getaffinity(0)


def test_a_priority_is_reported_as_the_kernel_has_it(running):
    loop = running(fifo_priority=10)
    policy = os.sched_getscheduler(loop.thread_id)
    if loop.realtime["fifo"] is None:
        assert policy == os.SCHED_FIFO | os.SCHED_RESET_ON_FORK
        assert os.sched_getparam(loop.thread_id).sched_priority == 10
    else:
        assert loop.realtime["fifo"] == os.strerror(1)
        assert policy & ~os.SCHED_RESET_ON_FORK == os.SCHED_OTHER
    assert os.sched_getscheduler(0) == os.SCHED_OTHER, "only the loop's thread"


def test_a_processor_is_reported_as_the_kernel_has_it(running):
    wanted = max(os.sched_getaffinity(0))
    loop = running(cpu=wanted)
    assert loop.realtime["affinity"] is None
    assert os.sched_getaffinity(loop.thread_id) == {wanted}


def test_a_refusal_is_given_in_words_and_the_loop_runs_without(running):
    loop = running(cpu=1023)
    assert loop.realtime["affinity"] == "Invalid argument"
    assert os.sched_getaffinity(loop.thread_id) == os.sched_getaffinity(0)


def test_the_loops_thread_takes_no_signal(running):
    loop = running()
    with open(f"/proc/self/task/{loop.thread_id}/status") as status:
        (blocked,) = (line.split()[1] for line in status if line.startswith("SigBlk"))
    catchable = ~(1 << 8 | 1 << 18)  # all but SIGKILL and SIGSTOP; the C library keeps 32 and 33 to itself
    assert int(blocked, 16) & catchable & 0x7FFFFFFF == 0x7FFFFFFF & catchable
