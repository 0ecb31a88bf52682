"""Fixed buffers of a session: in the processor's memory, or in a device's with one copy in and one out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from spinal.runtime.policy.signature import Bound, Tensor

Arrays = dict[str, NDArray[Any]]


class Binding(Protocol):
    """Arrays that never move, and a run from the ones into the others. One thread."""

    inputs: Arrays
    outputs: Arrays

    def run(self) -> None:
        """One inference; onnxruntime's own errors pass."""
        ...


class HostBinding:
    """onnxruntime reads and writes the arrays themselves."""

    def __init__(self, session: Any, bound: Bound) -> None:
        self._session = session
        self._binding = session.io_binding()
        self.inputs, self.outputs = _arrays(bound.inputs), _arrays(bound.outputs)
        for name, array in self.inputs.items():
            self._binding.bind_input(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
        for name, array in self.outputs.items():
            self._binding.bind_output(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)

    def run(self) -> None:
        """One inference."""
        self._session.run_with_iobinding(self._binding)


class DeviceBinding:
    """Every tensor has one place in the device's memory, as a CUDA graph demands; the arrays are its mirror.

    ``ort``: the onnxruntime module.
    """

    def __init__(self, ort: Any, session: Any, bound: Bound, device: tuple[str, int]) -> None:
        self._session = session
        self._binding = session.io_binding()
        self.inputs, self.outputs = _arrays(bound.inputs), _arrays(bound.outputs)
        self._in = self._values(ort, bound.inputs, device)
        self._out = self._values(ort, bound.outputs, device)
        for name, value in self._in.items():
            self._binding.bind_ortvalue_input(name, value)
        for name, value in self._out.items():
            self._binding.bind_ortvalue_output(name, value)

    def run(self) -> None:
        """Copies in, runs, waits for the device, copies out."""
        for name, value in self._in.items():
            value.update_inplace(self.inputs[name])
        self._session.run_with_iobinding(self._binding)
        self._binding.synchronize_outputs()
        for name, value in self._out.items():
            self.outputs[name][...] = value.numpy()

    @staticmethod
    def _values(ort: Any, tensors: Mapping[str, Tensor], device: tuple[str, int]) -> dict[str, Any]:
        return {
            name: ort.OrtValue.ortvalue_from_shape_and_type(
                tensor.shape, np.dtype(tensor.dtype).type, *device
            )
            for name, tensor in tensors.items()
        }


def _arrays(tensors: Mapping[str, Tensor]) -> Arrays:
    return {name: np.zeros(tensor.shape, tensor.dtype) for name, tensor in tensors.items()}
