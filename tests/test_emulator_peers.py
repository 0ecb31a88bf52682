"""Clients that we did not write, on an emulated bus behind a pseudo-terminal."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest

from spinal.drivers.feetech.emulate import run_pty
from spinal.native import feetech
from spinal.native.emulator import EmulatorServer, Stats

IDS = [1, 2, 3, 4, 5, 6]
DEADLINE_S = 30.0
T = TypeVar("T")


class Pty:
    """A served pty: its path, its server, and at the end what went over the wire."""

    def __init__(self) -> None:
        self.path = ""
        self.server: EmulatorServer | None = None
        self.stats: Stats | None = None
        self._ready = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._ready.wait(DEADLINE_S)

    def _run(self) -> None:
        self.stats = run_pty(IDS, priority=5, on_ready=self._opened, stop=self._stop, lag_ns=1_000_000)

    def _opened(self, path: str, server: EmulatorServer) -> None:
        self.path, self.server = path, server
        self._ready.set()

    def end(self) -> Stats:
        self._stop.set()
        self._thread.join(DEADLINE_S)
        assert self.stats is not None
        return self.stats


@pytest.fixture
def pty() -> Iterator[Pty]:
    served = Pty()
    yield served
    served.end()


def until(ask: Callable[[], T], wanted: T) -> T:
    """Asks until the answer is ``wanted``, or the deadline."""
    ends_s = time.monotonic() + DEADLINE_S
    while (answer := ask()) != wanted and time.monotonic() < ends_s:
        pass
    return answer


def test_rustypot(pty: Pty) -> None:
    rustypot = pytest.importorskip("rustypot")
    client = rustypot.Sts3215PyController(pty.path, 1_000_000, DEADLINE_S)
    assert [client.ping(i) for i in IDS] == [True] * 6
    client.set_timeout(0.1)
    assert not client.ping(7)
    client.set_timeout(DEADLINE_S)
    assert client.sync_read_raw_present_position(IDS) == [2048] * 6

    goals = [1000, 1500, 2000, 2500, 3000, 3500]
    client.sync_write_torque_enable(IDS, [True] * 6)
    client.sync_write_raw_goal_position(IDS, goals)
    assert client.sync_read_raw_goal_position(IDS) == goals
    assert until(lambda: client.sync_read_raw_present_position(IDS), goals) == goals

    client.write_torque_enable(2, False)  # or it would go back to its goal
    client.write_raw_homing_offset(2, 0x0800 | 100)  # sign and magnitude: -100
    assert client.read_raw_present_position(2) == [1600]
    assert list(client.read_raw_data(3, 3, 2)) == [9, 3]  # model 777
    assert pty.end().bad_checksums == 0


def test_scservo_sdk(pty: Pty, monkeypatch: pytest.MonkeyPatch) -> None:
    sdk = pytest.importorskip("scservo_sdk")
    port = sdk.PortHandler(pty.path)
    assert port.openPort()
    handler = sdk.PacketHandler(0)
    try:
        assert handler.ping(port, 7)[1] == sdk.COMM_RX_TIMEOUT
        monkeypatch.setattr(sdk.port_handler, "LATENCY_TIMER", DEADLINE_S * 1e3)  # or a busy machine fails it
        assert handler.ping(port, 1) == (777, sdk.COMM_SUCCESS, 0)

        goals = dict(zip(IDS, (1000, 1500, 2000, 2500, 3000, 3500), strict=True))
        writer = sdk.GroupSyncWrite(port, handler, 42, 2)
        for servo, goal in goals.items():
            assert handler.write1ByteTxRx(port, servo, 40, 1) == (sdk.COMM_SUCCESS, 0)
            assert writer.addParam(servo, [goal & 255, goal >> 8])
        assert writer.txPacket() == sdk.COMM_SUCCESS
        assert {i: handler.read2ByteTxRx(port, i, 42)[0] for i in IDS} == goals

        reader = sdk.GroupSyncRead(port, handler, 56, 2)
        for servo in IDS:
            assert reader.addParam(servo)

        def positions() -> dict[int, int]:
            if reader.txRxPacket() != sdk.COMM_SUCCESS:
                return {}
            return {i: reader.getData(i, 56, 2) for i in IDS}

        assert until(positions, goals) == goals
        assert handler.read1ByteTxRx(port, 4, 63)[0] == 30
    finally:
        port.closePort()
    assert pty.end().collisions == 0


def test_st3215(pty: Pty, monkeypatch: pytest.MonkeyPatch) -> None:
    module = pytest.importorskip("st3215")
    monkeypatch.setattr("st3215.port_handler.LATENCY_TIMER", DEADLINE_S * 1e3)
    client = module.ST3215(pty.path)
    try:
        assert client.PingServo(3)
        assert client.ReadVoltage(3) == pytest.approx(12.0)
        assert client.ReadPosition(3) == 2048
    finally:
        client.portHandler.closePort()


def test_a_client_may_go_and_another_come(pty: Pty) -> None:
    serial = pytest.importorskip("serial")
    for _ in range(3):
        with serial.Serial(pty.path, 1_000_000, timeout=DEADLINE_S) as line:
            line.write(feetech.ping(1))
            assert line.read(6) == feetech.status(1)
        assert pty.server is not None
        report = pty.server.report
        assert until(lambda: report().line, "away") == "away"
    assert pty.end().packets == 3
