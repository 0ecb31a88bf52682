from collections.abc import Sequence

MAX_BUSES: int

class Bus:
    @property
    def joint_count(self) -> int: ...

class BusGroup(Bus):
    def __init__(self, buses: Sequence[Bus]) -> None: ...
