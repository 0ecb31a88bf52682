"""Every fault, by family, in the order in which they are tried."""

from __future__ import annotations

from spinal.bench.faults import body, bus, host, inference, operator, processes, sensor
from spinal.bench.faults.fault import Fault

FAMILIES: dict[str, list[Fault]] = {
    "processes": processes.FAULTS,
    "host": host.FAULTS,
    "inference": inference.FAULTS,
    "bus": bus.FAULTS,
    "sensor": sensor.FAULTS,
    "body": body.FAULTS,
    "operator": operator.FAULTS,
}
