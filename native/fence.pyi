from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

MAX_LINKS: int
MAX_JOINTS: int
MAX_CAPSULES: int
MAX_BOXES: int
MAX_PAIRS: int
WORKSPACE: int
KEEP_OUT: int
SELF: int

Limits = tuple[float, float, float, float, float]
Array = NDArray[np.float64]
States = Sequence[Sequence[float]] | Array
Box = tuple[Sequence[float], Sequence[float]]

class Link(NamedTuple):
    parent: int
    joint: int
    origin: Sequence[float]
    rotation: Sequence[float]
    axis: Sequence[float]

class Capsule(NamedTuple):
    link: int
    start: Sequence[float]
    end: Sequence[float]
    radius: float

class Description(NamedTuple):
    links: Sequence[Link]
    capsules: Sequence[Capsule]
    workspace: Box | None
    boxes: Sequence[Box]
    pairs: Sequence[tuple[int, int]]
    margin: float
    self_margin: float

class Fence:
    def __init__(self, description: Description, joint_count: int) -> None: ...
    @property
    def address(self) -> int: ...
    @property
    def joint_count(self) -> int: ...
    def judge(
        self, before: States, next: States, limits: Sequence[Limits], emergency: Sequence[Limits], dt_s: float
    ) -> int: ...
    def share(
        self,
        before: States,
        brake: States,
        step: States,
        limits: Sequence[Limits],
        emergency: Sequence[Limits],
        dt_s: float,
    ) -> float: ...
    def keep(
        self,
        before: States,
        brake: States,
        step: States,
        limits: Sequence[Limits],
        emergency: Sequence[Limits],
        dt_s: float,
    ) -> tuple[Array, int]: ...
    def poses(self, positions: Sequence[float] | Array) -> tuple[Array, Array]: ...
    def clearance(self, positions: Sequence[float] | Array) -> tuple[float, float, float]: ...

class Sweep:
    def __init__(
        self, before: float, state: Sequence[float], limits: Limits, emergency: Limits, dt_s: float
    ) -> None: ...
    @property
    def ticks(self) -> float: ...
    @property
    def turns(self) -> bool: ...
    def span(self, first: float, last: float) -> tuple[float, float]: ...
    def at(self, brake: int, tick: float) -> float: ...

def segment_box_distance(
    start: Sequence[float] | Array,
    end: Sequence[float] | Array,
    low: Sequence[float] | Array,
    high: Sequence[float] | Array,
) -> float: ...
def segments_distance(
    a: Sequence[float] | Array,
    b: Sequence[float] | Array,
    c: Sequence[float] | Array,
    d: Sequence[float] | Array,
) -> float: ...
