"""A model takes over on a supervised robot: real processes, over the link, and what the journal says of it."""

import json
import threading
from types import SimpleNamespace

import numpy as np
from supervised import assert_inside_limits, supervised
from test_exchange import SHIPPED, moved

from spinal.runtime import segments
from spinal.runtime.cli.log import in_words
from spinal.runtime.cli.main import main
from spinal.runtime.config.load import load_robot
from spinal.runtime.link.endpoints import in_directory
from spinal.runtime.segments import POLICY_REPORT, ReportReader, ReportWriter, Writer
from spinal.runtime.supervisor.chronicle import Chronicle


class Pages:
    """A journal in a list."""

    def __init__(self):
        self.entries = []

    def write(self, event, mono_ns=None, **fields):
        self.entries.append({"event": event, **fields})

    def of(self, event):
        return [entry for entry in self.entries if entry["event"] == event]


def robot_file(folder, models):
    """The shipped robot, which takes models from ``models``; its own policy stays where it is."""
    own = load_robot(SHIPPED).policy.model
    text = SHIPPED.read_text()
    line = next(line for line in text.splitlines() if line.startswith("model = "))
    text = text.replace(line, f'model = "{own}"', 1)
    head = f'[policy.swap]\nfolders = ["{models}"]\nshadow_steps = 5\nprobation_s = 0.3\n\n[execution]'
    assert "\n[execution]" in text
    path = folder / "robot.toml"
    path.write_text(text.replace("[execution]", head, 1))
    return path


def test_a_person_swaps_the_model_and_takes_it_back(tmp_path, capsys):
    own = load_robot(SHIPPED).policy.model
    (tmp_path / "models").mkdir()
    near = moved(own, tmp_path / "models", "near", [0.04] * 5 + [0.001])
    far = moved(own, tmp_path / "models", "far", [0.5] + [0.0] * 5)
    file = robot_file(tmp_path, tmp_path / "models")
    pages = Pages()
    with supervised(tmp_path / "robot", file) as robot:
        chronicle = Chronicle(robot.supervisor, pages)
        report = ReportReader(robot.supervisor.reader(Writer.POLICY), POLICY_REPORT)
        robot.until(robot.running, "it runs")
        robot.begin()

        def command(*words):
            done = []
            place = ["--robot-dir", str(tmp_path / "robot"), "--json"]
            thread = threading.Thread(target=lambda: done.append(main(["policy", *words, *place])))
            thread.start()
            robot.until(lambda: chronicle.watch() or done, f"policy {words}")
            thread.join()
            return done[0], json.loads(capsys.readouterr().out)

        before = robot.pid("policy")
        code, told = command("swap", str(near))
        assert (code, told) == (0, {"ok": True, "status": "kept", "why": "", "policy": "near 0.2.0"})
        assert report.read()["policy"] == "near 0.2.0"
        code, told = command("swap", "far.onnx")
        assert code == 1
        assert told["why"].startswith("shoulder_pan would go 0.")
        code, told = command("swap", str(tmp_path / "nowhere.onnx"))
        assert (code, told["status"]) == (1, "refused")
        code, told = command("rollback")
        assert (code, told["status"]) == (0, "rolled_back")
        assert report.read()["policy"].startswith("cartpick")
        assert robot.pid("policy") == before
        records = robot.records()
    assert far.exists()
    assert_inside_limits(robot, records)
    assert np.ptp(records["joints"]["applied"], axis=0).max() > 0.1
    assert in_directory(tmp_path / "robot")
    told = pages.of("policy")
    assert [entry["status"] for entry in told if entry["model"] == "near.onnx"][-1] == "kept"
    refused = next(entry for entry in told if entry["model"] == "far.onnx" and entry["status"] == "refused")
    assert in_words(refused).startswith("far.onnx: refused: shoulder_pan would go 0.")
    assert "a person, by hand" in in_words(refused)
    assert told[-1]["status"] == "rolled_back"


def test_a_complaint_is_written_down_once_however_its_numbers_count_on():
    """Of memory alone: the report is the test's own."""
    robot = load_robot(SHIPPED)
    made = {writer: segments.create(writer, len(robot.joints)) for writer in Writer}
    pages = Pages()
    chronicle = Chronicle(SimpleNamespace(robot=robot, children={}, stops=None, reader=made.get), pages)
    reports = ReportWriter(made[Writer.POLICY], POLICY_REPORT)
    for complaint in (None, "stream block: 90 ms old", "stream block: 110 ms old", None, "it answers NaN"):
        reports.publish({"policy": "p", "complaint": complaint, "exchange": {}})
        chronicle._watch_policy()
        chronicle._watch_policy()
    assert [entry["why"] for entry in pages.of("complaint")] == ["stream block: 90 ms old", "it answers NaN"]
    assert in_words(pages.of("complaint")[0]) == "policy: stream block: 90 ms old"
