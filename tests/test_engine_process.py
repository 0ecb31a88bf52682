"""Engines outside this process, with real ones: the same numbers, and what follows when one dies or hangs."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from policy_models import ECHO, write_model
from robot_files import write_robot
from supervised import descriptors
from waiting import until

import spinal.launch
from spinal.runtime.config.card import load_card
from spinal.runtime.config.load import load_robot
from spinal.runtime.config.policy import EngineCommand
from spinal.runtime.errors import PolicyError
from spinal.runtime.policy import engine_process
from spinal.runtime.policy.engine_memory import DTYPES, EngineMemory
from spinal.runtime.policy.engine_process import ProcessEngine
from spinal.runtime.policy.loaded import load, make_engine
from spinal.runtime.policy.session import Session
from spinal.runtime.policy.signature import Signature, Tensor
from spinal.runtime.rollout import Rollout

SHIPPED = Path(spinal.launch.__path__[0]) / "robots" / "so101_sim.toml"
APART = (sys.executable, "-m", "spinal.runtime.policy.engine_onnxruntime")
TOY = (sys.executable, str(Path(__file__).with_name("toy_engine.py")))
SIGNATURE = Signature(
    {"x": Tensor((1, 3), "float32"), "flag": Tensor((2,), "bool")},
    {"y": Tensor((1, 3), "float32"), "count": Tensor((1,), "int64")},
)


def toy(tmp_path, deadline_ms=2000, start_limit_s=20.0, how="sound"):
    path = tmp_path / "how"
    path.write_text(how)
    command = EngineCommand(command=(*TOY, str(path)), deadline_ms=deadline_ms, start_limit_s=start_limit_s)
    return ProcessEngine("toy", command, tmp_path / "none.onnx", SIGNATURE)


@pytest.fixture
def engine(tmp_path):
    made = toy(tmp_path)
    yield made
    made.close()


def answers(engine, value):
    engine.inputs["x"][...] = value
    engine.run()
    return (engine.outputs["y"] == 2 * value).all()


def comes_back(engine, value=5.0):
    def tried():
        try:
            return answers(engine, value)
        except PolicyError:
            return False

    until(tried, "the engine comes back")


def test_it_answers_in_arrays_that_never_move(engine):
    given, answer = engine.inputs["x"], engine.outputs["y"]
    for value in (1.5, -2.0, 7.0):
        assert answers(engine, value)
    assert engine.inputs["x"] is given
    assert engine.outputs["y"] is answer
    assert (
        engine.outputs["count"][0] == 1 + engine_process.WARM_UP_RUNS + 3
    )  # its own warm-up, ours, and these
    assert engine.providers == ["engine toy"]


def test_its_outputs_are_not_the_engines_to_change(engine):
    assert answers(engine, 1.0)
    engine._memory.outputs["y"][...] = 99
    assert (engine.outputs["y"] == 2).all()


def test_a_request_that_fails_is_told_in_the_engines_words_and_ends_nothing(tmp_path, engine):
    pid = engine.pid
    (tmp_path / "how").write_text("fails")
    with pytest.raises(PolicyError, match="engine toy: ValueError: it cannot be done") as raised:
        engine.run()
    assert raised.value.hint
    (tmp_path / "how").write_text("sound")
    assert answers(engine, 3.0)
    assert engine.pid == pid


def test_an_engine_that_was_killed_comes_back(engine):
    os.kill(engine.pid, signal.SIGKILL)
    with pytest.raises(
        PolicyError, match=r"engine toy has ended by signal SIGKILL: it is started again in 0[.]05 s"
    ):
        until(engine.run, "its death is seen")
    with pytest.raises(PolicyError, match="engine toy starts again"):
        engine.run()
    comes_back(engine)
    assert engine.starts == 2


@pytest.mark.parametrize("how", ["hangs", "stopped", "babbles"])
def test_an_engine_that_is_silent_is_killed_at_its_deadline_and_comes_back(tmp_path, how):
    engine = toy(tmp_path, deadline_ms=150)
    pid = engine.pid
    (tmp_path / "how").write_text(how)
    if how == "stopped":
        os.kill(pid, signal.SIGSTOP)
    with pytest.raises(PolicyError, match="engine toy has not answered for 150 ms: it is started again"):
        engine.run()
    (tmp_path / "how").write_text("sound")
    comes_back(engine)
    assert engine.pid != pid
    until(lambda: not os.path.exists(f"/proc/{pid}"), "it is gone")
    engine.close()


def test_patience_grows_with_every_failure_and_is_forgotten_with_an_answer(tmp_path, monkeypatch):
    monkeypatch.setattr(engine_process, "BACK_OFF_NS", (1_000_000, 2_000_000, 3_000_000))
    engine = toy(tmp_path)
    said = []

    def seen():
        try:
            engine.run()
        except PolicyError as error:
            said.append(error.message)
        else:
            os.kill(engine.pid, signal.SIGKILL)
        return sum("has ended" in words for words in said) >= 2

    until(seen, "two deaths, each behind an answer")
    assert {words.split(" in ")[-1] for words in said if "has ended" in words} == {"0.001 s"}
    (tmp_path / "how").write_text("never ready")
    until(lambda: _fails_with(engine, "could not begin: RuntimeError: no such device"), "it cannot begin")
    until(lambda: _fails_with(engine, "in 0.003 s"), "patience grows")
    engine.close()


def _fails_with(engine, words):
    try:
        engine.run()
    except PolicyError as error:
        return words in error.message
    return False


def test_an_engine_that_cannot_begin_says_why(tmp_path):
    with pytest.raises(PolicyError, match=r"could not begin: RuntimeError: no such device$"):
        toy(tmp_path, how="never ready")


def test_a_program_that_is_not_there_is_no_hang(tmp_path):
    command = EngineCommand(command=("/no/such/program",), start_limit_s=20.0)
    with pytest.raises(PolicyError, match=r"engine toy has ended with exit code 1$"):
        ProcessEngine("toy", command, tmp_path / "none.onnx", SIGNATURE)


def test_it_ends_with_the_policy(tmp_path, engine):
    """Also when it hangs: what started it is killed, and neither bell nor signal handler is asked."""
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path; import test_engine_process as t\n"
        "engine = t.toy(Path(sys.argv[2])); print(engine.pid, flush=True); import time; time.sleep(60)"
    )
    folder = tmp_path / "other"
    folder.mkdir()
    policy = subprocess.Popen(
        [sys.executable, "-c", script, str(Path(__file__).parent), str(folder)],
        stdout=subprocess.PIPE,
        text=True,
    )
    pid = int(policy.stdout.readline())
    os.kill(pid, signal.SIGSTOP)
    policy.kill()
    policy.wait()
    policy.stdout.close()
    until(lambda: not os.path.exists(f"/proc/{pid}") or _zombie(pid), "the engine is gone")


def _zombie(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(") ")[1].startswith("Z")
    except FileNotFoundError:
        return True


def test_closing_ends_it_and_leaves_nothing_open(tmp_path):
    before = descriptors()
    engine = toy(tmp_path)
    pid = engine.pid
    engine.close()
    assert not os.path.exists(f"/proc/{pid}")
    del engine
    assert descriptors() == before


# --- the memory


def test_both_sides_see_the_same_tensors():
    tensors = {f"t{number}": Tensor((1, number + 1), dtype) for number, dtype in enumerate(DTYPES)}
    ours = EngineMemory.create(tensors, {"out": Tensor((), "float32")})
    theirs = EngineMemory.attach(ours.fd)
    for name, tensor in tensors.items():
        assert theirs.inputs[name].dtype == tensor.dtype
        assert theirs.inputs[name].shape == tensor.shape
        assert theirs.inputs[name].ctypes.data % 64 == ours.inputs[name].ctypes.data % 64 == 0
        ours.inputs[name][...] = 1
        assert theirs.inputs[name].all()
    assert theirs.outputs["out"].shape == ()


def test_memory_of_another_kind_is_refused(tmp_path):
    fd = os.memfd_create("other")
    with pytest.raises(ValueError, match="0 bytes are no engine memory"):
        EngineMemory.attach(fd)
    os.ftruncate(fd, 4096)
    with pytest.raises(ValueError, match="engine memory of version 0"):
        EngineMemory.attach(fd)
    os.close(fd)
    with pytest.raises(ValueError, match="names have up to 200 bytes"):
        EngineMemory.create({"n" * 201: Tensor((1,), "float32")}, {})
    with pytest.raises(ValueError, match="at most 2147483648"):
        EngineMemory.create({"n": Tensor((1 << 20, 1 << 10), "float32")}, {})


def test_the_memory_cannot_be_taken_away_from_under_the_policy(engine):
    with pytest.raises(PermissionError):
        os.ftruncate(engine._memory.fd, 64)


# --- with a card and a robot


def test_a_card_may_not_name_a_program_that_the_robot_file_does_not(tmp_path):
    path = write_model(tmp_path, ECHO, ('version = "0.1.0"', 'version = "0.1.0"\nengine = "strange"'))
    robot = load_robot(write_robot(tmp_path))
    with pytest.raises(
        PolicyError, match="names the engine strange, which the robot file does not allow"
    ) as raised:
        make_engine(path, load_card(path), robot.policy)
    assert "[policy.engines.strange]" in raised.value.hint


def test_the_shipped_policy_gives_the_same_commands_behind_an_engine(tmp_path):
    """Lock-step, twice the same run: in this process, and behind the port. Equal to the last bit."""
    robot = load_robot(SHIPPED)
    here = load(robot)
    engines = {"apart": EngineCommand(command=APART)}
    there = robot.model_copy(update={"policy": robot.policy.model_copy(update={"engines": engines})})
    card = here.card.model_copy(update={"engine": "apart"})
    engine = make_engine(here.model, card, there.policy)
    assert isinstance(engine, ProcessEngine)
    records = []
    for step in (here.step, type(here.step)(card, engine, here.step.execution, 0, here.model.parent)):
        rollout = Rollout(robot, step, keep_records=True)
        rollout.begin(3)
        for _ in range(50):
            rollout.step()
        records.append(rollout.robot.take_records())
    engine.close()
    assert len(records[0]) > 200
    assert np.ptp(records[0]["joints"]["applied"], axis=0).max() > 0.1
    assert records[0].tobytes() == records[1].tobytes()
    assert isinstance(here.engine, Session)
