"""Finding a running robot, and reading its memory without changing a byte of it."""

import os
from contextlib import contextmanager

import numpy as np
import pytest
from spinal_process import ROOT

from spinal.bench.profile import attach as attaching
from spinal.bench.profile import watch
from spinal.bench.profile.attach import Controller, attach, find
from spinal.bench.profile.watch import HEAD, Watcher
from spinal.native import layout
from spinal.native.shared import Ring
from spinal.runtime import segments
from spinal.runtime.errors import ProcessError
from spinal.runtime.segments import CONTROLLER_RECORDS, Writer
from spinal.runtime.wiring import Wiring

MS = 1_000_000


def process(proc, pid, parent, robot, fd=9, cwd="/"):
    folder = proc / str(pid)
    (folder / "fd").mkdir(parents=True)
    wiring = Wiring("controller", str(robot), {"controller": fd, "policy": 4}).to_json()
    words = ["python", "-m", "spinal.runtime.controller.process", "--wiring", wiring, ""]
    (folder / "cmdline").write_text("\0".join(words))
    (folder / "stat").write_text(f"{pid} (py) thon) S {parent} 1 1")
    (folder / "cwd").symlink_to(cwd)


@pytest.fixture
def proc(tmp_path):
    """A /proc of our own, with processes that only look like a robot's."""
    proc = tmp_path / "proc"
    for pid, words in ((1, ["init"]), (2, ["python", "-m", "spinal.runtime.controller.process", "--wiring"])):
        (proc / str(pid)).mkdir(parents=True)
        (proc / str(pid) / "cmdline").write_text("\0".join(words))
    (proc / "3").mkdir()
    process(proc, 4, 1, "x")
    (proc / "4" / "cmdline").write_text("python\0-m\0spinal.runtime.controller.process\0--wiring\0{}\0")
    (tmp_path / "robot.toml").write_text("")
    (tmp_path / "other.toml").write_text("")
    return proc


def test_the_robot_is_found_by_its_file_whatever_that_was_called(proc, tmp_path):
    process(proc, 40, 30, "robot.toml", cwd=tmp_path)
    (tmp_path / "link.toml").symlink_to(tmp_path / "robot.toml")
    for name in ("robot.toml", "link.toml"):
        assert find(tmp_path / name, proc=proc) == Controller(40, 30, tmp_path / "robot.toml", 9)
    for pid in (30, 40):
        assert find(tmp_path / "robot.toml", pid, proc).pid == 40


def refused(*args, **kwargs):
    with pytest.raises(ProcessError) as failure:
        find(*args, **kwargs)
    assert "\n" not in failure.value.message
    return f"{failure.value.message} | {failure.value.hint}"


def test_none_several_and_others_are_said_in_one_line(proc, tmp_path):
    robot, other = tmp_path / "robot.toml", tmp_path / "other.toml"
    assert f"start it in another terminal: spinal run {robot}" in refused(robot, proc=proc)
    process(proc, 41, 31, other)
    assert f"running are: {other} (process 31)" in refused(robot, proc=proc)
    assert f"process 31 runs {other}, not {robot}" in refused(robot, 31, proc)
    assert "process 99 is no running robot" in refused(robot, 99, proc)
    process(proc, 42, 32, robot)
    process(proc, 43, 33, robot)
    said = refused(robot, proc=proc)
    assert "processes 32, 33" in said
    assert "--pid 32" in said
    assert find(robot, 33, proc).pid == 43


@pytest.mark.parametrize(
    ("error", "words"), [(PermissionError(), "another user"), (FileNotFoundError(), "has just ended")]
)
def test_memory_that_may_not_be_read_or_is_gone_is_one_line(monkeypatch, tmp_path, error, words):
    def deny(*_):
        raise error

    monkeypatch.setattr(attaching.os, "open", deny)
    with pytest.raises(ProcessError, match=words) as failure:
        attach(Controller(40, 30, tmp_path, 9))
    assert failure.value.hint


@contextmanager
def controllers_memory(joints=2):
    """(the controller's segment, its ring of records, its tail's segment) of a robot that is not there."""
    controller, supervisor = (
        segments.create(writer, joints) for writer in (Writer.CONTROLLER, Writer.SUPERVISOR)
    )
    ring = Ring(controller, CONTROLLER_RECORDS, supervisor, segments.SUPERVISOR_TAIL)
    yield controller, ring, supervisor
    controller.close()
    supervisor.close()


def own(segment):
    return Controller(os.getpid(), os.getppid(), ROOT, segment.fd)


def test_memory_of_another_version_is_one_line_and_leaves_no_descriptor():
    with controllers_memory() as (controller, _, _):
        os.pwrite(controller.fd, b"\xff", 8)  # the layout's hash
        before = len(os.listdir("/proc/self/fd"))
        with pytest.raises(ProcessError, match="another version of spinal"):
            attach(own(controller))
        assert len(os.listdir("/proc/self/fd")) == before


def test_watching_changes_no_byte_and_takes_no_record(monkeypatch):
    """The supervisor still gets every record, in order, and the rest of the memory is as it was."""
    joints, count = 2, 100
    records = np.zeros(count, layout.record_dtype(joints))
    for name in HEAD.names[:-1]:
        records[name] = np.arange(count) * (1 if name == "tick" else 1000)
    with controllers_memory(joints) as (controller, ring, supervisor):
        reader = attach(own(controller))
        assert not reader.writable
        watcher = Watcher(reader)
        for record in records:
            assert ring.push(record.tobytes())
        sizes = [os.fstat(segment.fd).st_size for segment in (controller, supervisor)]
        before = [os.pread(s.fd, size, 0) for s, size in zip((controller, supervisor), sizes, strict=True)]
        monkeypatch.setattr(watch, "SILENT_LIMIT_NS", 20 * MS)
        got = watcher.watch(60, lambda *_: None)
        after = [os.pread(s.fd, size, 0) for s, size in zip((controller, supervisor), sizes, strict=True)]
        reader.close()
        assert before == after
        assert (got.heads["tick"] == np.arange(count)).all()
        assert (got.heads["written_ns"] == records["written_ns"]).all()
        assert (got.lost, got.dropped) == (0, 0)
        assert any("recorded nothing more" in note for note in got.notes)
        assert any("may not be read" in note for note in got.notes)  # nobody runs that loop
        into = np.zeros(2 * count, records.dtype)
        assert ring.take(into.view(np.uint8)) == count
        assert (into[:count] == records).all()
