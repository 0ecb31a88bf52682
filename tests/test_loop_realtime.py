"""The hard loop's promises: no interpreter, no allocation, no page fault. A planted breach proves each check."""

import gc
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from loop_rig import MS, Rig
from native_build import CORE, ROOT, build, compiler
from plants import Kind, Plant
from waiting import until

from spinal.native import layout

HOLD_NS = 1_000 * MS
PERIOD_NS = 10 * MS


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("native")


@pytest.fixture(scope="module")
def plants(folder):
    return build("plants.c", folder)


@pytest.fixture(scope="module")
def counting(folder):
    return build("count_allocations.c", folder, "-ldl")


@pytest.fixture
def started():
    """Starts rigs, and stops them whatever happens."""
    rigs = []

    def start(plant, **changes):
        rig = Rig(plant, dt_ns=PERIOD_NS, **changes)
        rigs.append(rig)
        for giver in (0, 1):
            rig.order(layout.ORDER_RUN, giver=giver)
        rig.loop.start()
        until(lambda: rig.loop.mode == "ready", "the loop is ready")
        return rig

    yield start
    for rig in rigs:
        rig.loop.stop()


def assert_ticks_without_the_interpreter(rig, plant):
    """At least half of what is due: what a busy machine skips is not the interpreter's doing."""
    ticks = plant.count_while_holding_the_gil(rig.stats_address, HOLD_NS)
    assert ticks >= HOLD_NS // PERIOD_NS // 2, f"{ticks} ticks while the interpreter was held"


def test_the_loop_ticks_on_while_another_thread_keeps_the_gil(plants, started):
    plant = Plant(plants, Kind.HONEST)
    assert_ticks_without_the_interpreter(started(plant), plant)


def test_the_check_notices_a_loop_that_takes_the_gil(plants, started):
    plant = Plant(plants, Kind.TAKES_THE_GIL)
    rig = started(plant)
    with pytest.raises(AssertionError, match=r"^\d ticks while the interpreter was held"):
        assert_ticks_without_the_interpreter(rig, plant)


def test_the_loop_ticks_on_through_a_garbage_collection(plants, started):
    """A collection of many objects stops every thread that needs the interpreter, for as long as it takes."""
    rig = started(Plant(plants, Kind.HONEST))
    litter = [[k] for k in range(200_000)]
    for k, one in enumerate(litter):
        one.append(litter[k - 1])
    before = rig.stats["ticks"]
    for _ in range(3):
        gc.collect()
    until(lambda: rig.stats["ticks"] > before, "the loop ticks on")
    assert rig.stats["bus_cycles"] == pytest.approx(rig.stats["ticks"], abs=1)
    assert rig.loop.mode == "ready"


def observed(plants, kind, ticks, lock_memory=False, preload=None):
    """What a loop in a process of its own reports."""
    environment = {**os.environ, **({"LD_PRELOAD": str(preload)} if preload else {})}
    script = Path(__file__).with_name("loop_subject.py")
    done = subprocess.run(
        [sys.executable, str(script), str(plants), str(int(kind)), str(ticks), str(int(lock_memory))],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def assert_allocates_nothing(report):
    assert report["running_ticks"] > 100, "the loop never followed a trajectory"
    assert report["switches"] > 10
    assert report["allocations"] == 0, f"{report['allocations']} calls for memory in {report['ticks']} ticks"


def test_the_loop_allocates_nothing(plants, counting):
    assert_allocates_nothing(observed(plants, Kind.HONEST, 600, preload=counting))


def test_the_check_notices_a_loop_that_allocates(plants, counting):
    report = observed(plants, Kind.ALLOCATES, 200, preload=counting)
    with pytest.raises(AssertionError, match="calls for memory"):
        assert_allocates_nothing(report)
    assert report["allocations"] >= report["ticks"], "malloc and free in every tick"


def locked(report):
    if report["realtime"]["mlock"] is not None:
        pytest.skip(f"memory cannot be locked here: {report['realtime']['mlock']}")
    return report


def assert_faults_nothing(report):
    faults = (report["minor_faults"], report["major_faults"])
    assert faults == (0, 0), f"{faults} page faults of the loop's thread in {report['ticks']} ticks"


def test_the_loop_faults_no_page_once_memory_is_locked(plants):
    assert_faults_nothing(locked(observed(plants, Kind.HONEST, 300, lock_memory=True)))


def test_the_check_notices_a_loop_that_faults(plants):
    report = locked(observed(plants, Kind.FAULTS, 100, lock_memory=True))
    with pytest.raises(AssertionError, match="page faults"):
        assert_faults_nothing(report)


def loop_sources():
    """The core files that the loop, its buses and the guard are linked from."""
    modules = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["ext-modules"]
    ours = [
        m
        for m in modules
        if m["name"].removeprefix("spinal.native.") in ("loop", "bus", "feetech_bus", "guard")
    ]
    assert len(ours) == 4
    return sorted(
        {CORE / Path(source).name for m in ours for source in m["sources"] if source.endswith(".c")}
    )


def test_no_core_file_knows_python():
    files = [*CORE.glob("*.c"), *CORE.glob("*.h")]
    assert len(files) > 30
    knowing = [file.name for file in files if re.search(r"Python\.h|\bPy[A-Z_]\w*", file.read_text())]
    assert knowing == []


MAY_CALL = re.compile(
    r"sp_\w+|mem(cpy|move|set)|_GLOBAL_OFFSET_TABLE_|__stack_chk_fail|__sigsetjmp"
    r"|(sin|cos|sincos|sqrt|cbrt|fmin|fmax|fabs|copysign|ceil|floor|pow|ll?r(ound|int))f?"
    r"|clock_gettime|clock_nanosleep|__errno_location|getrusage|syscall"
    # serial.c, on a descriptor that never waits
    r"|fcntl|ppoll|read|write"
    # guard.c, the same, and none with a time to wait; its thread is made and ended by its owner
    r"|poll|pread|tcflush|pthread_(create|join|attr_(init|destroy|setstacksize))"
    # realtime.c, before the first tick
    r"|mlock(all)?|dladdr|dl_iterate_phdr|str(rchr|len|ncmp|cpy)|prctl|sigfillset|pthread_(sigmask|self|setschedparam)|sched_setaffinity"
)
"""No allocator, no lock, no stdio, no open."""


def foreign_symbols(source, folder):
    """What the object of ``source`` wants of others."""
    target = folder / f"{source.stem}.o"
    subprocess.run(
        [compiler(), "-c", "-O2", "-std=gnu11", f"-I{CORE}", str(source), "-o", str(target)], check=True
    )
    listed = subprocess.run(["nm", "-u", str(target)], capture_output=True, text=True, check=True).stdout
    return {line.split()[-1].split("@")[0] for line in listed.splitlines() if line.strip()}


def test_the_tick_calls_nothing_that_could_lock_allocate_or_log(folder):
    sources = loop_sources()
    assert {"loop.c", "limiter.c", "trajectory.c", "mailbox.c", "feetech_bus.c"} <= {s.name for s in sources}
    wanted = {source.name: foreign_symbols(source, folder) for source in sources}
    assert "sp_limiter_step_or_return" in wanted["loop_command.c"], "nm lists nothing"
    strange = {name: sorted(s for s in all_ if not MAY_CALL.fullmatch(s)) for name, all_ in wanted.items()}
    assert {name: symbols for name, symbols in strange.items() if symbols} == {}


def test_the_check_notices_a_call_of_the_allocator(folder):
    source = folder / "bad.c"
    source.write_text("#include <stdlib.h>\nvoid *bad(void) { return malloc(3); }\n")
    assert not all(MAY_CALL.fullmatch(symbol) for symbol in foreign_symbols(source, folder))


def test_a_stopped_loop_ticks_no_more_and_starts_again(plants, started):
    plant = Plant(plants, Kind.HONEST)
    rig = started(plant)
    with pytest.raises(RuntimeError, match="runs already"):
        rig.loop.start()
    with pytest.raises(RuntimeError, match="runs by itself"):
        rig.loop.tick(0)
    rig.loop.stop()
    rig.loop.stop()
    stopped = rig.stats["ticks"]
    rig.loop.start()
    until(lambda: rig.stats["ticks"] > stopped, "the loop ticks again")


def test_a_loop_that_nobody_keeps_ends_its_thread(plants):
    rig = Rig(Plant(plants, Kind.HONEST), dt_ns=MS)
    rig.loop.start()
    thread = Path(f"/proc/self/task/{rig.loop.thread_id}")
    assert thread.exists()
    del rig
    gc.collect()
    until(lambda: not thread.exists(), "the loop's thread ends")
