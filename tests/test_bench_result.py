"""The result file: whole, typed, and refused in one line when it is something else."""

import math

import msgspec
import pytest

from spinal.bench import judge, machine
from spinal.bench.result import (
    SCHEMA,
    Curve,
    Distribution,
    Disturbance,
    Result,
    Stage,
    SuiteResult,
    Waterfall,
    load,
    save,
)
from spinal.runtime.errors import BenchError


def sample():
    suite = SuiteResult(
        metrics=[judge.exact("ticks", "", 3, 3), judge.exact("nothing", "us", math.nan)],
        distributions=[
            Distribution(name="late", unit="us", edges=[1.0, 2.0], counts=[3, 4], floor_counts=[5, 2])
        ],
        curves=[
            Curve(
                name="c",
                x_name="joints",
                x_unit="",
                y_name="cost",
                y_unit="us",
                x=[6.0],
                lines={"ours": [None]},
            )
        ],
        waterfalls=[Waterfall(name="one action", stages=[Stage(name="bus", begin_us=0, end_us=900)])],
        notes=["as it is"],
        disturbance=Disturbance(steal=0.0, pressure=0.1),
    )
    return Result(
        machine=machine.describe(),
        commit="0123",
        began_utc="2026-01-01T00:00:00+00:00",
        command="spinal bench run",
        suites={"tick": suite},
    )


def test_what_is_saved_is_loaded_again(tmp_path):
    file = tmp_path / "result.json"
    save(sample(), file)
    assert load(file) == sample()
    assert list(tmp_path.iterdir()) == [file], "no half-written file beside it"
    assert b"NaN" not in file.read_bytes()


def refusal(file):
    with pytest.raises(BenchError) as caught:
        load(file)
    assert caught.value.hint
    return caught.value.message


def test_what_is_no_result_is_refused_in_a_line(tmp_path):
    file = tmp_path / "result.json"
    assert "cannot be read" in refusal(file)
    file.write_text("{")
    assert "not a result" in refusal(file)
    file.write_text('{"hello": 1}')
    assert "not a result" in refusal(file)
    file.write_bytes(msgspec.json.encode({"schema": SCHEMA + 1, "anything": []}))
    assert f"schema {SCHEMA + 1}" in refusal(file)
    broken = msgspec.json.decode(msgspec.json.encode(sample()))
    broken["suites"]["tick"]["metrics"][0]["value"] = "fast"
    file.write_bytes(msgspec.json.encode(broken))
    assert "metrics" in refusal(file), "it says where"


def test_a_later_field_is_no_harm(tmp_path):
    file = tmp_path / "result.json"
    later = msgspec.json.decode(msgspec.json.encode(sample()))
    later["suites"]["tick"]["metrics"][0]["mood"] = "good"
    file.write_bytes(msgspec.json.encode(later))
    assert load(file).suites["tick"].metrics[0].name == "ticks"


def test_the_machine_is_named_the_same_again_and_without_its_host():
    one = machine.describe()
    assert one.key == machine.describe().key
    assert one.cores >= 1
    assert "gcc" in one.compiler or "clang" in one.compiler
    import platform

    assert platform.node() not in one.key
