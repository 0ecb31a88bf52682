import numpy as np
from numpy.typing import NDArray

PARTS: tuple[str, ...]
MOST_CALLS: int

class Stopwatch:
    def __init__(self, joints: int, waypoints: int = 51, dt_s: float = 0.001) -> None: ...
    def time(
        self, part: str, repeats: int, batches: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]: ...
    @property
    def limited(self) -> int: ...
    @property
    def blends_ns(self) -> tuple[int, int]: ...
