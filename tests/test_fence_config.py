"""[fence] in a robot file: what is wrong is said with its path, all at once."""

import pytest
from robot_files import write_robot

from spinal.runtime.config import load_robot
from spinal.runtime.config.fence_build import describe, fence_of
from spinal.runtime.controller.plan import safety_plan
from spinal.runtime.errors import ConfigError

FENCE = """[fence]
workspace = { min = [-0.5, -0.5, 0.0], max = [0.5, 0.5, 0.6] }
[[fence.keep_out]]
name = "post"
min = [0.3, 0.3, 0.0]
max = [0.4, 0.4, 0.5]
[[fence.links]]
name = "stand"
capsules = [{ from = [0, 0, 0.1], to = [0, 0, 0.2], radius = 0.04 }]
[[fence.links]]
name = "arm"
parent = "stand"
joint = "elbow"
xyz = [0.0, 0.0, 0.3]
rpy = [0.0, 0.0, 0.0]
axis = [0, 0, 2]
capsules = [{ from = [0.1, 0, 0], to = [0.2, 0, 0], radius = 0.02 }]
[streams.block]"""


def load(folder, *changes):
    fence = FENCE
    for old, new in changes:
        assert old in fence
        fence = fence.replace(old, new, 1)
    return load_robot(write_robot(folder, ("[streams.block]", fence)))


def problems(folder, *changes):
    with pytest.raises(ConfigError) as caught:
        load(folder, *changes)
    return {problem.path: problem for problem in caught.value.problems}


def test_a_fence_is_described_by_number(tmp_path):
    robot = load(tmp_path)
    description = describe(robot.fence, robot.joints)
    assert [link.parent for link in description.links] == [-1, 0]
    assert [link.joint for link in description.links] == [-1, 0]
    assert description.links[1].axis == (0, 0, 1)
    assert description.pairs == []
    assert description.boxes == [((0.3, 0.3, 0.0), (0.4, 0.4, 0.5))]
    plan = safety_plan(robot)
    assert plan.fence.joint_count == 2


def test_without_a_section_there_is_no_fence(tmp_path):
    robot = load_robot(write_robot(tmp_path))
    assert robot.fence is None
    assert fence_of(robot) is None
    assert safety_plan(robot).fence is None


def test_roll_pitch_and_yaw_are_those_of_a_urdf(tmp_path):
    robot = load(tmp_path, ("rpy = [0.0, 0.0, 0.0]", "rpy = [0.3, -0.4, 1.1]"))
    from scipy.spatial.transform import Rotation

    expected = Rotation.from_euler("xyz", [0.3, -0.4, 1.1]).as_matrix()  # about fixed axes, roll first
    assert describe(robot.fence, robot.joints).links[1].rotation == pytest.approx(expected.ravel())


@pytest.mark.parametrize(
    ("change", "path", "said"),
    [
        (('joint = "elbow"', 'joint = "elbov"'), "fence.links[1] (arm).joint", "not there: elbov"),
        (
            ('joint = "elbow"', 'joint = "gripper"'),
            "fence.links[1] (arm).joint",
            "gripper, which turns no link",
        ),
        (('parent = "stand"', 'parent = "stamd"'), "fence.links[1] (arm).parent", "not there: stamd"),
        (('parent = "stand"', 'parent = "arm"'), "fence.links[1] (arm).parent", "comes after it: arm"),
        (('name = "arm"', 'name = "stand"'), "fence.links[1] (stand).name", "already that of links[0]"),
        (("axis = [0, 0, 2]", "axis = [0, 0, 0]"), "fence.links[1] (arm).axis", "no direction"),
        (("axis = [0, 0, 2]", "axis = [0, 2]"), "fence.links[1] (arm).axis[2]", "is missing"),
        (("xyz = [0.0, 0.0, 0.3]", "xyz = [0, 0, 300]"), "fence.links[1] (arm).xyz", "further than 100 m"),
        (("xyz = [0.0, 0.0, 0.3]", "xyz = [0, 0, nan]"), "fence.links[1] (arm).xyz[2]", "finite number"),
        (("radius = 0.02", "radius = 0.0"), "fence.links[1] (arm).capsules[0].radius", "above 0"),
        (
            ("max = [0.5, 0.5, 0.6]", "max = [0.5, -0.6, 0.6]"),
            "fence.workspace.max",
            "above min: y from -0.5",
        ),
        (("max = [0.4, 0.4, 0.5]", "max = [0.4, 0.4, 0.0]"), "fence.keep_out[0] (post).max", "above min: z"),
        (("workspace = {", "workspaces = {"), "fence.workspaces", "not a known key"),
        (("max = [0.5, 0.5, 0.6]", "max = [0.5, 0.5, 0.2]"), "fence", "leaves no pose of the arm clear"),
    ],
)
def test_what_is_wrong_is_named_with_its_path(tmp_path, change, path, said):
    found = problems(tmp_path, change)
    assert path in found, found
    assert said in found[path].message
    assert found[path].hint


def test_everything_wrong_is_said_at_once(tmp_path):
    found = problems(
        tmp_path,
        ('joint = "elbow"', 'joint = "elbov"'),
        ("axis = [0, 0, 2]", "axis = [0, 0, 0]"),
        ("max = [0.5, 0.5, 0.6]", "max = [0.5, -0.6, 0.6]"),
    )
    assert {"fence.links[1] (arm).joint", "fence.links[1] (arm).axis", "fence.workspace.max"} <= set(found)


def test_boxes_links_and_capsules_are_counted(tmp_path):
    capsule = "{ from = [0.1, 0, 0], to = [0.2, 0, 0], radius = 0.02 }"
    found = problems(tmp_path, (f"[{capsule}]", f"[{', '.join([capsule] * 24)}]"))
    assert "25 capsules; at most 24" in found["fence.links"].message
    found = problems(tmp_path, ("capsules = [{ from = [0, 0, 0.1]", "#"), (f"capsules = [{capsule}]", ""))
    assert "no capsules" in found["fence.links"].message
    box = '[[fence.keep_out]]\nname = "post"\nmin = [0.3, 0.3, 0.0]\nmax = [0.4, 0.4, 0.5]\n'
    found = problems(tmp_path, (box, box * 2))
    assert "already that of another box" in found["fence.keep_out[1] (post).name"].message


def test_a_link_that_is_ignored_must_be_there(tmp_path):
    ignoring = '[fence.self]\nignore = [["stand", "am"]]\n[[fence.links]]\nname = "stand"'
    found = problems(tmp_path, ('[[fence.links]]\nname = "stand"', ignoring))
    assert "not there: am" in found["fence.self.ignore[0]"].message


CHAIN = """[[fence.links]]
name = "tip"
parent = "arm"
xyz = [0.2, 0, 0]
capsules = [{ from = [0, 0, 0], to = [0.05, 0, 0], radius = 0.02 }]
[[fence.links]]
name = "post"
xyz = [-0.3, 0, 0.3]
capsules = [{ from = [0, 0, -0.1], to = [0, 0, 0.1], radius = 0.02 }]
[streams.block]"""


def pairs(robot):
    description = describe(robot.fence, robot.joints)
    names = [link.name for link in robot.fence.links]
    return {frozenset(names[description.capsules[k].link] for k in pair) for pair in description.pairs}


def test_neighbours_and_what_does_not_move_against_each_other_are_not_pairs(tmp_path):
    robot = load(tmp_path, ("[streams.block]", CHAIN))
    assert pairs(robot) == {frozenset(pair) for pair in (("stand", "tip"), ("arm", "post"), ("tip", "post"))}


def test_pairs_can_be_ignored_and_what_meets_at_the_rest_pose_is(tmp_path):
    ignoring = '[fence.self]\nignore = [["post", "tip"]]\n[[fence.links]]\nname = "stand"'
    meets = CHAIN.replace("xyz = [-0.3, 0, 0.3]", "xyz = [0.15, 0, 0.3]")
    robot = load(tmp_path, ("[streams.block]", meets), ('[[fence.links]]\nname = "stand"', ignoring))
    assert pairs(robot) == {frozenset(("stand", "tip"))}
    unchecked = '[fence.self]\ncheck = false\n[[fence.links]]\nname = "stand"'
    robot = load(tmp_path, ("[streams.block]", CHAIN), ('[[fence.links]]\nname = "stand"', unchecked))
    assert pairs(robot) == set()
