"""What the decode suite times beside fitting: each decoder on an answer of its own, and a floor below it.

The floor does the part that no way of writing it could leave out: the matrix product behind FAST and BEAST, the
look-up of bins, the products of a VQ decoder, one pass over the chunks that an ensemble remembers, a looped model's
own runs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinal.runtime.bspline import basis
from spinal.runtime.config.card import PolicyCard
from spinal.runtime.decode.beast import BeastDecoder
from spinal.runtime.decode.bins import BinsDecoder
from spinal.runtime.decode.decoder import Answer, Decoder
from spinal.runtime.decode.ensemble import Ensemble
from spinal.runtime.decode.fast import FastDecoder, byte_alphabet, coefficients, dct_matrix, text_of
from spinal.runtime.decode.flow import guidance_weights
from spinal.runtime.decode.vq import VqDecoder
from spinal.runtime.policy.head import Guide, make_head

STEP_NS = 20_000_000
MIN_TOKEN, PIECE_BYTES = -200, 8
"""Of FAST: its texts are cut into pieces of so many bytes, which is about a token's length."""
CONTROLS = 12
FLOW_STEPS = 10
OVERLAPPING = 100


@dataclass(frozen=True, slots=True)
class Case:
    """``ours`` and ``floor`` take turns."""

    name: str
    about: str
    ours: Callable[[], object]
    floor: Callable[[], object]


def cases(folder: Path) -> Iterator[Case]:
    """All of them; ``folder`` is empty and takes the files that decoders want beside a model."""
    yield from (fast(folder, 50, 14), beast(50, 14), bins(50, 14), vq(folder, 20, 6))
    yield from (ensemble(100, 14, numba=True), ensemble(100, 14, numba=False))
    yield from (flow(50, 14, kind) for kind in ("free", "rtc", "velocity_mask", "prefix", "streaming"))


def motion(steps: int, channels: int, seed: int = 0) -> NDArray[np.float64]:
    """[step, channel]: smooth, between -1 and 1."""
    rng = np.random.default_rng(seed)
    phase, speed = rng.uniform(0, 6, channels), rng.uniform(1, 8, channels)
    return np.sin(phase + speed * np.linspace(0, 1, steps)[:, None]) * 0.9


def card(decoder: dict[str, Any], steps: int, channels: int, output: dict[str, Any]) -> PolicyCard:
    """A card for nothing but its decoder."""
    joints = [{"name": f"joint_{i}", "kind": "arm", "unit": "rad"} for i in range(channels)]
    prefix = {"max_steps": 8} if decoder.get("time_per_position") else {"max_steps": 0}
    return PolicyCard.model_validate(
        {
            "schema": 1,
            "name": "bench",
            "version": "0.1.0",
            "representation": "absolute",
            "noise": "normal",
            "chunk": {"steps": steps, "step_ms": 20.0},
            "prefix": prefix,
            "decoder": decoder,
            "joints": joints,
            "inputs": [{"name": "q", "stream": "joint_position", "shape": [1, channels], "unit": "joint"}],
            "output": output,
        }
    )


def fast(folder: Path, steps: int, channels: int) -> Case:
    """Against the inverse DCT alone, of coefficients that are there already."""
    rounded = coefficients(motion(steps, channels), 10.0)
    data = text_of(rounded, MIN_TOKEN).encode()
    pieces = [data[at : at + PIECE_BYTES] for at in range(0, len(data), PIECE_BYTES)]
    characters = {byte: character for character, byte in byte_alphabet().items()}
    ids = {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}
    vocabulary = {"".join(characters[byte] for byte in piece): number for piece, number in ids.items()}
    content = json.dumps(
        {"decoder": {"type": "ByteLevel"}, "model": {"type": "BPE", "vocab": vocabulary}}
    ).encode()
    (folder / "tokenizer.json").write_bytes(content)
    settings = {"kind": "fast", "tokenizer": "tokenizer.json", "min_token": MIN_TOKEN}
    settings["tokenizer_sha256"] = hashlib.sha256(content).hexdigest()
    output = {"name": "out", "shape": [1, len(pieces)], "dtype": "int64"}
    made = FastDecoder(card(settings, steps, channels, output), folder)
    answer = {"out": np.array([[ids[piece] for piece in pieces]], np.int64)}
    inverse, there = dct_matrix(steps).T / 10.0, rounded.reshape(steps, channels).astype(np.float64)
    name = f"fast.{steps}x{channels}"
    return Case(name, f"{len(pieces)} tokens", _decode(made, answer), lambda: inverse @ there)


def beast(steps: int, channels: int) -> Case:
    """Against the product of basis and control points."""
    settings = {"kind": "beast", "controls": CONTROLS, "degree": 4, "low": [-2.0], "high": [2.0]}
    output = {"name": "out", "shape": [1, CONTROLS * channels], "dtype": "int64"}
    made = BeastDecoder(card(settings, steps, channels, output), Path())
    answer = {"out": made.encode(motion(steps, channels))[None]}
    smooth, controls = basis(4, CONTROLS, steps - 1), np.zeros((CONTROLS, channels))
    return Case(
        f"beast.{steps}x{channels}", f"{CONTROLS} controls", _decode(made, answer), lambda: smooth @ controls
    )


def bins(steps: int, channels: int) -> Case:
    """Against the look-up alone."""
    output = {"name": "out", "shape": [1, steps * channels], "dtype": "int64"}
    made = BinsDecoder(card({"kind": "bins", "from_vocabulary": 32_000}, steps, channels, output), Path())
    tokens = np.random.default_rng(0).integers(0, 256, steps * channels)
    table, answer = np.zeros(256), {"out": 31_999 - tokens[None]}
    return Case(f"bins.{steps}x{channels}", "256 bins", _decode(made, answer), lambda: table[tokens])


def vq(folder: Path, steps: int, channels: int, width: int = 512) -> Case:
    """Against the two products of a decoder with one hidden layer."""
    rng = np.random.default_rng(0)
    size = steps * channels
    shapes = {"codebooks": (2, 16, width), "weight.0": (width, width), "bias.0": (width,)}
    shapes |= {"weight.1": (size, width), "bias.1": (size,)}
    table = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    header, data = {}, b""
    for name, tensor in table.items():
        offsets = [len(data), len(data) + tensor.nbytes]
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": offsets}
        data += tensor.tobytes()
    text = json.dumps(header).encode()
    content = len(text).to_bytes(8, "little") + text + data
    (folder / "codes.safetensors").write_bytes(content)
    settings = {"kind": "vq", "logits": "logits", "offsets": "offsets", "table": "codes.safetensors"}
    settings["table_sha256"] = hashlib.sha256(content).hexdigest()
    made = VqDecoder(card(settings, steps, channels, {"name": "logits", "shape": [1, 2, 16]}), folder)
    answer = {
        "logits": rng.normal(size=(1, 2, 16)).astype(np.float32),
        "offsets": rng.normal(size=(1, 2, 16, size)).astype(np.float32),
    }
    first, second = table["weight.0"].astype(np.float64), table["weight.1"].astype(np.float64)
    z = np.zeros(width)
    name = f"vq.{steps}x{channels}"
    return Case(
        name, f"2 layers of 16 codes, {width} wide", _decode(made, answer), lambda: second @ (first @ z)
    )


def ensemble(steps: int, joints: int, *, numba: bool) -> Case:
    """As many chunks as overlap when every step is answered, against one weighted sum of as many numbers."""
    made = Ensemble(0.01, numba=numba)
    actions = motion(steps, joints)
    instants = iter(range(0, 1 << 62, STEP_NS))
    for _ in range(OVERLAPPING + 10):
        made.add(next(instants), STEP_NS, actions)
    rows, weights = np.ones((OVERLAPPING, steps * joints)), np.ones(OVERLAPPING)
    name = f"ensemble{'' if numba else '_numpy'}.{steps}x{joints}"
    about = f"{OVERLAPPING} chunks, {'numba' if numba else 'numpy'}"
    return Case(name, about, lambda: made.add(next(instants), STEP_NS, actions), lambda: weights @ rows)


class StillEngine:
    """An engine whose model costs nothing but the call: what is left is the loop's own."""

    def __init__(self, steps: int, channels: int, per_position: bool) -> None:
        chunk = (1, steps, channels)
        time = (1, steps) if per_position else (1,)
        self.inputs = {"x": np.zeros(chunk, np.float32), "time": np.zeros(time, np.float32)}
        self.outputs = {"v": np.zeros(chunk, np.float32)}
        self.providers = ["nothing"]

    def run(self) -> None:
        """Answers what it answered."""


def flow(steps: int, channels: int, kind: str) -> Case:
    """The loop around the model, against as many empty runs of it."""
    per_position = kind in ("prefix", "streaming")
    settings = {"kind": "flow", "steps": FLOW_STEPS, "noise_at": 1, "x": "x", "time": "time", "velocity": "v"}
    settings["time_per_position"] = per_position
    engine = StillEngine(steps, channels, per_position)
    output = {"name": "v", "shape": [1, steps, channels]}
    head = make_head(card(settings, steps, channels, output), engine)
    target, weights = motion(steps, channels), guidance_weights(steps, 5, 25)
    guide = None if kind == "free" else Guide(target, weights, 5, kind)  # type: ignore[arg-type]

    def runs() -> None:
        for _ in range(FLOW_STEPS):
            engine.run()

    return Case(f"flow_{kind}.{steps}x{channels}", f"{FLOW_STEPS} steps", lambda: head.answer(guide), runs)


def _decode(made: Decoder, answer: Answer) -> Callable[[], object]:
    return lambda: made.decode(answer)
