"""A card on a robot: units, default pose, streams, engine, times; its exporter's notes; its model's tensors."""

import tomllib

import numpy as np
import pytest
from onnx import TensorProto, helper
from robot_files import CARD, MODEL, write_robot
from test_card_examples import EXAMPLES, model_of

from spinal.runtime.config import load_robot
from spinal.runtime.config.card import parse_card
from spinal.runtime.config.card.exporters import exported_problems, read_exported
from spinal.runtime.config.card.tensors import tensor_problems
from spinal.runtime.config.card.units import unit_line
from spinal.runtime.config.match import match_card, start_problems
from spinal.runtime.config.onnx_graph import read_graph
from spinal.runtime.decode.registry import make_decoder
from spinal.runtime.decode.units import JointUnits
from spinal.runtime.errors import PolicyError
from spinal.runtime.policy.step import Execution, PolicyStep
from spinal.runtime.types import Observation


def card(**changes):
    return parse_card(tomllib.loads(CARD.format(sha256="0" * 64)) | changes, "card")


def joints(elbow=None, gripper=None):
    return [
        {"name": "elbow", "kind": "arm", "unit": "rad"} | (elbow or {}),
        {"name": "gripper", "kind": "gripper", "unit": "m"} | (gripper or {}),
    ]


@pytest.fixture
def robot(tmp_path):
    return load_robot(write_robot(tmp_path))


@pytest.mark.parametrize("elbow", ["rad", "deg", "percent", "signed_percent"])
@pytest.mark.parametrize("gripper", ["m", "percent", "signed_percent"])
def test_units_that_can_be_converted_match(robot, elbow, gripper):
    match = match_card(card(joints=joints({"unit": elbow}, {"unit": gripper})), robot)
    assert match.problems == ()
    assert [row.difference for row in match.joints] == ["", ""]


@pytest.mark.parametrize(("elbow", "gripper", "at"), [("m", "m", 0), ("rad", "deg", 1), ("rad", "rad", 1)])
def test_units_that_cannot_are_refused(robot, elbow, gripper, at):
    match = match_card(card(joints=joints({"unit": elbow}, {"unit": gripper})), robot)
    (problem,) = match.problems
    assert problem.path == f"joints[{at}]"
    assert match.joints[at].difference == "unit"


@pytest.mark.parametrize(
    "elbow",
    [
        {"unit": "rad"},
        {"unit": "deg"},
        {"unit": "deg", "range": [-1.0, 1.4]},
        {"unit": "deg", "range": [1.4, -1.0]},
        {"unit": "percent"},
        {"unit": "percent", "range": [1.0, -0.5]},
        {"unit": "signed_percent"},
        {"unit": "signed_percent", "range": [-0.2, 1.0]},
    ],
)
@pytest.mark.parametrize("gripper", [{"unit": "m"}, {"unit": "percent"}, {"unit": "signed_percent"}])
def test_the_line_is_the_one_that_decoding_uses(robot, elbow, gripper):
    wanted = card(joints=joints(elbow, gripper)).joints
    units = JointUnits(wanted, robot.joints)
    for number in (0.0, 1.0, 40.0):
        decoded = units.to_robot(np.array([number, number]))
        for index in range(2):
            scale, offset = unit_line(wanted[index], robot.joints[index])
            assert decoded[index] == pytest.approx(scale * number + offset, abs=1e-12)


def test_percent_of_a_gripper_are_of_its_stroke(robot):
    wanted = card(joints=joints({}, {"unit": "percent"})).joints[1]
    assert unit_line(wanted, robot.joints[1]) == (0.022 / 100, 0.0)
    wanted = card(joints=joints({"unit": "signed_percent"})).joints[0]
    scale, offset = unit_line(wanted, robot.joints[0])
    assert (-100 * scale + offset, 100 * scale + offset) == (-1.5, 1.5)


def test_a_default_pose_outside_the_limits_is_refused(robot):
    match = match_card(card(joints=joints({"unit": "deg", "default_position": 90})), robot)
    (problem,) = match.problems
    assert problem.path == "joints[0] (elbow).limits"
    assert "from -1.5 to 1.5 rad, and the policy starts from 1.571" in problem.message
    assert [row.difference for row in match.joints] == ["default pose", ""]
    assert match_card(card(joints=joints({"unit": "deg", "default_position": 85.9})), robot).problems == ()


def offset_card(**changes):
    rows = [{"name": "q", "stream": "joint_offset", "shape": [1, 2], "unit": "joint"}]
    poses = joints({"default_position": 0.5}, {"default_position": 0.0})
    return card(inputs=rows, prefix={"max_steps": 0}, joints=poses, **changes)


@pytest.mark.parametrize(
    ("position", "changes", "refused"),
    [
        (0.5, {}, False),
        (0.69, {}, False),
        (0.71, {}, True),
        (0.5 + 0.458, {}, True),
        (0.5 - 0.458, {}, True),
        (float("nan"), {}, True),
        (0.71, {"start_tolerance_rad": 0.3}, False),
        (0.55, {"start_tolerance_rad": 0.01}, True),
    ],
)
def test_a_walker_that_stands_elsewhere_is_not_armed(robot, position, changes, refused):
    problems = start_problems(offset_card(**changes), robot, [position, 0.02])
    assert [problem.path for problem in problems] == (["joints[0] (elbow)"] if refused else [])
    if refused:
        assert "from 0.500, where the policy starts" in problems[0].message
        assert "then arm" in problems[0].hint


def test_the_default_pose_is_compared_in_the_robots_units(robot):
    poses = joints({"default_position": 30, "unit": "deg"}, {"default_position": 0.0})
    rows = [{"name": "q", "stream": "joint_offset", "shape": [1, 2], "unit": "joint"}]
    made = card(inputs=rows, prefix={"max_steps": 0}, joints=poses)
    assert start_problems(made, robot, [np.radians(30), 0]) == ()
    assert start_problems(made, robot, [30, 0])


class Still:
    """An engine whose answer is zeros, and which counts how often it is asked."""

    def __init__(self):
        self.inputs = {"q": np.zeros((1, 2), np.float32)}
        self.outputs = {"chunk": np.zeros((1, 20, 2), np.float32)}
        self.providers = ["test"]
        self.runs = 0

    def run(self):
        self.runs += 1


def test_a_policy_step_answers_nothing_from_a_pose_that_is_far(robot):
    made, engine = offset_card(), Still()
    step = PolicyStep(made, engine, Execution.of(robot, made.chunk.step_ns), robot=robot)

    def observed(elbow, under_way=None):
        position = np.array([elbow, 0.01])
        motion = np.stack([position, np.zeros(2), np.zeros(2)], axis=1)
        return Observation(
            stamp_ns=1_000_000_000,
            position=position,
            velocity=np.zeros(2),
            command=motion,
            ahead=np.zeros((0, 2)),
            joints_age_ns=0,
            streams={},
            under_way=under_way,
        )

    with pytest.raises(
        PolicyError, match=r"joints\[0\] \(elbow\) stands at 0.958 rad, 0.458 from 0.500"
    ) as caught:
        step.infer(observed(0.5 + 0.458))
    assert "then arm" in caught.value.hint
    assert engine.runs == 0
    chunk = step.infer(observed(0.55))
    assert engine.runs == 1
    assert chunk.actions.shape == (20, 2)
    command = np.stack([np.array([0.55, 0.01]), np.zeros(2), np.zeros(2)], axis=1)
    step.infer(
        observed(0.5 + 0.458, step.trajectory(chunk, command, 1_000_000_000, 0))
    )  # it walks: on it goes
    assert engine.runs == 2


def test_a_policy_that_may_start_anywhere_is_not_kept(robot):
    anywhere = card(joints=joints({"default_position": 0.5}))
    assert start_problems(anywhere, robot, [-1.5, 0]) == ()
    told = card(joints=joints({"default_position": 0.5}), start_tolerance_rad=0.1)
    assert start_problems(told, robot, [-1.5, 0])
    with pytest.raises(ValueError, match="3 positions for 2 joints"):
        start_problems(told, robot, [0, 0, 0])


def test_streams_inside_parts_are_looked_for(robot):
    rows = [
        {
            "name": "o",
            "shape": [1, 6],
            "parts": [
                {"stream": "stream:cup.position", "unit": "m"},
                {"stream": "stream:block.gravity"},
            ],
        }
    ]
    problems = match_card(card(inputs=rows, prefix={"max_steps": 0}), robot).problems
    assert [problem.path for problem in problems] == ["streams.cup", "streams.block"]
    assert "is of kind pose, and the card's input o wants stream:block.gravity" in problems[1].message


def test_a_camera_that_nobody_reads_is_a_warning(robot):
    rows = [{"name": "i", "stream": "camera:wrist", "shape": [1, 3, 8, 8]}]
    match = match_card(card(inputs=rows, prefix={"max_steps": 0}), robot)
    assert match.problems == ()
    assert [warning.path for warning in match.warnings] == ["camera wrist"]


def test_an_engine_must_be_in_the_robot_file(tmp_path, robot):
    made = card(engine="tensorrt")
    (problem,) = match_card(made, robot).problems
    assert problem.path == "policy.engines.tensorrt"
    engines = ("[execution]", '[policy.engines.tensorrt]\ncommand = ["run-it"]\n[execution]')
    assert match_card(made, load_robot(write_robot(tmp_path, engines))).problems == ()


def test_a_pose_needs_the_robots_links(robot):
    made = card(
        representation="pose",
        pose={"link": "hand", "rotation": "none"},
        inputs=[{"name": "q", "stream": "command", "shape": [1, 2], "unit": "joint"}],
        prefix={"max_steps": 0},
        output={"name": "chunk", "shape": [1, 20, 4]},
    )
    (problem,) = match_card(made, robot).problems
    assert (problem.path, problem.message) == (
        "fence.links",
        "has no link hand, whose pose the policy answers",
    )


def test_an_inference_longer_than_its_chunk_is_refused(robot):
    assert match_card(card(inference_ms=379.0), robot).problems == ()
    (problem,) = match_card(card(inference_ms=380.0), robot).problems
    assert "an inference takes 380 ms, and a chunk lasts 380 ms" in problem.message


@pytest.mark.parametrize(
    ("strategy", "changes", "message"),
    [
        ("prefix", {"prefix": {"max_steps": 0}}, "was not trained with one"),
        ("rtc", {}, "the card's decoder is chunk"),
        ("velocity_mask", {}, "the card's decoder is chunk"),
        ("prefix", {}, ""),
        ("auto", {"prefix": {"max_steps": 0}}, ""),
    ],
)
def test_a_strategy_that_the_policy_does_not_allow_is_refused(tmp_path, strategy, changes, message):
    chosen = ("[execution]", f'[execution]\nstrategy = "{strategy}"')
    problems = match_card(card(**changes), load_robot(write_robot(tmp_path, chosen))).problems
    assert [problem.path for problem in problems] == (["execution.strategy"] if message else [])
    assert all(message in problem.message for problem in problems)


def test_a_chunk_may_last_just_until_the_next(tmp_path):
    """At 2 Hz the next comes after 500 ms: 20 steps of 25 ms span 475 ms, and 21 span 500 ms."""
    slow = load_robot(write_robot(tmp_path, ("\nhz = 50", "\nhz = 2")))
    rows = [{"name": "q", "stream": "command", "shape": [1, 2], "unit": "joint"}]
    for steps, fits in ((20, False), (21, True)):
        made = card(
            chunk={"steps": steps, "step_ms": 25},
            inputs=rows,
            prefix={"max_steps": 0},
            output={"name": "chunk", "shape": [1, steps, 2]},
        )
        assert (match_card(made, slow).problems == ()) == fits


def test_a_single_action_is_decoded_with_or_without_its_axis(tmp_path):
    for shape in ([1, 2], [1, 1, 2]):
        made = card(
            chunk={"steps": 1, "step_ms": 20, "repeat": 4},
            output={"name": "a", "shape": shape},
            inputs=[{"name": "q", "stream": "command", "shape": [1, 2], "unit": "joint"}],
            prefix={"max_steps": 0},
        )
        answer = {"a": np.array([0.5, -1.0], np.float32).reshape(shape)}
        assert make_decoder(made, tmp_path).decode(answer).actions.tolist() == [[0.5, -1.0]]


def test_single_actions_last_as_long_as_they_stand(robot):
    made = card(
        chunk={"steps": 1, "step_ms": 5, "repeat": 4},
        output={"name": "a", "shape": [1, 2]},
        inputs=[{"name": "q", "stream": "command", "shape": [1, 2], "unit": "joint"}],
        prefix={"max_steps": 0},
    )
    (problem,) = match_card(made, robot).problems
    assert "a chunk of 15 ms ends before" in problem.message


# what an exporter wrote

WALKER = parse_card(tomllib.loads(EXAMPLES["walker"]), "walker")
NOTES = {
    "joint_names": "hip_l,knee_l,hip_r,knee_r",
    "joint_stiffness": "40.0,60.0,40.0,60.0",
    "joint_damping": "1.0,2.0,1.0,2.0",
    "default_joint_pos": "-0.300,0.600,-0.300,0.600",
    "action_scale": "0.5",
    "observation_names": "base_ang_vel,joint_pos",
    "run_path": "lab/run7",
}


def notes(**changes):
    found = read_exported({key: value for key, value in (NOTES | changes).items() if value is not None})
    problems, warnings = exported_problems(WALKER, found)
    return {problem.path: problem for problem in problems}, warnings


def test_an_exporter_that_agrees():
    assert notes() == ({}, [])
    found = read_exported(NOTES)
    assert (found.joints[1].name, found.joints[1].stiffness, found.joints[1].action_scale) == (
        "knee_l",
        60,
        0.5,
    )
    assert found.observations == ("base_ang_vel", "joint_pos")
    assert read_exported({"author": "somebody"}) is None


def test_holosomas_json_is_read():
    found = read_exported({"dof_names": '["a", "b"]', "kp": "[1.0, 2]", "kd": "[0.1, 0.2]"})
    assert [(j.name, j.stiffness, j.damping) for j in found.joints] == [("a", 1, 0.1), ("b", 2, 0.2)]


def test_gains_of_the_actuated_joints_only_are_theirs():
    """joint_names lists all joints, the gains only those that are driven."""
    names = "hip_l,wheel,knee_l,hip_r,knee_r"
    assert notes(joint_names=names, default_joint_pos=None, action_scale=None) == ({}, [])
    found, _ = notes(joint_names=names, joint_stiffness="40,61,40,60", default_joint_pos=None)
    assert list(found) == ["joints[1] (knee_l).stiffness"]


def test_gains_that_belong_to_nobody_are_told():
    found, warnings = notes(joint_stiffness="40,60")
    assert found == {}
    assert "has 2 numbers for 4 joints" in warnings[0].message


def test_gains_in_another_order_are_called_so():
    found, _ = notes(joint_stiffness="60,40,60,40")
    assert len(found) == 4
    assert "the same numbers in another order" in found["joints[0] (hip_l).stiffness"].hint


@pytest.mark.parametrize(
    ("changes", "path", "message"),
    [
        (
            {"joint_names": "knee_l,hip_l,hip_r,knee_r"},
            "joints[0] (hip_l)",
            "the exporter's order has knee_l",
        ),
        ({"joint_names": "a,b,c,d"}, "metadata joint_names", "lacks hip_l"),
        ({"default_joint_pos": "-0.3,0.6,-0.3,1.058"}, "joints[3] (knee_r).default_position", "wrote 1.058"),
        ({"joint_damping": "1,2,1,3"}, "joints[3] (knee_r).damping", "is 2, and the exporter wrote 3"),
        ({"action_scale": "0.25"}, "output.normalise.scale[0]", "is 0.5, and the exporter wrote 0.25"),
        ({"joint_stiffness": "40,x,40,60"}, "metadata joint_stiffness", "no list of numbers"),
        ({"joint_stiffness": "40,nan,40,60"}, "metadata joint_stiffness", "no list of numbers"),
        ({"joint_names": "[" * 100_000}, "metadata joint_names", "no list"),
        ({"joint_names": "a," * 1000}, "metadata joint_names", "no list of 512"),
    ],
)
def test_an_exporter_that_contradicts_the_card(changes, path, message):
    found, _ = notes(**changes)
    assert path in found, list(found)
    assert message in found[path].message
    assert found[path].hint


# the model's own tensors


def told(made, model, encoder=None):
    return [
        (p.path, p.message) for p in tensor_problems(made, read_graph(model), encoder and read_graph(encoder))
    ]


def declared(inputs, outputs):
    def rows(tensors):
        return [
            helper.make_tensor_value_info(name, kind, shape)
            for name, (shape, kind) in (
                (n, t if isinstance(t, tuple) else (t, 1)) for n, t in tensors.items()
            )
        ]

    graph = helper.make_graph([], "g", rows(inputs), rows(outputs))
    return helper.make_model(graph, ir_version=10).SerializeToString()


IN = {
    "q": [1, 2],
    "block": [1, 3],
    "drift": [1, 3],
    "prefix": [1, 20, 2],
    "mask": [1, 20],
    "noise": [1, 20, 2],
}


def test_a_model_of_the_cards_tensors_fits():
    assert told(card(), MODEL) == []
    for name, text in EXAMPLES.items():
        one = parse_card(tomllib.loads(text), name)
        assert told(one, model_of(one)) == []


def test_open_axes_take_the_cards_numbers():
    assert (
        told(card(), declared(IN | {"q": ["batch", 2], "block": [None, 3]}, {"chunk": ["batch", 20, 2]}))
        == []
    )
    assert told(card(), declared(IN | {"q": [1, None], "block": [1, None]}, {"chunk": [1, None, 2]})) == []
    found = told(card(), declared(IN | {"q": ["n", 2], "block": ["n", "n"]}, {"chunk": [1, 20, 2]}))
    assert found == [("inputs[1] (block)", "makes the axis n 3, and another tensor makes it 1")]


@pytest.mark.parametrize(
    ("inputs", "outputs", "path", "message"),
    [
        ({"q": [1, 3]}, {}, "inputs[0] (q).shape", "is [1, 2], and the model has float32 [1, 3]"),
        ({"q": [2]}, {}, "inputs[0] (q).shape", "the model has float32 [2]"),
        ({"q": ([1, 2], TensorProto.DOUBLE)}, {}, "inputs[0] (q).dtype", "the model has float64"),
        ({"q": None}, {}, "inputs[0] (q)", "is not an input of the model: q"),
        ({"more": [1, "k"]}, {}, "inputs", "lack more, which the model wants: float32 [1, k]"),
        ({}, {"chunk": [1, 19, 2]}, "output.shape", "and the model has float32 [1, 19, 2]"),
        ({}, {"chunk": None}, "output", "is not an output of the model: chunk"),
    ],
)
def test_each_difference_is_told(inputs, outputs, path, message):
    def merged(base, changes):
        return {name: shape for name, shape in (base | changes).items() if shape is not None}

    found = told(card(), declared(merged(IN, inputs), merged({"chunk": [1, 20, 2]}, outputs)))
    assert [place for place, _ in found] == [path]
    assert message in found[0][1]


def test_a_state_goes_out_as_it_comes_in():
    good = model_of(WALKER)
    assert told(WALKER, good) == []
    bad = declared({"obs": [1, 30], "h_in": [1, 1, 64]}, {"actions": [1, 4], "h_out": [1, 1, 32]})
    assert told(WALKER, bad) == [
        ("recurrent[0].output", "is [1, 1, 64], and the model has float32 [1, 1, 32]")
    ]


FLOW = parse_card(tomllib.loads(EXAMPLES["flow"]), "flow")


def test_an_encoder_stands_before_its_loop():
    before = {"state": [1, 2, 6], "block": [1, 4], "instruction": [1, 512]}
    step = {"x": [1, 32, 6], "t": [1, 32]}
    answer = {"velocity": [1, 32, 6]}
    encoder = declared(before, {"c": [1, 50]})
    assert told(FLOW, declared(step | {"c": [1, 50]}, answer), encoder) == []
    assert told(FLOW, declared(step | {"c": [1, 40]}, answer), encoder) == [
        ("decoder.encoder: c", "is float32 [1, 50] from the encoder, and the model takes float32 [1, 40]")
    ]
    found = told(FLOW, declared({"x": [1, 32, 6], "t": [1], "c": [1, 50]}, answer), encoder)
    assert found == [("decoder.time", "is [1, 32], and the model has float32 [1]")]
    assert told(FLOW, declared(step, answer))[0] == (
        "inputs[0] (state)",
        "is not an input of the model: state",
    )
