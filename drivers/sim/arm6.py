"""A six-axis desktop arm from primitives: its MuJoCo model and its kinematics, from one set of lengths.

Joint order and proportions are the SO-101's (five hinges and a jaw); shapes, masses and the parallel
jaw are our own. Distances are metres, angles radians, and the tool points straight down in ``ik``.

The servos stand for the STS3215 at 12 V:

- 2.94 N m at stall and 0.6 N m s/rad of back-EMF damping, so 4.7-4.9 rad/s is the most they reach.
- Stiffness. Public models of this servo disagree by a factor of fifty: 17.8 N m/rad (identified at
  7.4 V) and 998 N m/rad (derived for P = 16 in the SO-101's own MJCF, underdamped at this inertia).
  250 N m/rad with 5 N m s/rad lies between: about 0.8 of critical damping, 22 ms of lag behind a
  ramp, and a sag under gravity of 1 to 2 mrad, one step of a 4096-count encoder.
"""

import math

import numpy as np
from numpy.typing import NDArray

JOINTS = ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll", "gripper")

SHOULDER_HEIGHT = 0.1166
"""Height of the lift axis above the table."""
SHOULDER_OFFSET = 0.0304
"""Distance of the lift axis from the pan axis."""
UPPER_ARM = 0.116
FOREARM = 0.135
HAND = 0.1591
"""Wrist flex axis to the tool point between the jaw tips."""
JAW_OPEN = 0.022
"""Travel of each finger; the gripper channel is one finger's opening, in metres."""
REACH = 0.985 * (UPPER_ARM + FOREARM)
"""Largest shoulder-to-wrist distance that ``ik`` uses: beyond it the elbow's speed grows without bound."""

SERVO_STIFFNESS = 250.0
SERVO_DAMPING = 5.0
SERVO_TORQUE = 2.94
JAW_STIFFNESS = 600.0
JAW_DAMPING = 20.0
JAW_FORCE = 24.0
"""Of a finger at the motor's full torque, N; the robot file allows half of it."""

LOWER = np.array([-1.92, -1.75, -0.1, -2.1, -2.75, 0.0])
UPPER = np.array([1.92, 1.75, 2.9, 2.1, 2.75, JAW_OPEN])

FloatArray = NDArray[np.float64]


def fk(joint_position: FloatArray) -> FloatArray:
    """Tool point (x, y, z) of joint positions [..., >=5], each point [..., 3]."""
    q = np.asarray(joint_position, dtype=np.float64)
    lift, elbow, wrist = q[..., 1], q[..., 1] + q[..., 2], q[..., 1] + q[..., 2] + q[..., 3]
    radius = SHOULDER_OFFSET + UPPER_ARM * np.sin(lift) + FOREARM * np.sin(elbow) + HAND * np.sin(wrist)
    height = SHOULDER_HEIGHT + UPPER_ARM * np.cos(lift) + FOREARM * np.cos(elbow) + HAND * np.cos(wrist)
    return np.stack([radius * np.cos(q[..., 0]), radius * np.sin(q[..., 0]), height], axis=-1)


def ik(
    x: float | FloatArray, y: float | FloatArray, z: float | FloatArray, roll: float | FloatArray
) -> FloatArray:
    """The five arm joints [..., 5] that put the tool at (x, y, z), each [...], pointing down, elbow up.

    A point out of reach is moved to the nearest one in reach on the line from the shoulder.
    """
    radius = np.hypot(x, y) - SHOULDER_OFFSET
    height = z + HAND - SHOULDER_HEIGHT
    distance = np.hypot(radius, height)
    within = np.minimum(1.0, REACH / distance)
    radius, height, distance = radius * within, height * within, distance * within
    cosine = (distance**2 - UPPER_ARM**2 - FOREARM**2) / (2 * UPPER_ARM * FOREARM)
    elbow = np.arccos(np.clip(cosine, -1.0, 1.0))
    inner = np.arctan2(FOREARM * np.sin(elbow), UPPER_ARM + FOREARM * np.cos(elbow))
    lift = np.arctan2(radius, height) - inner
    joints = np.broadcast_arrays(np.arctan2(y, x), lift, elbow, math.pi - lift - elbow, roll)
    return np.stack(joints, axis=-1).astype(np.float64)


def jacobian(joint_position: FloatArray) -> FloatArray:
    """Derivative [3, 5] of the tool point by the arm joints (the roll column is zero)."""
    pan, lift = joint_position[0], joint_position[1]
    elbow = lift + joint_position[2]
    wrist = elbow + joint_position[3]
    down = [UPPER_ARM * math.cos(lift), FOREARM * math.cos(elbow), HAND * math.cos(wrist)]
    out = [UPPER_ARM * math.sin(lift), FOREARM * math.sin(elbow), HAND * math.sin(wrist)]
    radius = SHOULDER_OFFSET + sum(out)
    c, s = math.cos(pan), math.sin(pan)
    table = np.zeros((3, 5))
    table[:, 0] = (-radius * s, radius * c, 0.0)
    for joint in range(3):
        radial, vertical = sum(down[joint:]), -sum(out[joint:])
        table[:, 1 + joint] = (radial * c, radial * s, vertical)
    return table


_DEFAULTS = f"""
 <default>
  <geom contype="0" conaffinity="0" rgba="1 .82 .12 1"/>
  <joint damping="0.6" frictionloss="0.052" armature="0.028"/>
  <position kp="{SERVO_STIFFNESS}" kv="{SERVO_DAMPING}" forcerange="-{SERVO_TORQUE} {SERVO_TORQUE}"/>
  <default class="servo"><geom rgba=".12 .12 .12 1"/></default>
  <default class="tip"><geom contype="1" conaffinity="2" friction="1.2 .02 .001" condim="4"
    solref=".01 1" rgba=".9 .5 .1 1"/></default>
 </default>"""

_FINGERS = f"""
        <body name="jaw_left" pos="0 0 .038"><joint name="gripper" type="slide" axis="0 1 0"
          range="0 {JAW_OPEN}" armature=".3" damping="8" frictionloss="0"/>
         <geom class="tip" type="box" size=".007 .003 .034" pos="0 .003 .034" mass=".008"/></body>
        <body name="jaw_right" pos="0 0 .038"><joint name="gripper_twin" type="slide" axis="0 -1 0"
          range="0 {JAW_OPEN}" armature=".3" damping="8" frictionloss="0"/>
         <geom class="tip" type="box" size=".007 .003 .034" pos="0 -.003 .034" mass=".008"/></body>"""

_ARM = f"""
  <body name="base"><geom type="box" size=".045 .035 .028" pos="-.01 0 .028" mass=".15"/>
   <body name="shoulder" pos="0 0 .0624"><joint name="shoulder_pan" axis="0 0 1" range="-1.92 1.92"/>
    <geom type="cylinder" size=".027 .02" class="servo" mass=".055"/>
    <geom type="box" size=".02 .024 .025" pos=".02 0 .04" mass=".045"/>
    <body name="upper" pos="{SHOULDER_OFFSET} 0 .0542">
     <joint name="shoulder_lift" axis="0 1 0" range="-1.75 1.75"/>
     <geom type="cylinder" size=".016 .03" euler="1.5708 0 0" class="servo" mass=".055"/>
     <geom type="capsule" fromto="0 0 0 0 0 {UPPER_ARM}" size=".014" mass=".045"/>
     <body name="lower" pos="0 0 {UPPER_ARM}"><joint name="elbow_flex" axis="0 1 0" range="-.1 2.9"/>
      <geom type="cylinder" size=".016 .028" euler="1.5708 0 0" class="servo" mass=".055"/>
      <geom type="capsule" fromto="0 0 0 0 0 {FOREARM}" size=".012" mass=".045"/>
      <body name="wrist" pos="0 0 {FOREARM}">
       <joint name="wrist_flex" axis="0 1 0" range="-2.1 2.1" armature=".015"/>
       <geom type="cylinder" size=".014 .026" euler="1.5708 0 0" class="servo" mass=".055"/>
       <geom type="capsule" fromto="0 0 0 0 0 .05" size=".012" mass=".02"/>
       <body name="hand" pos="0 0 .0611">
        <joint name="wrist_roll" axis="0 0 1" range="-2.75 2.75" armature=".015"/>
        <geom type="box" size=".014 .034 .012" pos="0 0 .012" class="servo" mass=".06"/>
        <geom type="box" size=".012 .034 .008" pos="0 0 .03" mass=".015"/>
        <site name="tool" pos="0 0 .098" size=".003"/>{_FINGERS}
       </body></body></body></body></body></body>"""

_SERVOS = f"""
  <position joint="shoulder_pan"/><position joint="shoulder_lift"/><position joint="elbow_flex"/>
  <position joint="wrist_flex" kp="{0.6 * SERVO_STIFFNESS}" kv="{0.6 * SERVO_DAMPING}"/>
  <position joint="wrist_roll" kp="{0.6 * SERVO_STIFFNESS}" kv="{0.6 * SERVO_DAMPING}"/>
  <position joint="gripper" kp="{JAW_STIFFNESS}" kv="{JAW_DAMPING}" forcerange="-{JAW_FORCE} {JAW_FORCE}"/>"""


def mjcf(bodies: str = "", actuators: str = "", assets: str = "") -> str:
    """The arm's MJCF, on a floor, with a task's own bodies, actuators and assets put in.

    Actuators 0 to 5 and joints 0 to 4 are the arm's in the order of ``JOINTS``; joint 5 is the left
    finger, to which an equality ties the right one. Collision bits: 1 jaw tips, 2 cart, 4 block and floor.
    """
    return f"""
<mujoco model="arm6">
 <compiler angle="radian"/>
 <option timestep="0.002" integrator="implicitfast" cone="elliptic" impratio="10"/>
 <visual><global offwidth="640" offheight="480"/>
  <headlight ambient=".4 .4 .4" diffuse=".4 .4 .4"/></visual>
 <asset>
  <texture name="ground" type="2d" builtin="checker" rgb1=".62 .65 .68" rgb2=".55 .58 .62" width="128"
   height="128"/>
  <material name="ground" texture="ground" texrepeat="8 8"/>
  <texture type="skybox" builtin="gradient" rgb1=".6 .7 .8" rgb2=".2 .2 .3" width="64" height="64"/>{assets}
 </asset>{_DEFAULTS}
 <worldbody>
  <light pos="0.2 -.4 1" dir="0 .3 -1" castshadow="true"/>
  <camera name="side" pos="0.56 -.30 .26" xyaxes=".58 .81 0 -.33 .24 .91" fovy="42"/>
  <camera name="top" pos="0.2 0 .7" xyaxes="0 -1 0 1 0 0"/>
  <geom name="floor" type="plane" size="1 1 .1" material="ground" rgba="1 1 1 1" contype="0"
   conaffinity="4"/>{_ARM}{bodies}
 </worldbody>
 <equality><joint joint1="gripper_twin" joint2="gripper" polycoef="0 1 0 0 0"/></equality>
 <actuator>{_SERVOS}{actuators}
 </actuator>
</mujoco>"""
