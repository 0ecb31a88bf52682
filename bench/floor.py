"""The floor as a process beside the robot: ``python -m spinal.bench.floor --seconds 60`` prints one JSON line."""

from __future__ import annotations

import argparse
import json
import time

from spinal.native.floor import Floor


def main() -> None:
    """Runs an empty loop of the servo's rate and priority, and says how late it woke."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--hz", type=int, default=250)
    parser.add_argument("--priority", type=int, default=45)
    args = parser.parse_args()
    period_ns = round(1e9 / args.hz)
    floor = Floor(period_ns, args.priority, lock_memory=True)
    floor.start()
    time.sleep(args.seconds)
    floor.stop()
    print(json.dumps({"late_ns": floor.summary(), "fifo": floor.fifo is None}))


if __name__ == "__main__":
    main()
