"""Draws picks in lock-step, frame by frame, into a GIF. Run by ``spinal demo --video`` in its own process."""

from __future__ import annotations

import argparse
from pathlib import Path

import mujoco
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from spinal.runtime.config import load_robot
from spinal.runtime.rollout import Rollout, load_policy

WIDTH, HEIGHT = 480, 360
FRAME_NS = 60_000_000
"""Of the world's time; a multiple of the policy step."""
PICKS = 3
AFTER_PICK_FRAMES = 5
COLOURS = 96
LOOK_AT_M = (0.14, 0.0, 0.09)
DISTANCE_M, AZIMUTH_DEG, ELEVATION_DEG = 0.55, 125.0, -18.0


def main() -> None:
    """Films a few picks and writes the GIF."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("robot", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--delay-ms", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    robot = load_robot(args.robot)
    rollout = Rollout(robot, load_policy(robot), added_delay_ns=round(args.delay_ms * 1e6))
    frames = draw(rollout, args.seed)
    images = [
        Image.fromarray(frame).quantize(COLOURS, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
        for frame in frames
    ]
    images[0].save(
        args.output, save_all=True, append_images=images[1:], duration=FRAME_NS // 1_000_000, loop=0
    )


def draw(rollout: Rollout, seed: int) -> list[NDArray[np.uint8]]:
    """Frames [height, width, 3] of a few picks, the arm carrying on from one to the next."""
    world = rollout.world
    rollout.begin(seed)
    frames: list[NDArray[np.uint8]] = []
    camera = mujoco.MjvCamera()
    camera.lookat[:] = LOOK_AT_M
    camera.distance, camera.azimuth, camera.elevation = DISTANCE_M, AZIMUTH_DEG, ELEVATION_DEG
    with mujoco.Renderer(world.model, HEIGHT, WIDTH) as renderer:
        renderer.scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = False
        renderer.scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False
        for _ in range(PICKS):
            left = AFTER_PICK_FRAMES
            while left > 0:
                until_ns = world.time_ns + FRAME_NS
                while world.time_ns < until_ns:
                    rollout.step()
                renderer.update_scene(world.data, camera)
                frames.append(renderer.render().copy())
                left -= world.outcome is not None
            world.respawn()
    return frames


if __name__ == "__main__":
    main()
