from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from spinal.native.shared import Mailbox

MAX_JOINTS: int
MAX_WAYPOINTS: int
MAX_DEGREE: int
MAX_CONTROLS: int
LARGEST_BYTES: int

Rows = NDArray[np.float64]

class Head(Protocol):
    @property
    def observation_stamp_ns(self) -> int: ...
    @property
    def sensor_stamp_ns(self) -> int: ...
    @property
    def published_ns(self) -> int: ...
    @property
    def origin_ns(self) -> int: ...
    @property
    def step_ns(self) -> int: ...
    @property
    def fresh_for_ns(self) -> int: ...
    @property
    def blend_min_ns(self) -> int: ...
    @property
    def blend_max_ns(self) -> int: ...
    @property
    def blend_share(self) -> float: ...
    @property
    def degree(self) -> int: ...
    @property
    def controls(self) -> Rows | None: ...

def judge(message: NDArray[np.uint8], joint_count: int, now_ns: int) -> int: ...

class TrajectoryWriter:
    def __init__(self, mailbox: Mailbox) -> None: ...
    def publish(self, head: Head, position: Rows, curvature: Rows) -> int: ...

class ActiveTrajectory:
    def __init__(
        self,
        head: Head,
        position: Rows,
        curvature: Rows,
        motion: Rows,
        limits: Rows,
        grippers: Sequence[bool],
        switch_ns: int,
        blend_end_ns: int | None = None,
    ) -> None: ...
    @property
    def blend_ns(self) -> int: ...
    def sample(self, t_ns: int) -> Rows: ...
    def verdict(self, joint_count: int, now_ns: int) -> int: ...
