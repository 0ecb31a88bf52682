from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol, TypedDict

import numpy as np
from numpy.typing import NDArray

from spinal.native.bus import Bus
from spinal.native.clock import ManualClock
from spinal.native.histogram import Quantiles
from spinal.native.shared import Mailbox, Ring, Segment

COMPILER: str
STATE_HEAD_BYTES: int
JOINT_STATE_BYTES: int
RECORD_HEAD_BYTES: int
JOINT_RECORD_BYTES: int
STATS_BYTES: int
ORDER_BYTES: int

COMMAND_BYTES: int
TRANSITION_BYTES: int
HEALTH_BYTES: int
MAX_STOP_LINES: int

JointLimits = tuple[float, float, float, float, float]

class ReflexLimits(NamedTuple):
    following_hold: float
    following_stop: float
    contact_hold: float
    contact_stop: float
    contact_drag: float
    contact_inertia: float
    temperature_hold: float
    temperature_stop: float
    voltage_hold: float
    voltage_stop: float
    lag_s: float
    load_limit: float
    frozen_travel: float
    frozen_ns: int
    following_ns: int
    contact_ns: int
    contact_long_ns: int
    device_bits: int
    device_ns: int
    clear_ns: int

class HasAddress(Protocol):
    @property
    def address(self) -> int: ...

class Safety(Protocol):
    @property
    def tail_limit_ns(self) -> int: ...
    @property
    def let_go_after_ns(self) -> int: ...
    @property
    def fade_ns(self) -> int: ...
    @property
    def self_test_ticks(self) -> int: ...
    @property
    def arming_speed(self) -> float: ...
    @property
    def ease_travel(self) -> float: ...
    @property
    def ease_speed(self) -> float: ...
    @property
    def reflexes(self) -> Sequence[ReflexLimits]: ...
    @property
    def grips(self) -> Sequence[float]: ...
    @property
    def fence(self) -> HasAddress | None: ...

class Plan(Protocol):
    @property
    def safety(self) -> Safety: ...
    @property
    def dt_ns(self) -> int: ...
    @property
    def read_budget_ns(self) -> int: ...
    @property
    def joint_age_limit_ns(self) -> int: ...
    @property
    def missed_to_hold(self) -> int: ...
    @property
    def limits(self) -> Sequence[JointLimits]: ...
    @property
    def emergency(self) -> Sequence[JointLimits]: ...
    @property
    def grippers(self) -> Sequence[bool]: ...
    @property
    def fifo_priority(self) -> int: ...
    @property
    def lock_memory(self) -> bool: ...
    @property
    def cpu(self) -> int: ...

class Seam(TypedDict):
    position: float
    velocity: float
    acceleration: float

class LoopCounts(TypedDict):
    ticks: int
    skipped_slots: int
    running_ticks: int
    limited_ticks: int
    starved_ticks: int
    fenced_ticks: int
    rungs: dict[str, int]
    risen: dict[str, int]
    switches: int
    accepted: int
    rejected: dict[str, int]
    holds: int
    minor_faults: int
    major_faults: int
    bus_cycles: int
    missing_replies: int
    bad_packets: int
    failed_writes: int
    torque_repeats: int
    seam: Seam
    jerk_square_sum: float
    jerk_count: int
    late: Quantiles
    bus_cycle: Quantiles
    compute: Quantiles
    age: Quantiles
    blend: Quantiles

def mode_name(mode: int) -> str: ...
def rung_name(rung: int) -> str: ...
def edge(index: int) -> tuple[str, str, str, int, int] | None: ...
def edges() -> list[tuple[str, str, str, int, int]]: ...
def condition(bit: int) -> tuple[str, str, str] | None: ...
def conditions() -> list[tuple[str, str, str]]: ...
def next_mode(mode: int, conditions: int) -> tuple[int, str | None]: ...
def edge_index(mode: int, conditions: int) -> int | None: ...
def latched(conditions: int) -> int: ...
def leads_to(conditions: int, answer: Literal["wait", "hold", "stop", "let_go"]) -> bool: ...

class Loop:
    def __init__(
        self,
        plan: Plan,
        bus: Bus,
        segment: Segment,
        stats_part: int,
        state: Mailbox,
        records: Ring | None,
        orders: Sequence[Mailbox],
        trajectories: Mailbox | None,
        clock: ManualClock | None = None,
        commands: Mailbox | None = None,
        transitions: Mailbox | None = None,
        healths: Mailbox | None = None,
        stop_lines: Sequence[HasAddress] = (),
    ) -> None: ...
    def tick(self, tick_ns: int, skipped: int = 0) -> None: ...
    def start(self, start_ns: int | None = None) -> None: ...
    def hold(self) -> None: ...
    def stop(self) -> None: ...
    @property
    def mode(self) -> str: ...
    @property
    def thread_id(self) -> int: ...
    @property
    def realtime(self) -> dict[str, str | None]: ...

class LoopStats:
    def __init__(self, segment: Segment, part: int) -> None: ...
    def read(self) -> LoopCounts: ...
    def counts(self, name: Literal["late", "bus_cycle", "compute", "age", "blend"]) -> NDArray[np.uint64]: ...
