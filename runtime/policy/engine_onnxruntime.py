"""An engine whole, for a model to imitate and for the tests: onnxruntime in a process of its own.

In the robot file::

    [policy.engines.apart]
    command = ["python", "-m", "spinal.runtime.policy.engine_onnxruntime"]

and in the card ``engine = "apart"``. What crashes onnxruntime then ends this process, and not the policy.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from spinal.runtime.policy.engine_server import Arrays, Run, serve
from spinal.runtime.policy.session import Session
from spinal.runtime.policy.signature import Signature, Tensor


def main() -> int:
    """Serves the model that the policy names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--provider", action="append", help="execution provider, best first (the processor)")
    wanted = parser.parse_args().provider or ["CPUExecutionProvider"]

    def load(model: Path, inputs: Arrays, outputs: Arrays) -> Run:
        session = Session(model, Signature(_tensors(inputs), dict(_tensors(outputs))), wanted)

        def run() -> None:
            for name, array in session.inputs.items():
                array[...] = inputs[name]
            session.run()
            for name, array in session.outputs.items():
                outputs[name][...] = array

        return run

    return serve(load)


def _tensors(arrays: Arrays) -> dict[str, Tensor]:
    return {name: Tensor(array.shape, array.dtype.name) for name, array in arrays.items()}


if __name__ == "__main__":
    sys.exit(main())
