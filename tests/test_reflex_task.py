"""Reflexes beside the shipped task: no false alarm at full speed and any delay, and a jammed arm is noticed.

The arm is MuJoCo's, with gravity, coupling between joints and a hand that bumps against the cart; its servos are
read over the real protocol. More episodes: ``EPISODES=40 pytest tests/test_reflex_task.py``.
"""

import os
from pathlib import Path

import mujoco
import pytest

import spinal.launch
from spinal.drivers.sim import seeds
from spinal.drivers.sim.cartpick import CartpickWorld
from spinal.native.layout import Condition
from spinal.runtime.config.load import load_robot
from spinal.runtime.rollout import Rollout, load_policy

ROBOT = Path(spinal.launch.__path__[0]) / "robots" / "so101_sim.toml"
EPISODES = int(os.environ.get("EPISODES", "2"))
NAMES = (
    "frozen",
    "following",
    "following_lost",
    "contact",
    "collision",
    "hot",
    "overheated",
    "voltage_low",
    "voltage_failed",
)


@pytest.fixture(scope="module")
def robot():
    return load_robot(ROBOT)


@pytest.fixture(scope="module")
def policy(robot):
    return load_policy(robot)


@pytest.mark.parametrize("delay_steps", range(7))
def test_the_shipped_task_raises_none_in_either_grade(robot, policy, delay_steps):
    rollout = Rollout(robot, policy, added_delay_ns=delay_steps * 20_000_000)
    for seed in range(seeds.VALIDATION[100], seeds.VALIDATION[100] + EPISODES):
        for start in ("home", "lifted"):
            rollout.episode(seed, start)
            risen = rollout.robot.stats()["risen"]
            assert {name: risen[name] for name in NAMES if risen[name]} == {}, (seed, start)


class JammedWorld(CartpickWorld):
    """One joint of it stands still from ``JAM_NS`` on, whatever its motor does."""

    JAM_NS = 500_000_000

    def __init__(self, joint):
        super().__init__()
        self.joint = joint
        self.stands_at = None

    def step(self):
        super().step()
        if self.time_ns < self.JAM_NS:
            return
        if self.stands_at is None:
            self.stands_at = self._qpos[self.joint].copy()
        self._qpos[self.joint] = self.stands_at
        self._qvel[self.joint] = 0.0
        mujoco.mj_forward(self.model, self.data)


@pytest.mark.parametrize("joint", [0, 1, 2, 3, 4])
def test_a_jammed_joint_is_held_by_following_and_told_as_a_contact(robot, policy, joint):
    prompt = robot.reflexes.model_copy(update={"following_ms": 100, "frozen_ms": 100})
    robot = robot.model_copy(update={"reflexes": prompt})  # without patience for a simulator that is held up
    rollout = Rollout(robot, policy, JammedWorld(joint), keep_records=True)
    rollout.begin(seeds.VALIDATION[50])
    while rollout.robot.now_ns < rollout.robot.start_ns + 2_000_000_000:
        rollout.step()
    records = rollout.robot.take_records()
    jammed_ns = rollout.robot.start_ns + JammedWorld.JAM_NS
    found = Condition.FOLLOWING | Condition.FOLLOWING_LOST | Condition.CONTACT | Condition.COLLISION
    alarmed = [r for r in records if Condition(int(r["conditions"])) & found]
    assert alarmed
    assert jammed_ns < alarmed[0]["tick_ns"]
    # the lag, and 100 ms, from where the command is further away than following allows
    applied, measured = (records["joints"][word][:, joint] for word in ("applied", "measured"))
    away_ns = records["tick_ns"][(records["tick_ns"] > jammed_ns) & (abs(applied - measured) > 0.3)]
    assert not len(away_ns) or alarmed[0]["tick_ns"] <= away_ns[0] + 150_000_000
    assert Condition(int(records[-1]["conditions"])) & Condition.CONTACT
    assert rollout.robot.mode in ("holding", "stopped")


def test_leaning_on_the_cart_is_a_contact_when_the_robot_file_allows_less(robot, policy):
    """The pushes are seen, so that the silence above means something."""
    careful = robot.model_copy(update={"reflexes": robot.reflexes.model_copy(update={"contact_ms": 40})})
    rollout = Rollout(careful, policy, added_delay_ns=6 * 20_000_000)
    contacts = 0
    for seed in range(seeds.VALIDATION[0], seeds.VALIDATION[0] + 3):
        rollout.episode(seed, "lifted")
        contacts += rollout.robot.stats()["risen"]["contact"]
    assert contacts > 0
