"""Statistics from files beside the model: what LeRobot and openpi write, and files that lie."""

import hashlib
import json
import struct
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from robot_files import write_policy

from spinal.runtime.config.card import load_card
from spinal.runtime.config.card.normalise import MAX_NUMBERS
from spinal.runtime.config.card.statistics import StatisticsError, statistics_of
from spinal.runtime.errors import ConfigError

LETTERS = {"F32": np.float32, "F64": np.float64, "I64": np.int64}


def safetensors(tensors, kind="F32", **changes):
    """The file, as the format's own page describes it."""
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, values in tensors.items():
        raw = np.asarray(values, LETTERS[kind])
        entry = {"dtype": kind, "shape": list(raw.shape), "data_offsets": [len(data), len(data) + raw.nbytes]}
        header[name] = entry | changes
        data += raw.tobytes()
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


STATE = {"observation.state.mean": [1.0, -2.0], "observation.state.std": [0.5, 4.0]}


@pytest.mark.parametrize("kind", LETTERS)
def test_safetensors(kind):
    data = safetensors({"a.mean": [1, -2], "a.std": [3, 4], "other": [[7]]}, kind)
    assert statistics_of(data, "s.safetensors", "a", ("mean", "std")) == {"mean": [1, -2], "std": [3, 4]}
    assert statistics_of(data, "s.safetensors", "", ("other",)) == {"other": [7]}


@pytest.mark.parametrize(
    "tables",
    [
        {"norm_stats": {"state": {"q01": [0, 1], "q99": [2, 3]}}},
        {"norm_stats": {"state.q01": [0, 1], "state.q99": [[[2]], [[3]]]}},
        {"norm_stats.state": {"q01": [0, 1], "q99": [2, 3]}, "norm_stats": {}},
    ],
)
def test_json(tables):
    found = statistics_of(json.dumps(tables).encode(), "s.json", "norm_stats.state", ("q01", "q99"))
    assert found == {"q01": [0, 1], "q99": [2, 3]}


@pytest.mark.parametrize(
    ("data", "name", "message"),
    [
        (b"", "s.safetensors", "not a safetensors"),
        (struct.pack("<Q", 1 << 40) + b"{}", "s.safetensors", "not a safetensors"),
        (struct.pack("<Q", 2) + b"[]", "s.safetensors", "not a safetensors"),
        (safetensors({"a.mean": [1.0]}, dtype="BF16"), "s.safetensors", "as BF16"),
        (safetensors({"a.mean": [1.0]}, data_offsets=[0, 1 << 40]), "s.safetensors", "does not say where"),
        (safetensors({"a.mean": [1.0]}, data_offsets=[0, 400]), "s.safetensors", "ends before"),
        (safetensors({"a.mean": [1.0]}, data_offsets=[-4, 0]), "s.safetensors", "does not say where"),
        (safetensors({"a.mean": [1.0]}, data_offsets=[4, 0]), "s.safetensors", "ends before"),
        (safetensors({"a.mean": [1.0]}, shape=[7]), "s.safetensors", "says its size wrongly"),
        (safetensors({"a.mean": [1.0, 2.0]}, shape=[1]), "s.safetensors", "says its size wrongly"),
        (json.dumps({"a.mean": [[0] * MAX_NUMBERS, [0]]}).encode(), "s.json", "4097 numbers as a.mean"),
        (safetensors({"a.mean": [float("nan")]}), "s.safetensors", "not finite"),
        (safetensors({"a.mean": [0.0] * (MAX_NUMBERS + 1)}), "s.safetensors", "more than 4096"),
        (safetensors({"b": [1.0]}), "s.safetensors", "has no a.mean"),
        (b'{"a": {"mean": [1, "x"]}}', "s.json", "no number"),
        (b'{"a": {"mean": [NaN]}}', "s.json", "no number"),
        (b'{"a": {"mean": [1e999]}}', "s.json", "no number"),
        (b'{"a": {"mean": [true]}}', "s.json", "no number"),
        (json.dumps({"a.mean": [0] * (MAX_NUMBERS + 1)}).encode(), "s.json", "no number"),
        (json.dumps({"a.mean": [[0] * MAX_NUMBERS] * 9}).encode(), "s.json", "more than 4096"),
        (b"[" * 100000, "s.json", "not JSON"),
        (b'{"a": {}}', "s.json", "has no a.mean"),
        (b"[1]", "s.json", "has no a.mean"),
    ],
)
def test_files_that_lie_are_refused(data, name, message):
    with pytest.raises(StatisticsError, match=message):
        statistics_of(data, name, "a", ("mean",))


GOOD = safetensors(STATE)


@settings(max_examples=200, deadline=None)
@given(
    st.integers(0, len(GOOD)),
    st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), max_size=3),
)
def test_a_cut_or_flipped_file_never_crashes_the_reader(cut, flips):
    data = bytearray(GOOD)
    for at, byte in flips:
        data[at] = byte
    for candidate, name in ((bytes(data[:cut]), "s.safetensors"), (bytes(data[8:cut]), "s.json")):
        with suppress(StatisticsError):
            found = statistics_of(candidate, name, "observation.state", ("mean",))
            assert np.isfinite(found["mean"]).all()


def write(folder, data, name="stats.safetensors", **changes):
    """A policy whose first input takes its statistics from a file; returns the model."""
    (folder / "stats.safetensors").write_bytes(data)
    said = {"file": name, "sha256": hashlib.sha256(data).hexdigest(), "key": "observation.state"} | changes
    text = ", ".join(f'{key} = "{value}"' for key, value in said.items())
    normalise = f'unit = "joint", normalise = {{ mode = "mean_std", eps = 1e-8, {text} }}'
    return write_policy(folder, ('shape = [1, 2], unit = "joint"', f"shape = [1, 2], {normalise}"))


def test_a_card_has_the_numbers_of_its_file(tmp_path):
    normalise = load_card(write(tmp_path, GOOD)).inputs[0].normalise
    assert (normalise.mean, normalise.std, normalise.eps) == ((1.0, -2.0), (0.5, 4.0), 1e-8)
    assert (normalise.file, normalise.sha256, normalise.key) == (None, None, "")


@pytest.mark.parametrize(
    ("data", "changes", "path", "message"),
    [
        (GOOD, {"sha256": "0" * 64}, "sha256", "that of stats.safetensors is"),
        (GOOD, {"key": "action"}, "key", "has no action.mean"),
        (GOOD, {"name": "none.safetensors"}, "file", "is not there"),
        (GOOD, {"name": "../stats.safetensors"}, "file", "without a folder"),
        (GOOD, {"name": "stats.pkl"}, "file", "only .safetensors and .json"),
        (safetensors({k: [1.0] * 3 for k in STATE}), {}, "std", "has 3 numbers, and there are 2 channels"),
    ],
)
def test_what_keeps_the_numbers_out_is_told(tmp_path, data, changes, path, message):
    with pytest.raises(ConfigError) as caught:
        load_card(write(tmp_path, data, **changes))
    found = {p.path: p for p in caught.value.problems}
    place = f"policy.card.toml: inputs[0] (q).normalise.{path}"
    assert place in found, list(found)
    assert message in found[place].message
