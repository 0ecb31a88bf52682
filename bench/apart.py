"""A measurement in a process of its own: locked memory and FIFO threads there touch nothing here.

Spawned, not forked: a fork would share pages with the locked process and give its loop page faults.
"""

from __future__ import annotations

import multiprocessing
import signal
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from spinal.native.realtime import die_with_parent
from spinal.runtime.errors import ProcessError, SpinalError

Found = TypeVar("Found")

START_S = 60.0
"""For the interpreter, numpy and onnxruntime, on a machine that is loaded on purpose."""
END_S = 5.0


def run_apart(work: Callable[..., Found], *arguments: object, seconds: float) -> Found:
    """``work(*arguments)``, a function of a module, in a new process; what it returns.

    ``seconds``: how long it should take; it is ended when it takes three times that and START_S more. Raises what
    ``work`` raised where that is a SpinalError, ProcessError for anything else, its text with it. The process has
    ended when this returns or raises.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_serve, args=(theirs, work, arguments), daemon=True)
    process.start()
    try:
        theirs.close()
        if not ours.poll(START_S + 3 * seconds):
            raise ProcessError(
                f"{work.__name__} did not end within {START_S + 3 * seconds:.0f} s",
                hint="the machine is overloaded: end what runs beside it and measure again",
            )
        done, found = ours.recv()
    except EOFError:
        process.join(END_S)
        raise ProcessError(
            f"the process of {work.__name__} died with exit code {process.exitcode}",
            hint="look for what the kernel says about it: dmesg | tail",
        ) from None
    finally:
        process.kill()
        process.join(END_S)
        ours.close()
    if done:
        result: Found = found
        return result
    raise found


def _serve(answer: Connection, work: Callable[..., Any], arguments: tuple[object, ...]) -> None:
    die_with_parent(signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; the parent ends this one
    try:
        answer.send((True, work(*arguments)))
    except SpinalError as error:
        answer.send((False, error))
    except Exception:  # noqa: BLE001  it is told to the parent, which raises it
        answer.send((False, ProcessError(f"{work.__name__} failed:\n{traceback.format_exc()}")))
