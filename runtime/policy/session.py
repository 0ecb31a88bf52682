"""A model loaded and warm: fixed buffers in, fixed buffers out, and proof of where it runs.

onnxruntime's telemetry is switched off, unless the environment says otherwise: recent Linux builds
report to their maker from a thread of their own, which has no place beside a loop. It is decided when the
library is loaded, so it stands above the import.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spinal.runtime.config.card import PolicyCard
from spinal.runtime.errors import PolicyError

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime as ort

WARM_UP_RUNS = 20


class Session:
    """An onnxruntime session of ``card``'s model with IO bound to arrays that never move.

    Fill ``inputs[name]`` (float32, shapes as in the card), call ``run``, read ``output``. One intra-op thread,
    no spinning: a pool that spins steals the cores that the loop and the bus need. Raises PolicyError when the
    model does not load, its tensors differ from the card, or it runs on another provider than asked for.

    Make it before any thread of the process asks for real-time priority: onnxruntime's threads inherit it.
    """

    def __init__(
        self, model: Path, card: PolicyCard, providers: Sequence[str], allow_provider_fallback: bool = False
    ) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        try:
            self._session = ort.InferenceSession(str(model), options, providers=list(providers))
        except Exception as error:  # noqa: BLE001  onnxruntime raises its own classes, and RuntimeError
            raise PolicyError(
                f"onnxruntime cannot load {model.name}: {_first_line(error)}",
                hint=f"run: spinal check, and open the model with onnxruntime {ort.__version__} by hand",
            ) from None
        self.providers: list[str] = self._session.get_providers()
        if self.providers[0] != providers[0] and not allow_provider_fallback:
            raise PolicyError(
                f"{model.name} was to run on {providers[0]} and would run on {self.providers[0]}",
                hint="install what that provider needs, name another in [policy] providers, or set"
                " allow_provider_fallback = true",
            )
        self._check_tensors(card, model.name)
        self._binding = self._session.io_binding()
        self.inputs: dict[str, NDArray[np.float32]] = {}
        for tensor in card.inputs:
            buffer = np.zeros(tensor.shape, np.float32)
            self.inputs[tensor.name] = buffer
            self._binding.bind_input(tensor.name, "cpu", 0, np.float32, tensor.shape, buffer.ctypes.data)
        self.output: NDArray[np.float32] = np.zeros(card.output.shape, np.float32)
        self.outputs = {card.output.name: self.output}
        self._binding.bind_output(
            card.output.name, "cpu", 0, np.float32, card.output.shape, self.output.ctypes.data
        )
        for _ in range(WARM_UP_RUNS):
            self.run()
        self._refuse_nonsense(model.name)

    def run(self) -> None:
        """One inference from ``inputs`` into ``output``."""
        self._session.run_with_iobinding(self._binding)

    def _refuse_nonsense(self, model: str) -> None:
        """A good model may answer NaN to zeros (a norm of 0), but not to everything."""
        if np.isfinite(self.output).all():
            return
        rng = np.random.default_rng(0)
        for buffer in self.inputs.values():
            buffer[...] = rng.normal(size=buffer.shape)
        self.run()
        if not np.isfinite(self.output).all():
            raise PolicyError(
                f"{model} answers numbers that are not finite, whatever it is asked",
                hint="check the weights and the export: a NaN in training stays in the file",
            )

    def _check_tensors(self, card: PolicyCard, model: str) -> None:
        wanted = {tensor.name: tuple(tensor.shape) for tensor in card.inputs}
        found = {tensor.name: tuple(tensor.shape) for tensor in self._session.get_inputs()}
        wanted_out = {card.output.name: tuple(card.output.shape)}
        found_out = {tensor.name: tuple(tensor.shape) for tensor in self._session.get_outputs()}
        differences = [
            f"{name}: card {want.get(name, 'nothing')}, model {have.get(name, 'nothing')}"
            for want, have in ((wanted, found), (wanted_out, found_out))
            for name in sorted({*want, *have})
            if want.get(name) != have.get(name)
        ]
        if differences:
            raise PolicyError(
                f"{model} and its card disagree about tensors: " + "; ".join(differences),
                hint="write the model's own names and fixed shapes into the card",
            )


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
