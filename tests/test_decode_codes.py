"""Bins and VQ codes: against the sources' own formulas, and what is refused."""

import hashlib
import json

import numpy as np
import pytest
from decode_cards import card
from hypothesis import given, settings
from hypothesis import strategies as st

from spinal.runtime.decode.beside import safetensors_of
from spinal.runtime.decode.bins import BinsDecoder
from spinal.runtime.decode.vq import VqDecoder
from spinal.runtime.errors import InvalidAnswer, PolicyError

STEPS, CHANNELS = 5, 2


def bins(**settings):
    return BinsDecoder(card({"kind": "bins"} | settings, STEPS, output=(1, STEPS * CHANNELS)), None)


def test_openvlas_bins():
    size = 32_000
    edges = np.linspace(-1, 1, 256)
    centres = (edges[:-1] + edges[1:]) / 2
    ids = np.random.default_rng(0).integers(size - 256, size, STEPS * CHANNELS)
    ids[:2] = size - 256, size - 1
    expected = centres[np.clip(size - ids - 1, 0, 254)].reshape(STEPS, CHANNELS)
    made = bins(edges="openvla", from_vocabulary=size)
    np.testing.assert_array_equal(made.decode({"out": ids[None]}).actions, expected)
    np.testing.assert_array_equal(made.decode({"out": ids.reshape(1, STEPS, CHANNELS)}).actions, expected)


def test_the_other_bins():
    tokens = np.random.default_rng(1).integers(0, 256, STEPS * CHANNELS)
    answer = {"out": tokens[None].astype(np.int32)}
    openpi = bins(edges="openpi").decode(answer).actions.reshape(-1)
    np.testing.assert_allclose(openpi, tokens / 256 * 2 - 1, atol=1e-15)
    rt1 = bins(edges="rt1", low=-2.0, high=4.0).decode(answer).actions.reshape(-1)
    np.testing.assert_allclose(rt1, -2 + tokens / 255 * 6, atol=1e-12)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.integers(-3, 258), min_size=9, max_size=11),
    st.sampled_from(["openvla", "rt1", "openpi"]),
    st.sampled_from([None, 1000]),
)
def test_tokens_are_bounded_or_invalid(tokens, edges, vocabulary):
    made = bins(edges=edges, from_vocabulary=vocabulary)
    ids = np.array(tokens) if vocabulary is None else vocabulary - 1 - np.array(tokens)
    if len(tokens) == STEPS * CHANNELS and all(0 <= token <= 255 for token in tokens):
        assert np.abs(made.decode({"out": ids[None]}).actions).max() <= 1
    else:
        with pytest.raises(InvalidAnswer):
            made.decode({"out": ids[None]})


@pytest.mark.parametrize("edges", ["openvla", "rt1", "openpi"])
@pytest.mark.parametrize("wrong", [-1, 256])
def test_a_single_token_outside_is_enough(edges, wrong):
    tokens = np.zeros(STEPS * CHANNELS, int)
    assert bins(edges=edges).decode({"out": tokens[None]}).actions.shape == (STEPS, CHANNELS)
    tokens[7] = wrong
    with pytest.raises(InvalidAnswer, match=f"token {wrong} is none of 256 bins"):
        bins(edges=edges).decode({"out": tokens[None]})


# --- VQ


def safetensors(tensors):
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, tensor in tensors.items():
        kind = {"f4": "F32", "f2": "F16", "f8": "F64"}[tensor.dtype.str[1:]]
        offsets = [len(data), len(data) + tensor.nbytes]
        header[name] = {"dtype": kind, "shape": list(tensor.shape), "data_offsets": offsets}
        data += tensor.tobytes()
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def network(layers=2, codes=16, width=7, hidden=9, dtype=np.float32, seed=0):
    rng = np.random.default_rng(seed)
    shapes = {
        "codebooks": (layers, codes, width),
        "weight.0": (hidden, width),
        "bias.0": (hidden,),
        "weight.1": (STEPS * CHANNELS, hidden),
        "bias.1": (STEPS * CHANNELS,),
    }
    return {name: rng.normal(size=shape).astype(dtype) for name, shape in shapes.items()}


def vq(folder, content):
    (folder / "codes.safetensors").write_bytes(content)
    settings = {
        "kind": "vq",
        "logits": "logits",
        "offsets": "offsets",
        "table": "codes.safetensors",
        "table_sha256": hashlib.sha256(content).hexdigest(),
    }
    output = {"name": "logits", "shape": [1, 2, 16]}
    return VqDecoder(card(settings, STEPS, output=output), folder)


def answer(seed=0):
    rng = np.random.default_rng(seed)
    return {
        "logits": rng.normal(size=(1, 2, 16)).astype(np.float32),
        "offsets": rng.normal(size=(1, 2, 16, STEPS * CHANNELS)).astype(np.float32),
    }


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.float64])
def test_codes_are_summed_decoded_and_corrected(tmp_path, dtype):
    made, given_ = network(dtype=dtype), answer()
    first, second = given_["logits"][0].argmax(axis=1)
    z = made["codebooks"][0, first].astype(float) + made["codebooks"][1, second]
    h = np.maximum(made["weight.0"].astype(float) @ z + made["bias.0"], 0)
    expected = made["weight.1"].astype(float) @ h + made["bias.1"]
    expected += given_["offsets"][0, 0, first].astype(float) + given_["offsets"][0, 1, second]
    actions = vq(tmp_path, safetensors(made)).decode(given_).actions
    np.testing.assert_allclose(actions, expected.reshape(STEPS, CHANNELS), atol=1e-9)


def test_an_answer_that_is_none_is_invalid(tmp_path):
    made = vq(tmp_path, safetensors(network()))
    for name, value in (("logits", np.nan), ("offsets", np.nan), ("offsets", np.inf)):
        broken = answer()
        broken[name][...] = value
        with pytest.raises(InvalidAnswer, match=f"{name} holds numbers that are not finite"):
            made.decode(broken)
    with pytest.raises(InvalidAnswer, match="and the table makes it"):
        made.decode(answer() | {"logits": np.zeros((1, 2, 17), np.float32)})


def changed(**tensors):
    return safetensors({name: tensor for name, tensor in (network() | tensors).items() if tensor is not None})


def test_tables_that_do_not_fit_are_refused(tmp_path):
    refusals = {
        "no codebooks": changed(codebooks=None),
        "weight.0 and bias.0 do not take 7": changed(**{"weight.0": np.zeros((9, 6), np.float32)}),
        "weight.1 and bias.1 do not take 9": changed(**{"bias.1": None}),
        "ends in 9 numbers, and a chunk has 10": changed(**{"weight.1": None}),
        "ends in 7 numbers": changed(**{"weight.0": None}),
        "holds numbers that are not finite": changed(**{"bias.0": np.full(9, np.nan, np.float32)}),
    }
    for match, content in refusals.items():
        with pytest.raises(PolicyError, match=match):
            vq(tmp_path, content)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_any_bytes_are_tensors_or_refused(data):
    good = safetensors({"a": np.arange(6, dtype=np.float32).reshape(2, 3)})
    broken = bytearray(good)
    for _ in range(data.draw(st.integers(1, 4))):
        broken[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    content = bytes(broken[: data.draw(st.integers(0, len(good)))])
    try:
        tensors = safetensors_of(content, "t")
    except PolicyError:
        return
    assert all(tensor.dtype == np.float64 for tensor in tensors.values())


def test_safetensors_are_read_as_they_are_written():
    tensors = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.array([0.5, -2], np.float16)}
    for name, tensor in safetensors_of(safetensors(tensors), "t").items():
        np.testing.assert_array_equal(tensor, tensors[name])
    for wrong in (b"", b"\xff" * 8, (10).to_bytes(8, "little") + b"{}"):
        with pytest.raises(PolicyError, match="not a safetensors file"):
            safetensors_of(wrong, "t")
    far = json.dumps({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    with pytest.raises(PolicyError, match="not described"):
        safetensors_of(len(far).to_bytes(8, "little") + far, "t")
    for offsets in ([-4, 4], [4, 0], [0, 5], ["0", None]):
        odd = json.dumps({"a": {"dtype": "F32", "shape": [1], "data_offsets": offsets}}).encode()
        with pytest.raises(PolicyError, match="not described"):
            safetensors_of(len(odd).to_bytes(8, "little") + odd + b"0123", "t")
    many = json.dumps({"a": {"dtype": "F32", "shape": [2**62, 4, 0], "data_offsets": [0, 0]}}).encode()
    with pytest.raises(PolicyError, match="not described"):
        safetensors_of(len(many).to_bytes(8, "little") + many, "t")
