"""Bytes that the policy process writes to bring one observation from shared memory to the model's inputs.

Counted is every buffer that is filled on the way, at the four doors where one can be:

1. mailboxes: what is read out of shared memory (state, pose samples),
2. arrays: what numpy asks its allocator for (NEP 49), intermediate results included,
3. native: what a look ahead copies into the tick's own hand-off and spline,
4. inputs: the model's float32 inputs. These are the floor: less cannot be written.

The robot and the policy are the shipped ones, one policy step of delay, one new sample of each stream. It is the
same number on every machine with the same numpy.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any, cast
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from spinal.bench.machine import ROOT
from spinal.native import layout
from spinal.native.shared import Mailbox
from spinal.native.tensor import TensorInput
from spinal.native.trajectory import ActiveTrajectory
from spinal.runtime import segments
from spinal.runtime.config import load_robot
from spinal.runtime.config.card import PolicyCard, load_card
from spinal.runtime.config.robot import RobotConfig
from spinal.runtime.policy import forecast
from spinal.runtime.policy.fill import fills
from spinal.runtime.policy.observe import Observer, pose_inputs
from spinal.runtime.policy.session import Session
from spinal.runtime.policy.step import Execution, PolicyStep
from spinal.runtime.segments import PoseSample, PoseWriter, StateReader, Writer
from spinal.runtime.types import Observation

ROBOT = ROOT / "launch" / "robots" / "so101_sim.toml"
NOW_NS = 10_000_000_000
MS = 1_000_000
SET_HANDLER = 304
"""Index of PyDataMem_SetHandler in numpy's C API, since 1.22."""


@dataclass(slots=True)
class Written:
    """Bytes by door."""

    mailboxes: int = 0
    arrays: int = 0
    native: int = 0
    inputs: int = 0

    @property
    def total(self) -> int:
        """All of it."""
        return self.mailboxes + self.arrays + self.native + self.inputs


def measure() -> list[Written]:
    """Of three observations in a row, warm; they should be the same. Raises ConfigError for the robot file."""
    robot = load_robot(ROBOT)
    if robot.policy is None:
        raise ValueError("the shipped robot has a policy")
    return ObservationPath(robot, load_card(Path(robot.policy.model))).written(3)


class ObservationPath:
    """The policy process's own reader, filter, forecast and filling of inputs, with a door-keeper at each door."""

    def __init__(self, robot: RobotConfig, card: PolicyCard) -> None:
        self.counted = Written()
        joints = len(robot.joints)
        self._made = {writer: segments.create(writer, joints) for writer in Writer}
        self._state = Mailbox(self._made[Writer.CONTROLLER], segments.CONTROLLER_STATE)
        self._poses = PoseWriter(self._made[Writer.SIM], segments.SIM_POSE) if robot.streams else None
        self._record = np.zeros(1, layout.state_dtype(joints))
        self._forecast = forecast.Forecast(robot)
        with mock.patch.object(segments, "Mailbox", self._mailbox):
            states = StateReader(self._made[Writer.CONTROLLER], joints)
            streams = pose_inputs(robot, self._made[Writer.SIM], segments.SIM_POSE)
        self.observer = Observer(states, streams, 1000 * MS, self._forecast)
        self._session = _Session(card)
        execution = Execution.of(robot, card.chunk.step_ns)
        with mock.patch.object(fills, "TensorInput", self._input):
            self.step = PolicyStep(card, cast(Session, self._session), execution)
        self._now_ns = NOW_NS
        self._number = 0

    def written(self, times: int) -> list[Written]:
        """Bytes of each of so many observations, behind two that warm up and put a trajectory in force."""
        found = []
        for k in range(-2, times):
            self._publish()
            self.counted.mailboxes = self.counted.arrays = self.counted.native = self.counted.inputs = 0
            with self._doors():
                observation = self._observe()
                with contextlib.suppress(_Inferring):
                    self.step.infer(observation)
            if k >= 0:
                counted = self.counted
                found.append(Written(counted.mailboxes, counted.arrays, counted.native, counted.inputs))
            self._answer(observation)
            del observation
        self.observer.newest = None
        gc.collect()  # nothing that the counting allocator gave stays behind
        return found

    def _observe(self) -> Observation:
        observation = self.observer.observe(self._now_ns, self.step.ahead_ns(self.step.execution.step_ns))
        if observation is None:
            raise RuntimeError(f"no observation: {self.observer.missing}")
        return observation

    def _publish(self) -> None:
        """The next policy step's state and samples."""
        self._now_ns += self.step.execution.step_ns
        record = self._record[0]
        record["tick_ns"], record["command_ns"] = self._now_ns - MS, self._now_ns - 5 * MS
        record["mode"], record["trajectory_id"] = layout.MODE_RUNNING, self._number
        record["observation_stamp_ns"] = self._now_ns - 20 * MS
        record["joint_count"] = len(record["joints"])
        record["joints"]["stamp_ns"] = self._now_ns - MS
        self._state.publish(self._record.view(np.uint8))
        if self._poses is not None:
            self._poses.publish(PoseSample(self._now_ns - 10 * MS, self._now_ns - MS, 0.2, 0.0, 0.02, 0.0))

    def _answer(self, observation: Observation) -> None:
        """A trajectory that the next state names."""
        self._session.answers = True
        chunk = self.step.infer(observation)
        self._session.answers = False
        path = self.step.execution.trajectory(chunk, observation.command, self._now_ns, MS)
        self._number += 1
        self._forecast.published(self._number, path, self._now_ns)

    @contextlib.contextmanager
    def _doors(self) -> Iterator[None]:
        with mock.patch.object(forecast, "ActiveTrajectory", self._native), _counted_arrays(self.counted):
            yield

    def _mailbox(self, *arguments: Any) -> Any:
        return _Mailbox(Mailbox(*arguments), self.counted)

    def _input(self, buffer: NDArray[np.float32]) -> Any:
        return _Input(TensorInput(buffer), buffer.nbytes, self.counted)

    def _native(self, head: Any, *arguments: Any) -> ActiveTrajectory:
        self.counted.native += sum(one.nbytes for one in arguments if isinstance(one, np.ndarray))
        return ActiveTrajectory(head, *arguments)


class _Mailbox:
    def __init__(self, real: Mailbox, counted: Written) -> None:
        self._real, self._counted = real, counted

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def read_latest(self, into: NDArray[np.uint8]) -> int:
        number = self._real.read_latest(into)
        self._counted.mailboxes += into.nbytes if number else 0
        return number

    def read(self, number: int, into: NDArray[np.uint8]) -> bool:
        taken = self._real.read(number, into)
        self._counted.mailboxes += into.nbytes if taken else 0
        return taken


class _Inferring(Exception):  # noqa: N818 - no error: the inputs are filled, and what comes next is not counted
    pass


class _Input:
    """A model's input; whatever is called of it writes all of it."""

    def __init__(self, real: TensorInput, size: int, counted: Written) -> None:
        self._real, self._size, self._counted = real, size, counted

    def __getattr__(self, name: str) -> Any:
        self._counted.inputs += self._size
        return getattr(self._real, name)


class _Session:
    """Stands in for a session: its fixed buffers, and no model."""

    def __init__(self, card: PolicyCard) -> None:
        self.answers = False
        self.inputs = {tensor.name: np.zeros(tensor.shape, np.float32) for tensor in card.inputs}
        self.outputs = {card.output.name: np.zeros(card.output.shape, np.float32)}
        self.providers = ["none"]

    def run(self) -> None:
        if not self.answers:
            raise _Inferring


class _Allocator(ctypes.Structure):
    malloc_type = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
    calloc_type = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t)
    realloc_type = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
    free_type = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
    _fields_ = (
        ("name", ctypes.c_char * 127),
        ("version", ctypes.c_uint8),
        ("context", ctypes.c_void_p),
        ("malloc", malloc_type),
        ("calloc", calloc_type),
        ("realloc", realloc_type),
        ("free", free_type),
    )


@lru_cache(maxsize=1)
def _handler() -> tuple[Any, list[int], Any]:
    """(numpy's handler object, [bytes asked for], what must live as long). Made once: arrays refer to it."""
    libc = ctypes.CDLL(None)
    libc.malloc.restype = libc.calloc.restype = libc.realloc.restype = ctypes.c_void_p
    asked = [0]

    def malloc(_: int, size: int) -> int:
        asked[0] += size
        return cast(int, libc.malloc(ctypes.c_size_t(size)))

    def calloc(_: int, number: int, size: int) -> int:
        asked[0] += number * size
        return cast(int, libc.calloc(ctypes.c_size_t(number), ctypes.c_size_t(size)))

    def realloc(_: int, memory: int, size: int) -> int:
        asked[0] += size
        return cast(int, libc.realloc(ctypes.c_void_p(memory), ctypes.c_size_t(size)))

    def free(_: int, memory: int, size: int) -> None:
        libc.free(ctypes.c_void_p(memory))

    table = _Allocator(
        b"spinal bench", 1, None,
        _Allocator.malloc_type(malloc), _Allocator.calloc_type(calloc),
        _Allocator.realloc_type(realloc), _Allocator.free_type(free),
    )  # fmt: skip
    new = ctypes.pythonapi.PyCapsule_New
    new.restype, new.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
    name = ctypes.c_char_p(b"mem_handler")
    return new(ctypes.addressof(table), name, None), asked, (table, name)


@contextlib.contextmanager
def _counted_arrays(counted: Written) -> Iterator[None]:
    """Adds to ``counted.arrays`` what numpy asks for meanwhile, in this thread."""
    handler, asked, _ = _handler()
    set_handler = _set_handler()
    before = set_handler(handler)
    began = asked[0]
    try:
        yield
    finally:
        set_handler(before)
        counted.arrays += asked[0] - began


def _set_handler() -> Callable[[Any], Any]:
    umath = import_module("numpy._core._multiarray_umath")
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
    table = ctypes.cast(pointer(umath._ARRAY_API, None), ctypes.POINTER(ctypes.c_void_p))
    return ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object)(cast(int, table[SET_HANDLER]))
