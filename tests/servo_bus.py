"""A client of the emulated bus, for the tests that need one."""

from spinal.drivers.feetech.registers import BY_NAME
from spinal.native import feetech
from spinal.native.emulator import Emulator, MemoryTransport

IDS = (1, 2, 3, 4, 5, 6)
PATIENCE_NS = 50_000_000


class Bus:
    """A client on the memory transport that reads until the wire is silent."""

    def __init__(self, ids: tuple[int, ...] = IDS, baud: int = 1_000_000) -> None:
        self.emulator = Emulator(ids, baud=baud)
        self.wire = MemoryTransport(self.emulator)

    def ask(self, request: bytes) -> list[tuple[int, feetech.Packet]]:
        """Each reply with the instant of its last byte, counted from the request's first."""
        start_ns, replies = self.wire.now_ns, []
        deadline_ns = start_ns + PATIENCE_NS
        self.wire.write(request)
        while data := self.wire.read(deadline_ns):
            arrived_ns = self.wire.now_ns - start_ns
            replies += [(arrived_ns, packet) for packet in feetech.scan(data).packets]
        assert self.wire.now_ns == deadline_ns
        return replies

    def packets(self, request: bytes) -> list[feetech.Packet]:
        return [packet for _, packet in self.ask(request)]

    def read(self, servo: int, name: str) -> int:
        register = BY_NAME[name]
        (reply,) = self.packets(feetech.read(servo, register.address, register.width))
        value = int.from_bytes(reply.params, "little")
        return value if register.sign_bit is None else feetech.decode(value, register.sign_bit)

    def write(self, servo: int, name: str, value: int) -> list[feetech.Packet]:
        return self.packets(feetech.write(servo, BY_NAME[name].address, encoded(name, value)))


def encoded(name: str, value: int) -> bytes:
    register = BY_NAME[name]
    raw = value if register.sign_bit is None else feetech.encode(value, register.sign_bit)
    return raw.to_bytes(register.width, "little")
