"""``spinal check`` of a robot with a fence: two lines, a warning where 0 is in touch, and a picture."""

import json

import pytest
from robot_files import write_policy, write_robot
from test_fence_config import CHAIN, FENCE

from spinal.runtime.cli import main


@pytest.fixture
def check(tmp_path, capsys):
    def run(*changes, arguments=(), fence=FENCE):
        write_policy(tmp_path)
        for old, new in changes:
            assert old in fence
            fence = fence.replace(old, new, 1)
        path = write_robot(tmp_path, ("[streams.block]", fence))
        code = main.main(["check", str(path), *arguments])
        return code, capsys.readouterr()

    return run


def test_people_read_what_is_checked_and_whether_0_is_clear(check):
    _, said = check(("[streams.block]", CHAIN))
    assert (
        "workspace x -0.5..0.5, y -0.5..0.5, z 0..0.6 m; 1 keep-out (post); 4 capsules, 3 pairs" in said.out
    )
    assert "with every joint at 0: 225 mm to the workspace" in said.out
    assert "to itself" in said.out


def test_a_robot_without_a_fence_is_told_so(check):
    _, said = check(fence="[streams.block]")
    assert "fence: none" in said.out


def test_links_that_meet_at_0_are_named(check):
    _, said = check(("[streams.block]", CHAIN.replace("xyz = [-0.3, 0, 0.3]", "xyz = [0.2, 0, 0.3]")))
    assert "not kept apart, as they meet there: arm and post, tip and post" in said.out


def test_an_arm_that_is_in_touch_at_0_is_a_warning(check):
    _, said = check(("max = [0.5, 0.5, 0.6]", "max = [0.2, 0.5, 0.6]"))
    assert (
        "warning: fence with every joint at 0 the arm is 25 mm inside the margin of the workspace" in said.out
    )


def test_machines_read_the_same(check):
    _, said = check(arguments=["--json"])
    fence = json.loads(said.out)["fence"]
    assert fence["workspace"] == {"min": [-0.5, -0.5, 0.0], "max": [0.5, 0.5, 0.6]}
    assert fence["keep_out"] == ["post"]
    assert fence["capsules"] == 2
    assert fence["clearance_at_zero_m"]["workspace"] == pytest.approx(0.275)
    assert fence["clearance_at_zero_m"]["self"] is None


def test_a_picture_is_drawn(check, tmp_path):
    pytest.importorskip("matplotlib")
    check(arguments=["--picture", str(tmp_path / "fence.png")])
    assert (tmp_path / "fence.png").read_bytes().startswith(b"\x89PNG")


def test_a_picture_of_no_fence_or_to_nowhere_is_refused_in_a_line(check, tmp_path):
    pytest.importorskip("matplotlib")
    code, said = check(arguments=["--picture", str(tmp_path / "fence.png")], fence="[streams.block]")
    assert code == 1
    assert "has no fence to draw" in said.err
    code, said = check(arguments=["--picture", str(tmp_path / "missing" / "fence.png")])
    assert code == 1
    assert "cannot be written" in said.err
