"""Models beside a policy, as people and planners see them: cards, commands, view, journal, and the live robot."""

import io
import json
import re
import tomllib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from beside_models import SHIPPED, standing, towards, turned
from rich.console import Console
from supervised import assert_inside_limits, supervised
from test_exchange_live import Pages
from test_live_view import FIGURES

from spinal.drivers.sim import arm6
from spinal.native import clock
from spinal.runtime import segments
from spinal.runtime.cli.live import draw
from spinal.runtime.cli.log import in_words
from spinal.runtime.cli.main import main
from spinal.runtime.cli.standing import Standing
from spinal.runtime.config.card.beside import parse_beside
from spinal.runtime.config.card.detector import DetectorCard
from spinal.runtime.config.card.residual import ResidualCard
from spinal.runtime.config.card.schema import card_schema_text, schema_file
from spinal.runtime.config.load import load_robot
from spinal.runtime.link.client import PlannerClient
from spinal.runtime.link.endpoints import in_directory
from spinal.runtime.segments import POLICY_REPORT, ReportReader, ReportWriter, Writer
from spinal.runtime.supervisor.chronicle import Chronicle

PAGE = Path(__file__).resolve().parents[1] / "runtime/config/card/README.md"
EXAMPLES = dict(re.findall(r"```toml\n# \w+\.card\.toml, a (\w+)\n(.*?)```", PAGE.read_text(), re.S))
KINDS = {"residual": ResidualCard, "detector": DetectorCard}
GOAL = np.array([*arm6.ik(0.17, 0.02, 0.1, 0.3), 0.011])


def robot_file(folder, residual="", detector=""):
    """The shipped robot with models of ``folder`` beside its policy, which stays where it is."""
    own = load_robot(SHIPPED).policy.model
    text = re.sub(r'(?m)^model = "[^"]*"', f'model = "{own}"', SHIPPED.read_text(), count=1)
    sections = ""
    if residual:
        sections += f"[policy.residual]\n{residual}\n\n"
    if detector:
        sections += f"[policy.detector]\n{detector}\n\n"
    path = folder / "robot.toml"
    path.write_text(text.replace("[execution]", f"{sections}[execution]", 1))
    return path


def spinal(capsys, *words):
    code = main([*map(str, words)])
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    return code, said.out, said.err


@pytest.mark.parametrize("kind", KINDS)
def test_the_pages_examples_are_cards(kind):
    card = parse_beside(tomllib.loads(EXAMPLES[kind]), KINDS[kind], "the page")
    assert card.kind == kind
    assert schema_file(kind).read_text() == card_schema_text(kind), f"run: spinal policy schema --kind {kind}"


def test_check_and_show_know_them(tmp_path, capsys):
    residual, detector = towards(tmp_path, GOAL), turned(tmp_path, 0.2)
    code, out, _ = spinal(capsys, "policy", "check", residual, "--robot", SHIPPED)
    assert code == 0
    assert (
        "corrects shoulder_pan, shoulder_lift, elbow_flex, wrist_flex, wrist_roll, beside any policy" in out
    )
    assert "it fits so101_sim. [policy.residual] of a robot file takes it" in out
    code, out, _ = spinal(capsys, "policy", "show", detector)
    assert code == 0
    assert "sees failure from 0.5, success from 0.5; changes after 200 ms" in out
    code, out, _ = spinal(capsys, "policy", "check", detector, "--json")
    assert (code, json.loads(out)["card"]["labels"]) == (0, ["failure", "success"])
    card = residual.with_suffix(".card.toml")
    card.write_text(card.read_text().replace("elbow_flex", "elbow"))
    code, out, err = spinal(capsys, "policy", "check", residual, "--robot", SHIPPED)
    assert code == 2
    assert "joints[2] differs (name)" in err
    assert (
        json.loads(spinal(capsys, "policy", "check", residual, "--robot", SHIPPED, "--json")[1])["ok"]
        is False
    )


def test_the_robot_is_checked_with_them(tmp_path, capsys):
    towards(tmp_path, GOAL, "settle", 'base = "cartpick"')
    turned(tmp_path, 0.2, "watch")
    good = robot_file(tmp_path, 'model = "settle.onnx"', 'model = "watch.onnx"\nhold_on = ["failure"]')
    code, out, _ = spinal(capsys, "check", good)
    assert code == 0
    assert "residual settle 0.1.0: for each answer, at most 0.25 of a period's travel" in out
    assert "detector watch 0.1.0: holds on failure" in out
    towards(tmp_path, GOAL, "settle", 'base = "pour"')
    bad = robot_file(tmp_path, 'model = "settle.onnx"', 'model = "watch.onnx"\nhold_on = ["failed"]')
    code, _, err = spinal(capsys, "check", bad)
    assert code == 2
    assert "was trained beside pour, and cartpick runs" in err
    assert "names a verdict that the detector never gives: failed" in err
    assert "did you mean failure?" in err
    missing = robot_file(tmp_path, 'model = "nowhere.onnx"', "")
    assert "policy.residual.model: nowhere.onnx" in spinal(capsys, "check", missing)[2]


def test_a_stranger_is_told_which_section_takes_it(tmp_path, capsys):
    standing(tmp_path, GOAL)
    bad = robot_file(tmp_path, 'model = "standing.onnx"')
    assert "must be residual, and is policy" in spinal(capsys, "check", bad)[2]


def told(label, probability=0.93, ago_s=3.0, holds=False):
    since_ns = clock.now_ns() - round(ago_s * 1e9)
    return {"label": label, "probability": probability, "since_ns": since_ns, "holds": holds}


@pytest.mark.parametrize(
    ("detector", "line"),
    [
        (None, None),
        (("success",), "detector sees success 0.93 for 3 s"),
        (("failure", 0.93, 3.0, True), "detector sees failure 0.93 for 3 s: the robot holds"),
        (("", 0.0, 250.0), "detector sees nothing for 4 min"),
    ],
)
def test_the_live_view_says_it_in_one_line(detector, line):
    out = io.StringIO()
    seen = told(*detector) if detector else None  # here, since it is told how long ago
    figures = FIGURES | {"policy": FIGURES["policy"] | {"detector": seen}}
    Console(file=out, width=110).print(draw("robot", figures, Standing("running", "fresh", 5.0), [], 0.0, []))
    said = [row.strip(" │") for row in out.getvalue().splitlines() if "detector" in row]
    assert said == ([line] if line else [])


def test_a_verdict_is_written_down_when_it_changes():
    robot = load_robot(SHIPPED)
    made = {writer: segments.create(writer, len(robot.joints)) for writer in Writer}
    pages = Pages()
    chronicle = Chronicle(SimpleNamespace(robot=robot, children={}, stops=None, reader=made.get), pages)
    reports = ReportWriter(made[Writer.POLICY], POLICY_REPORT)
    for verdict in (
        None,
        told("success"),
        told("success", 0.8),
        told("failure", 0.7, holds=True),
        told("", 0.0),
    ):
        reports.publish({"policy": "p", "exchange": {}, "detector": verdict})
        chronicle._watch_policy()
    words = [in_words(entry) for entry in pages.of("verdict")]
    assert words == [
        "the detector sees success (0.93)",
        "the detector sees failure (0.70), success before; the policy stops answering",
        "the detector sees nothing, failure before",
    ]


def test_on_the_live_robot_both_work_and_planners_hear_of_it(tmp_path):
    towards(tmp_path, GOAL, "still", gain=0.0)
    turned(tmp_path, 3.0, "watch", "patience_ms = 100.0")
    file = robot_file(
        tmp_path, 'model = "still.onnx"\nhz = 100', 'model = "watch.onnx"\nhold_on = ["failure"]'
    )
    pages = Pages()
    with supervised(tmp_path / "robot", file) as robot:
        chronicle = Chronicle(robot.supervisor, pages)
        report = ReportReader(robot.supervisor.reader(Writer.POLICY), POLICY_REPORT)
        robot.until(robot.running, "it runs")
        robot.begin()

        def enough():
            chronicle.watch()
            said = report.read()
            return said["runs"] > 40 and said["residual"]["runs"] > 1.5 * said["runs"] and pages.of("verdict")

        robot.until(enough, "it corrects more often than the policy answers")
        said = report.read()
        assert said["residual"]["failed"] == said["residual"]["clipped"] == 0
        assert said["detector"]["runs"] > 20
        assert said["bad_answers"] == 0
        with PlannerClient(in_directory(tmp_path / "robot"), src="test") as client:
            heard = []

            def state():
                heard[:] = [one for one in (client.latest_state(), *heard) if one is not None][:1]
                return heard and heard[0].verdict

            robot.until(state, "a planner hears of it")
        assert heard[0].verdict == "success"
        assert heard[0].verdict_probability == pytest.approx(1.0, abs=1e-3)
        assert heard[0].verdict_since_ns > 0
        records = robot.records()
    assert_inside_limits(robot, records)
    assert [entry["label"] for entry in pages.of("verdict")] == ["success"]


def test_the_live_robot_holds_at_a_verdict(tmp_path):
    turned(tmp_path, -3.0, "watch", "patience_ms = 100.0")
    file = robot_file(tmp_path, "", 'model = "watch.onnx"\nhold_on = ["failure"]')
    with supervised(tmp_path / "robot", file) as robot:
        report = ReportReader(robot.supervisor.reader(Writer.POLICY), POLICY_REPORT)
        robot.until(lambda: report.read().get("detector", {}).get("holds"), "it sees a failure")
        robot.until(robot.holding, "it holds")
        runs = report.read()["runs"]
        looked = report.read()["detector"]["runs"]
        robot.until(lambda: report.read()["detector"]["runs"] > looked + 20, "it goes on looking")
        said = report.read()
    assert said["runs"] == runs, "and the policy answers nothing"
    assert said["complaint"] == "the detector sees failure: the policy answers nothing until it is over"
    assert said["bad_answers"] == 0
