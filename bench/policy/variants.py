"""Smaller numbers for the same network: half precision, and 8-bit weights.

Inputs and outputs stay float32, so the card stays true but for the digest. Conversion is onnxruntime's own and
needs the ``onnx`` package (``pip install 'spinal[dev]'``).
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from spinal.runtime.config.card import card_path

PRESENT = find_spec("onnx") is not None


def write(model: Path, folder: Path) -> dict[str, Path]:
    """fp32, fp16 and int8 of ``model`` with their cards, in ``folder``, by name."""
    made = {"fp32": folder / "fp32.onnx"}
    made["fp32"].write_bytes(model.read_bytes())
    for name, convert in CONVERSIONS.items():
        made[name] = folder / f"{name}.onnx"
        convert(model, made[name])
    card = card_path(model).read_text()
    for path in made.values():
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        card_path(path).write_text(re.sub(r'(?m)^sha256 = ".*"$', f'sha256 = "{digest}"', card))
    return made


def _half(model: Path, to: Path) -> None:
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    onnx.save(convert_float_to_float16(onnx.load(model), keep_io_types=True), to)


def _eight_bits(model: Path, to: Path) -> None:
    """Weights by output channel; activations are quantised as they come."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    plain = onnx.load(model)
    del plain.graph.value_info[:]  # shapes that the conversion would hold against its own
    logging.getLogger().addFilter(_not_about_preprocessing)
    try:
        quantize_dynamic(plain, to, weight_type=QuantType.QInt8, per_channel=True)
    finally:
        logging.getLogger().removeFilter(_not_about_preprocessing)


def _not_about_preprocessing(record: logging.LogRecord) -> bool:
    return "pre-processing" not in record.getMessage()


CONVERSIONS: dict[str, Callable[[Path, Path], None]] = {"fp16": _half, "int8": _eight_bits}
