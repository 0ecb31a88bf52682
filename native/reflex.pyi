from spinal.native.loop import ReflexLimits

class Reflex:
    def __init__(self, limits: ReflexLimits) -> None: ...
    def tick(
        self,
        tick_ns: int,
        command: float = 0.0,
        position: float = 0.0,
        velocity: float = 0.0,
        load: float = 0.0,
        *,
        fresh: bool = True,
        health: tuple[int, float, float] | None = None,
        energised: bool = True,
        error: int = 0,
    ) -> int: ...
    @property
    def lagged(self) -> float: ...
    @property
    def outside(self) -> float: ...
    @property
    def rest(self) -> float: ...
