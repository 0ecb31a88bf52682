from spinal.native.bus import Bus

class MemoryBus(Bus):
    def __init__(self, joints: int, tells: bool = True) -> None: ...
    def measure(
        self,
        joint: int,
        *,
        stamp_ns: int,
        position: float = 0.0,
        velocity: float = 0.0,
        load: float = 0.0,
        fresh: bool = True,
        error: int = 0,
    ) -> None: ...
    def tell(
        self,
        joint: int,
        *,
        stamp_ns: int,
        voltage: float = 12.0,
        temperature: float = 30.0,
        torque: bool = True,
    ) -> None: ...
    def fail(self, *, read: int = 0, write: int = 0, torque: int = 0) -> None: ...
    @property
    def goals(self) -> list[float]: ...
    @property
    def writes(self) -> int: ...
    @property
    def torque_shares(self) -> list[tuple[float, int]]: ...
