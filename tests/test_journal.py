"""The journal of a run: what stands in it, how much, and that no disk disturbs the robot."""

import argparse
import errno
import json
import os
import stat
import threading

import pytest
from robot_files import write_robot
from waiting import until

from spinal.native import layout
from spinal.native.clock import now_ns
from spinal.native.loop import edges
from spinal.runtime.cli import log
from spinal.runtime.config import load_robot
from spinal.runtime.errors import BusError, LinkError
from spinal.runtime.segments import Transition
from spinal.runtime.supervisor import journal as journals
from spinal.runtime.supervisor.chronicle import in_words
from spinal.runtime.supervisor.journal import Journal, header_of, robot_states, states_directory

HEADER = {"robot": "two", "spinal": "0", "robot_file": "two.toml", "preflight": []}


def files(folder):
    return sorted(folder.glob("run-*.jsonl"))


def entries(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_a_run_from_its_beginning_to_its_end(tmp_path):
    before = now_ns()
    with Journal(tmp_path / "state" / "two", HEADER) as journal:
        journal.write("mode", before - 5, edge="stop", why="emergency stop")
        journal.write("speed", percent=50)
        assert journal.trouble == ""
    (file,) = files(tmp_path / "state" / "two")
    begin, mode, speed, end = entries(file)
    assert begin | HEADER == begin
    assert [entry["event"] for entry in (begin, mode, speed, end)] == ["begin", "mode", "speed", "end"]
    assert (mode["mono_ns"], mode["edge"]) == (before - 5, "stop")
    assert before <= speed["mono_ns"] <= end["mono_ns"] <= now_ns()
    assert begin["utc"] <= end["utc"]
    assert begin["utc"].endswith("Z")


def test_it_is_private(tmp_path):
    Journal(tmp_path / "two", HEADER).close()
    (file,) = files(tmp_path / "two")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("error", "message"), [(BusError("no answer", "look"), "no answer"), (KeyError("x"), "KeyError: 'x'")]
)
def test_what_ended_the_run_is_its_last_entry(tmp_path, error, message):
    with pytest.raises(type(error)), Journal(tmp_path, HEADER):
        raise error
    assert entries(files(tmp_path)[0])[-1]["message"] == message


def test_the_oldest_are_removed_and_nothing_else(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    for number in range(5):
        with Journal(tmp_path, {**HEADER, "number": number}, kept=3):
            pass
    assert [entries(file)[0]["number"] for file in files(tmp_path)] == [2, 3, 4]
    assert (tmp_path / "notes.txt").exists()


def test_one_is_kept_where_one_may_be(tmp_path):
    for _ in range(3):
        Journal(tmp_path, HEADER, kept=1).close()
    assert len(files(tmp_path)) == 1


def test_a_long_run_goes_on_in_the_next_file_and_the_newest_events_stay(tmp_path):
    with Journal(tmp_path, HEADER, largest_bytes=2000, kept=3) as journal:
        for number in range(200):
            journal.write("said", text="x" * 50, number=number)
    found = files(tmp_path)
    assert len(found) == 3
    for file in found:
        assert file.stat().st_size <= 2000
        assert entries(file)[0] | HEADER == entries(file)[0], "each file says whose it is"
    numbers = [entry["number"] for file in found for entry in entries(file) if entry["event"] == "said"]
    assert numbers == list(range(numbers[0], 200))


def test_a_disk_that_stands_still_costs_entries_and_no_time(tmp_path, monkeypatch):
    stuck, held = threading.Event(), threading.Event()
    write = os.write

    def slow(fd, data):
        held.set()
        stuck.wait(20)
        return write(fd, data)

    monkeypatch.setattr(os, "write", slow)
    journal = Journal(tmp_path, HEADER, waiting=10)
    assert held.wait(20)
    for number in range(25):
        journal.write("said", number=number)  # returns, or this test hangs until its time is over
    stuck.set()
    monkeypatch.undo()
    until(lambda: len(entries(files(tmp_path)[0])) >= 11, "the disk is back")
    journal.write("said", number=99)
    journal.close()
    said = [entry for entry in entries(files(tmp_path)[0]) if entry["event"] == "said"]
    assert [entry["number"] for entry in said] == [*range(10), 99]
    assert said[-1]["lost"] == 15


def test_a_disk_that_never_comes_back_does_not_keep_the_run_from_ending(tmp_path, monkeypatch):
    monkeypatch.setattr(journals, "CLOSE_LIMIT_S", 0.05)
    stuck = threading.Event()
    monkeypatch.setattr(os, "fdatasync", lambda fd: stuck.wait(60))
    before = set(threading.enumerate())
    journal = Journal(tmp_path, HEADER, waiting=1)
    (writer,) = set(threading.enumerate()) - before
    for _ in range(3):
        journal.write("said")
    journal.close()
    assert writer.is_alive(), "it is left with its disk"
    stuck.set()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_a_full_disk_is_told_once(tmp_path, monkeypatch, code):
    def full(fd, data):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "write", full)
    journal = Journal(tmp_path, HEADER, waiting=5)
    told = until(lambda: journal.trouble, "the failure is told")
    assert told == f"the journal cannot be written ({os.strerror(code)}): the robot goes on without"
    assert journal.trouble == ""
    for _ in range(100):
        journal.write("said")
    journal.close()
    assert not journal._thread.is_alive()


def test_a_place_that_cannot_be_is_told(tmp_path):
    (tmp_path / "state").write_text("a file")
    journal = Journal(tmp_path / "state" / "two", HEADER)
    assert "Not a directory" in until(lambda: journal.trouble, "the failure is told")
    journal.close()


def test_where_they_are():
    assert robot_states("two", {"XDG_STATE_HOME": "/var/lib"}) == states_directory(
        {"XDG_STATE_HOME": "/var/lib"}
    ).joinpath("two")
    assert str(robot_states("two", {"XDG_STATE_HOME": "/var/lib"})) == "/var/lib/spinal/two"
    assert str(robot_states("two", {"XDG_STATE_HOME": "here"})).endswith("/.local/state/spinal/two")


def test_the_header_says_what_ran_on_what(tmp_path):
    file = write_robot(tmp_path)
    header = header_of(load_robot(file), file)
    assert (header["robot"], header["robot_file"]) == ("two", str(file))
    assert len(header["robot_sha256"]) == 64
    assert {"name", "status", "fact"} == set(header["preflight"][0])
    changed = file.write_text(file.read_text() + "# changed\n")
    assert changed
    assert header_of(load_robot(file), file)["robot_sha256"] != header["robot_sha256"]


def edge(before, after):
    names = ["off", "ready", "running", "holding", "stopped"]
    return next(i for i, (a, b, *_) in enumerate(edges()) if (a, b) == (names[before], names[after]))


@pytest.mark.parametrize(
    ("before", "after", "conditions", "risen", "joint", "why", "who"),
    [
        (2, 4, "ESTOP ORDER_STALE", "ESTOP ORDER_STALE", -1, "emergency stop", ""),
        (2, 3, "FOLLOWING", "FOLLOWING", 1, "a joint is away from its command", "gripper"),
        (2, 3, "CHUNK_OLD ORDER_HOLD", "ORDER_HOLD", -1, "ordered to hold", ""),
        (1, 4, "ORDER_STOP", "", -1, "ordered to stop", ""),
        (3, 2, "", "", -1, "", ""),
        (0, 1, "", "", -1, "", ""),
    ],
)
def test_a_change_of_mode_in_words(tmp_path, before, after, conditions, risen, joint, why, who):
    robot = load_robot(write_robot(tmp_path))
    bits = [sum(layout.Condition[word] for word in words.split()) for words in (conditions, risen)]
    change = Transition(7, 9, edge(before, after), before, after, *bits, joint)
    words = in_words(change, robot)
    assert (words["why"], words["joint"], words["tick"]) == (why, who, 7)


# spinal log.


@pytest.fixture
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "spinal"


def parse(*words):
    parser = argparse.ArgumentParser()
    log.add_parser(parser.add_subparsers())
    return parser.parse_args(["log", *words])


def a_run(folder, text):
    with Journal(folder, HEADER) as journal:
        journal.write("process", name="controller", what="started", pid=5, why="")
        journal.write("mode", **{"from": "running", "to": "stopped"}, edge="stop", why=text, joint="elbow")
        journal.write("stop_line", name="door", what="pressed", why="pressed (/x)")
        journal.write("newer", thing=3)


def test_the_newest_run_in_words(state, capsys):
    a_run(state / "two", "an older one")
    a_run(state / "two", "a joint is\x1b[2J silent")
    assert log.run(parse()) == 0
    lines = capsys.readouterr().out.splitlines()
    words = [line.split(" s  ", 1)[1] for line in lines]
    assert words == [
        "begin      two with spinal 0, two.toml",
        "mode       running -> stopped (stop): a joint is [2J silent (elbow)",
        "stop_line  emergency stop door pressed: pressed (/x)",
        "newer      thing 3",
        "end        ended in order",
    ]
    assert all(line.startswith("20") and "+" in line for line in lines)


def test_of_one_robot_for_machines(state, capsys):
    a_run(state / "two", "first")
    a_run(state / "other", "second")
    assert log.run(parse("two", "--json")) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [entry["event"] for entry in found] == [
        "begin",
        "process",
        "mode",
        "stop_line",
        "newer",
        "end",
    ]
    assert found[2]["why"] == "first"


def test_a_line_that_was_cut_is_left_out(state, capsys):
    a_run(state / "two", "whole")
    (file,) = files(state / "two")
    file.write_bytes(file.read_bytes() + b'{"event": "mode", "utc": "20\n[]\n{"event": 1}\n{"ev')
    assert log.run(parse()) == 0
    assert len(capsys.readouterr().out.splitlines()) == 5


def test_no_run_is_an_error_with_a_hint(state):
    with pytest.raises(LinkError, match="no run is on record") as caught:
        log.run(parse("two"))
    assert "spinal demo" in caught.value.hint


def test_following_shows_what_comes_in_the_next_file_too(tmp_path, monkeypatch):
    monkeypatch.setattr(log, "POLL_S", 0.005)
    journal = Journal(tmp_path, HEADER, largest_bytes=600)
    file = until(
        lambda: files(tmp_path) and files(tmp_path)[0].stat().st_size and files(tmp_path)[0], "begun"
    )
    lines = log.lines_of(file, follow=True)
    assert json.loads(next(lines))["event"] == "begin"
    for number in range(8):
        journal.write("said", text="x" * 100, number=number)
    journal.close()
    seen = []
    while 7 not in seen:
        entry = json.loads(next(lines))
        if entry["event"] == "said":
            seen.append(entry["number"])
    assert seen == list(range(8))
    assert len(files(tmp_path)) > 1
