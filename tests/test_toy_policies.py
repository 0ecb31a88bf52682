"""Whole policies on the lock-step robot: one that hands itself a state, one that answers poses of the tool."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from cards import ARM
from onnx import TensorProto, helper, numpy_helper

import spinal.launch
from spinal.drivers.sim import arm6
from spinal.runtime.config.load import load_robot
from spinal.runtime.decode.kinematics import Chain
from spinal.runtime.errors import PolicyError
from spinal.runtime.policy.loaded import load
from spinal.runtime.rollout import Rollout
from spinal.runtime.types import Goal

ROBOT = load_robot(Path(spinal.launch.__path__[0]) / "robots" / "so101_sim.toml")
MS = 1_000_000
STEP_NS = 20 * MS
TOOL = (0.0, 0.0, arm6.HAND - 0.0611)
CHAIN = Chain(ROBOT, "hand", TOOL)

JOINT_LINES = "".join(f'  {{ name = "{name}", kind = "arm", unit = "rad" }},\n' for name in ARM)
CARD = """
schema = 1
name = "toy"
version = "0.1.0"
sha256 = "{sha256}"
{head}
joints = [
{joints}  {{ name = "gripper", kind = "gripper", unit = "m" }},
]
inputs = [
{inputs}]
"""


def write(folder, nodes, inputs, outputs, constants, head, lines):
    """A model of ``nodes`` and its card; returns the model's path."""
    tensors = {
        end: [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
        for end, shapes in (("in", inputs), ("out", outputs))
    }
    given = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "toy", tensors["in"], tensors["out"], given)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    path = folder / "toy.onnx"
    path.write_bytes(model.SerializeToString())
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    text = CARD.format(
        sha256=digest, head=head, joints=JOINT_LINES, inputs="".join(f"  {line},\n" for line in lines)
    )
    path.with_suffix(".card.toml").write_text(text)
    return path


class Run:
    """A rollout of a model that keeps what was said and what was commanded."""

    def __init__(self, path, steps, answer_ms=1, before=lambda rollout, k: None):
        self.policy = load(ROBOT, 0, path).step
        self.rollout = Rollout(ROBOT, self.policy, inference_ns=answer_ms * MS, keep_records=True)
        self.rollout.begin(11)
        self.start = self.rollout.robot.state().commanded[:, 0].copy()
        self.complaints = []
        for k in range(steps):
            before(self.rollout, k)
            self.rollout.step()
            self.complaints.append(self.rollout.complaint)
        self.records = self.rollout.robot.take_records()
        self.commanded = self.records["joints"]["applied"]


# --- a state that goes round


def recurrent(folder):
    """Each answer is the joints' start and a ramp of the state on the pan: the state counts the answers."""
    nodes = [
        helper.make_node("Add", ["h", "one"], ["h_out"]),
        helper.make_node("Mul", ["h_out", "slope"], ["ramp"]),
        helper.make_node("Add", ["ramp", "shape"], ["chunk"]),
    ]
    slope = np.zeros((1, 8, 6), np.float32)
    slope[..., 0] = 0.004
    constants = {"one": np.float32([[[1.0]]]), "slope": slope, "shape": np.zeros((1, 8, 6), np.float32)}
    lines = [
        '{ name = "q", stream = "joint_position", shape = [1, 6], unit = "joint" }',
        '{ name = "h", stream = "recurrent:h_out", shape = [1, 1, 1] }',
    ]
    head = (
        'representation = "relative"\nrelative_to = "command"\nchunk = { steps = 8, step_ms = 20 }\n'
        'output = { name = "chunk", shape = [1, 8, 6] }\nrecurrent = [{ output = "h_out", input = "h" }]'
    )
    nodes.append(helper.make_node("Identity", ["q"], ["unused"]))
    return write(
        folder,
        nodes,
        {"q": (1, 6), "h": (1, 1, 1)},
        {"chunk": (1, 8, 6), "h_out": (1, 1, 1), "unused": (1, 6)},
        constants,
        head,
        lines,
    )


def test_a_state_goes_round_once_an_answer_and_begins_again(tmp_path):
    run = Run(recurrent(tmp_path), 25)
    engine = run.policy._fills._memory._engine
    assert run.complaints == [None] * 25
    assert engine.outputs["h_out"].item() == 25
    moved = run.commanded[-1] - run.start
    assert moved[0] > 0.1  # the pan went further with each answer
    assert np.abs(moved[1:]).max() < 1e-3
    run.rollout.begin(12)
    run.rollout.step()
    assert engine.outputs["h_out"].item() == 1


def test_the_same_run_again_is_the_same_to_the_last_bit(tmp_path):
    path = recurrent(tmp_path)
    first, again = (Run(path, 12).records for _ in range(2))
    assert len(first) > 50
    assert first.tobytes() == again.tobytes()


def test_a_lost_stream_begins_with_zeros(tmp_path):
    def before(rollout, k):
        if k == 10:
            rollout.robot.observe(
                rollout._next_ns + 1000 * MS
            )  # nothing has arrived by then: an interruption

    run = Run(recurrent(tmp_path), 25, before=before)
    assert run.policy._fills._memory._engine.outputs["h_out"].item() == 15


# --- poses of the tool


OUT_M, CHUNK = 0.03, 20


def pose_model(folder):
    """Moves the tool along the base's x as its latent says, x(t + k) - x(t), and keeps the rotation."""
    still = np.zeros((1, CHUNK, 10), np.float32)
    still[..., 3], still[..., 7], still[..., 9] = 1.0, 1.0, 0.011
    along = np.zeros((1, 1, 10), np.float32)
    along[..., 0] = 1.0
    nodes = [
        helper.make_node("Reshape", ["plan", "column"], ["x"]),
        helper.make_node("Mul", ["x", "along"], ["moved"]),
        helper.make_node("Add", ["moved", "still"], ["chunk"]),
        helper.make_node("Identity", ["q"], ["unused"]),
    ]
    constants = {"still": still, "along": along, "column": np.int64([1, CHUNK, 1])}
    lines = [
        '{ name = "q", stream = "joint_position", shape = [1, 6], unit = "joint" }',
        f'{{ name = "plan", stream = "goal:latent", shape = [1, {CHUNK}] }}',
    ]
    point = ", ".join(map(repr, TOOL))
    head = (
        f'representation = "pose"\nrelative_to = "command"\nchunk = {{ steps = {CHUNK}, step_ms = 20 }}\n'
        f'output = {{ name = "chunk", shape = [1, {CHUNK}, 10] }}\n'
        f'pose = {{ link = "hand", rotation = "6d", relative = "base", point = [{point}] }}'
    )
    return write(
        folder,
        nodes,
        {"q": (1, 6), "plan": (1, CHUNK)},
        {"chunk": (1, CHUNK, 10), "unused": (1, 6)},
        constants,
        head,
        lines,
    )


def path_m(t_s, out_m=OUT_M):
    """Out and back in 2 s, at rest at both ends."""
    share = np.clip(np.asarray(t_s) / 2.0, 0, 1)
    return out_m * (0.5 - 0.5 * np.cos(2 * np.pi * share))


def planner(rollout, k):
    """Says each step how far the tool is to be from where it is: what a slow model's latent would carry."""
    if k == 0:
        rollout.began_ns = rollout._next_ns
    now_s = (rollout._next_ns - rollout.began_ns) * 1e-9
    ahead_s = now_s + 0.02 * np.arange(1, CHUNK + 1)
    latent = (path_m(ahead_s) - path_m(now_s)).astype(np.float32)
    stamp = rollout._next_ns - MS
    rollout.robot.goals.publish([Goal("latent", k + 1, stamp, stamp + 100 * MS, latent)])


@pytest.mark.parametrize("answer_ms", [1, 15])
def test_the_tool_moves_3_cm_along_x_and_comes_back(tmp_path, answer_ms):
    run = Run(pose_model(tmp_path), 110, answer_ms, before=planner)
    assert run.complaints == [None] * 110
    p, r = CHAIN.pose(run.commanded[:, :5])
    p0, r0 = CHAIN.pose(run.start[None, :5])
    way = p - p0
    assert way[:, 0].max() == pytest.approx(OUT_M, abs=1e-3)
    assert np.abs(way[-1]).max() < 1e-3
    assert np.abs(way[:, 1:]).max() < 1e-3  # no millimetre aside
    turned = np.arccos(np.clip((np.trace(r @ r0[0].T, axis1=1, axis2=2) - 1) / 2, -1, 1))
    assert np.degrees(turned.max()) < 0.5
    planned = path_m((run.records["tick_ns"] - run.rollout.began_ns) * 1e-9)
    assert np.abs(way[:, 0] - planned).max() < 3e-3
    assert run.policy._meaning.residual.position_mm < 0.1


def test_a_pose_out_of_reach_is_no_answer_and_the_arm_holds(tmp_path):
    def before(rollout, k):
        planner(rollout, k)
        if k >= 20:
            far = np.full(CHUNK, 0.5, np.float32)
            stamp = rollout._next_ns - MS
            rollout.robot.goals.publish([Goal("latent", k + 1, stamp, stamp + 100 * MS, far)])

    run = Run(pose_model(tmp_path), 60, before=before)
    assert run.complaints[:20] == [None] * 20
    assert all("of hand is out of reach by" in said for said in run.complaints[20:])
    assert run.rollout.robot.mode == "holding"
    p, _ = CHAIN.pose(run.commanded[:, :5])
    assert (p[:, 0] - p[0, 0]).max() < OUT_M + 1e-3
    assert np.abs(np.diff(run.commanded[-10:], axis=0)).max() < 1e-9


def test_a_goal_that_is_too_old_makes_the_arm_hold_and_a_new_one_moves_it(tmp_path):
    def before(rollout, k):
        if not 15 <= k < 50:
            planner(rollout, k)

    run = Run(pose_model(tmp_path), 60, before=before)
    assert run.complaints[14] is None
    assert "no goal latent: it is" in run.complaints[30]
    assert run.complaints[55] is None
    assert run.rollout.bad_answers == sum(said is not None for said in run.complaints) >= 28


def test_an_arm_that_describes_no_links_cannot_load_it(tmp_path):
    bare = ROBOT.model_copy(update={"fence": None})
    with pytest.raises(PolicyError, match=r"so101_sim has no link hand|has no link hand"):
        load(bare, 0, pose_model(tmp_path))
