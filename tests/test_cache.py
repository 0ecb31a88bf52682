"""Compiled loops: where they are kept, and that nothing of it can keep a policy from starting."""

import subprocess
import sys
from pathlib import Path

import pytest

import spinal
from spinal.runtime import cache


def double(values, out):
    for i in range(len(values)):
        out[i] = 2 * values[i]


SIGNATURE = "void(float64[::1], float64[::1])"


@pytest.fixture(autouse=True)
def fresh(monkeypatch, tmp_path):
    monkeypatch.setattr(cache, "_kept", {})
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def doubled(function):
    import numpy as np

    out = np.zeros(3)
    function(np.arange(3.0), out)
    return out.tolist()


def test_a_folder_by_version_in_the_users_cache(tmp_path, monkeypatch):
    folder = cache.cache_folder()
    assert folder.parent == tmp_path / "cache" / "spinal" / "numba"
    assert folder.name.startswith(spinal.__version__)
    assert folder.stat().st_mode & 0o077 == 0
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache.cache_folder().is_relative_to(tmp_path / "home" / ".cache")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "own"))
    assert cache.cache_folder() == tmp_path / "own"


def test_no_folder_that_others_could_write_or_nobody_can(tmp_path, monkeypatch):
    open_to_all = tmp_path / "open"
    open_to_all.mkdir(mode=0o777)
    open_to_all.chmod(0o777)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(open_to_all))
    assert cache.cache_folder() is None
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/nothing")):
        monkeypatch.setenv("NUMBA_CACHE_DIR", str(path))
        assert cache.cache_folder() is None


def test_a_second_start_finds_what_the_first_compiled(monkeypatch):
    first = cache.compiled(double, SIGNATURE)
    assert doubled(first) == [0, 2, 4]
    assert cache.compiled(double, SIGNATURE) is first
    kept = list(cache.cache_folder().rglob("*.nbc"))
    assert kept
    monkeypatch.setattr(cache, "_kept", {})
    second = cache.compiled(double, SIGNATURE)
    assert doubled(second) == [0, 2, 4]
    assert sum(second.stats.cache_hits.values()) == 1
    assert list(cache.cache_folder().rglob("*.nbc")) == kept


def test_without_a_folder_it_is_compiled_all_the_same(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "file"))
    made = cache.compiled(double, SIGNATURE)
    assert doubled(made) == [0, 2, 4]
    assert not made.stats.cache_hits


def test_a_cache_that_was_damaged_is_compiled_anew(monkeypatch):
    cache.compiled(double, SIGNATURE)
    for path in cache.cache_folder().rglob("*.nb?"):
        path.write_bytes(path.read_bytes()[:20])
    monkeypatch.setattr(cache, "_kept", {})
    made = cache.compiled(double, SIGNATURE)
    assert made is None or doubled(made) == [0, 2, 4]


def test_without_numba_the_caller_has_numpy(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "numba", None)
    assert cache.compiled(double, SIGNATURE) is None
    assert "double runs on numpy" in capsys.readouterr().err


def test_what_numba_refuses_runs_on_numpy(capsys):
    def odd(values):
        return object.no_such_thing(values)

    assert cache.compiled(odd, "void(float64[::1])") is None
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_policy_that_needs_no_loop_imports_no_numba():
    program = "import sys, spinal.runtime.policy.loaded; print('numba' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "False"
