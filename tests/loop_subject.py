"""The process that test_loop_realtime looks at: a loop in real time, and what its thread did.

    loop_subject.py PLANTS_LIBRARY KIND TICKS LOCK_MEMORY

Prints one JSON object. ``allocations`` counts the loop's thread alone, where the counting library is preloaded.
"""

import ctypes
import json
import sys

from loop_rig import MS, Rig
from plants import Kind, Plant
from waiting import until

from spinal.native import layout


def main():
    path, kind, ticks, lock_memory = sys.argv[1], *(int(text) for text in sys.argv[2:])
    rig = Rig(Plant(path, Kind(kind)), dt_ns=MS, read_budget_ns=MS // 2, lock_memory=bool(lock_memory))
    counting = ctypes.CDLL(None)
    counts = hasattr(counting, "watch_allocations")
    if counts:
        counting.allocations_counted.restype = ctypes.c_uint64
    for giver in (0, 1):
        rig.order(layout.ORDER_RUN, giver=giver)
    rig.loop.start()
    until(lambda: rig.loop.mode == "ready", "the loop is ready")
    if counts:
        counting.watch_allocations(ctypes.c_long(rig.loop.thread_id))
    first = rig.stats["ticks"]
    while rig.stats["ticks"] < first + ticks:
        # New chunks all the time, so that every branch of the tick is taken.
        rig.publish_now()
        seen = rig.stats["ticks"]
        until(lambda seen=seen: rig.stats["ticks"] >= seen + 5, "the loop ticks")
        rig.records()
    report = {
        "ticks": rig.stats["ticks"] - first,
        "running_ticks": rig.stats["running_ticks"],
        "switches": rig.stats["switches"],
        "allocations": counting.allocations_counted() if counts else None,
        "realtime": rig.loop.realtime,
    }
    # Faults are counted every 64 ticks.
    last = rig.stats["ticks"]
    until(lambda: rig.stats["ticks"] > last + 64, "the loop ticks")
    rig.loop.stop()
    report["minor_faults"], report["major_faults"] = rig.stats["minor_faults"], rig.stats["major_faults"]
    print(json.dumps(report))


if __name__ == "__main__":
    main()
