"""A model loaded and warm: fixed buffers in, fixed buffers out, and proof of where it runs.

onnxruntime's telemetry is switched off, unless the environment says otherwise: recent Linux builds
report to their maker from a thread of their own, which has no place beside a loop. It is decided when the
library is loaded, so it stands above the import.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from spinal.runtime.config.card import PolicyCard
from spinal.runtime.config.policy import EngineOptions
from spinal.runtime.errors import PolicyError
from spinal.runtime.policy import placement
from spinal.runtime.policy.binding import Binding, DeviceBinding, HostBinding
from spinal.runtime.policy.engine import warm_up
from spinal.runtime.policy.providers import MIB, device_of, with_options
from spinal.runtime.policy.signature import Bound, Declared, Signature, bind

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime as ort

WARM_UP_RUNS = 20
DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
    "tensor(uint8)": "uint8",
    "tensor(bool)": "bool",
}
"""onnxruntime's element types that a card can name, as numpy calls them."""
DEFAULTS = EngineOptions()

_bounded: list[int] = []
"""The bytes that ``bound_memory`` allows; empty while nobody has asked."""


def bound_memory(mib: int) -> None:
    """All sessions made from now on share one arena of at most ``mib``. Once a process, before the first."""
    if _bounded:
        return
    place = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    ort.create_and_register_allocator(place, ort.OrtArenaCfg({"max_mem": mib * MIB}))
    _bounded.append(mib * MIB)


class Session:
    """An onnxruntime session with IO bound to arrays that never move.

    Fill ``inputs[name]`` (shape and type as in the card), call ``run``, read ``outputs[name]``. One intra-op thread
    and no spinning, unless ``options`` say otherwise: a pool that spins steals the cores that the loop and the bus
    need. Raises PolicyError when the model does not load, its tensors differ from the card, an axis stays open, or
    it would run elsewhere than on the first of ``providers``.

    ``card``: its tensors, or a signature for a graph without a card. Make it before any thread of the process asks
    for real-time priority: onnxruntime's threads inherit it.
    """

    def __init__(
        self,
        model: Path,
        card: PolicyCard | Signature,
        providers: Sequence[str],
        allow_provider_fallback: bool = False,
        options: EngineOptions = DEFAULTS,
    ) -> None:
        self.name = model.name
        wanted = card if isinstance(card, Signature) else Signature.of(card)
        loader = _Loader(model, list(providers), options)
        session = loader.load({})
        bound = bind(self.name, wanted, _declared(session.get_inputs()), _declared(session.get_outputs()))
        if bound.axes:  # shapes that are known at load are shapes that onnxruntime can plan with
            session = loader.load(bound.axes)
        session.disable_fallback()
        self.providers: list[str] = session.get_providers()
        self._binding = _bind(session, bound, self.providers[0], options)
        self.inputs: Mapping[str, NDArray[Any]] = self._binding.inputs
        self.outputs: Mapping[str, NDArray[Any]] = self._binding.outputs
        self.output: NDArray[Any] = next(self.outputs[name] for name in (*wanted.outputs, *self.outputs))
        """The first that was named: the card's own."""
        self.nodes: Mapping[str, int] = self._placed(session, loader, bound)
        """How many of the model's nodes run on which provider."""
        placement.refuse_fall_back(
            self.name, providers[0], self.providers, self.nodes, allow_provider_fallback
        )
        warm_up(self, self.name, WARM_UP_RUNS)

    def run(self) -> None:
        """One inference from ``inputs`` into ``outputs``. Raises PolicyError."""
        try:
            self._binding.run()
        except Exception as error:  # noqa: BLE001  onnxruntime raises its own classes, and RuntimeError
            raise PolicyError(
                f"{self.name} failed while it ran: {_first_line(error)}",
                hint="the arm keeps its old chunk and holds at its end; run the model by hand on such inputs",
            ) from None

    def _placed(self, session: Any, loader: _Loader, bound: Bound) -> Counter[str]:
        recorded = placement.from_record(session)
        if recorded is not None:
            return recorded
        return placement.from_profile(
            lambda prefix: loader.load(bound.axes, prefix),
            lambda made: _bind(made, bound, made.get_providers()[0], loader.options).run(),
        )


class _Loader:
    """Loads a model as the options say, again with numbers for its named axes, or with a profile."""

    def __init__(self, model: Path, providers: list[str], options: EngineOptions) -> None:
        self._model, self._providers, self.options = model, providers, options

    def load(self, axes: Mapping[str, int], profile: str = "") -> Any:
        """An onnxruntime session. Raises PolicyError."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = self.options.threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", str(int(self.options.spinning)))
        options.add_session_config_entry(placement.RECORD, "1")
        if _bounded:
            options.add_session_config_entry("session.use_env_allocators", "1")
        options.log_severity_level = 3
        for axis, number in axes.items():
            options.add_free_dimension_override_by_name(axis, number)
        if profile:
            options.enable_profiling, options.profile_file_prefix = True, profile
        try:
            return ort.InferenceSession(
                str(self._model), options, providers=with_options(self._providers, self.options)
            )
        except Exception as error:  # noqa: BLE001  onnxruntime raises its own classes, and RuntimeError
            raise PolicyError(
                f"onnxruntime cannot load {self._model.name}: {_first_line(error)}",
                hint=f"run: spinal check, and open the model with onnxruntime {ort.__version__} by hand",
            ) from None


def _bind(session: Any, bound: Bound, provider: str, options: EngineOptions) -> Binding:
    device = device_of(provider, options)
    return HostBinding(session, bound) if device is None else DeviceBinding(ort, session, bound, device)


def _declared(tensors: Sequence[Any]) -> dict[str, Declared]:
    return {
        tensor.name: Declared(tuple(tensor.shape), DTYPES.get(tensor.type, tensor.type)) for tensor in tensors
    }


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
