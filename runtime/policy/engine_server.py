"""For authors of engines: the other side of the port that ``engines.md`` describes, in Python.

::

    from spinal.runtime.policy.engine_server import Request, serve

    def load(model, inputs, outputs):      # read the model; may take its time
        def run():                         # inputs are filled: write the outputs
            outputs["chunk"][...] = my_model(inputs["joint_position"])
        return run

    sys.exit(serve(load))
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from spinal.runtime.policy.engine_memory import FAILED, OK, READY, EngineMemory
from spinal.runtime.policy.engine_process import BELL_VARIABLE, MEMORY_VARIABLE, MODEL_VARIABLE

Arrays = Mapping[str, NDArray[Any]]
Run = Callable[[], None]
Load = Callable[[Path, Arrays, Arrays], Run]


def serve(load: Load) -> int:
    """An engine's whole life: loads the model, then answers requests until the policy is gone. Returns 0.

    ``load(model, inputs, outputs)`` returns what runs one inference from the ones into the others; the arrays lie
    in the shared memory and never move. What either raises is told to the policy, which takes it for a failed run.
    """
    memory = EngineMemory.attach(int(os.environ[MEMORY_VARIABLE]))
    bell = socket.socket(fileno=int(os.environ[BELL_VARIABLE]))
    head = memory.head[0]
    try:
        run = load(Path(os.environ[MODEL_VARIABLE]), memory.inputs, memory.outputs)
        run()
    except Exception as error:  # noqa: BLE001  whatever it is, the policy is told
        _say(memory, error)
        head["status"] = FAILED
        bell.send(b"\1")
        return 1
    head["status"] = READY
    bell.send(b"\1")
    while bell.recv(64):
        number = int(head["request"])
        if number == int(head["response"]):
            continue
        began_ns = time.monotonic_ns()
        try:
            run()
            status = OK
        except Exception as error:  # noqa: BLE001  whatever it is, the policy is told
            _say(memory, error)
            status = FAILED
        head["inference_ns"] = time.monotonic_ns() - began_ns
        head["status"] = status
        head["response"] = number
        try:
            bell.send(b"\1")
        except OSError:
            break
    return 0


def _say(memory: EngineMemory, error: Exception) -> None:
    memory.head["words"] = f"{type(error).__name__}: {error}".encode()[:255]
