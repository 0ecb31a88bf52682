"""The floor as a process beside the robot: ``python -m spinal.bench.floor --seconds 60`` prints one JSON line."""

from __future__ import annotations

import argparse
import json

from spinal.native.floor import run_floor


def main() -> None:
    """Runs an empty loop of the servo's rate and priority, and says how late it woke."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--hz", type=int, default=250)
    parser.add_argument("--priority", type=int, default=45)
    args = parser.parse_args()
    period_ns = round(1e9 / args.hz)
    late, fifo = run_floor(period_ns, round(args.seconds * args.hz), args.priority)
    print(json.dumps({"late_ns": late, "fifo": fifo}))


if __name__ == "__main__":
    main()
