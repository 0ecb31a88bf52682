"""What the tests of the fence share: random arms, an oracle in numpy, and an arm that is driven for many ticks."""

import ctypes
from dataclasses import dataclass

import numpy as np
from native_build import CORE, build
from scipy.spatial.transform import Rotation

from spinal.native.fence import Capsule, Description, Fence, Link

LIMITS = (-2.8, 2.8, 4.7, 80.0, 4000.0)
EMERGENCY = (-2.8, 2.8, 4.7, 120.0, 20000.0)
DT_S = 0.004
RUN, HOLD, STOP = range(3)
UNTURNED = (1, 0, 0, 0, 1, 0, 0, 0, 1)


def planar(workspace=((-1, -0.3, -1), (1, 0.3, 1)), boxes=(), pairs=(), margin=0.005, links=2):
    """A flat arm of 0.2 m links along x that turn about z, one capsule of 2 cm each."""
    frames = [Link(k - 1, k, (0.2 * (k > 0), 0, 0.1 * (k == 0)), UNTURNED, (0, 0, 1)) for k in range(links)]
    capsules = [Capsule(k, (0, 0, 0), (0.2, 0, 0), 0.02) for k in range(links)]
    return Description(frames, capsules, workspace, list(boxes), list(pairs), margin, margin)


def random_arm(rng, joints):
    """A tree of links at a random attitude, its start pose, and boxes around it; clear at the start."""
    links, capsules = [], []
    for k in range(joints):
        axis = rng.normal(size=3)
        turn = Rotation.random(random_state=int(rng.integers(1 << 31))).as_matrix()
        parent = k - 1 if rng.random() < 0.7 else int(rng.integers(-1, k))
        origin = (0, 0, 0) if parent < 0 else capsules[parent].end
        links.append(Link(parent, k, origin, tuple(turn.ravel()), tuple(axis / np.linalg.norm(axis))))
        end = tuple(rng.normal(size=3) * rng.uniform(0.02, 0.12))
        capsules.append(Capsule(k, (0, 0, 0), end, rng.uniform(0.005, 0.03)))
    start = rng.uniform(-1.5, 1.5, joints)
    alone = Description(links, capsules, None, [], [], 0.004, 0.004)
    points = capsule_ends(alone, start[None])[0].reshape(-1, 3)
    reach = 0.03 + 0.01 + rng.uniform(0.0, 0.1, (2, 3))
    workspace = (tuple(points.min(0) - reach[0]), tuple(points.max(0) + reach[1]))
    boxes = []
    for _ in range(3):
        corner = points.mean(0) + rng.normal(size=3) * 0.15
        box = (tuple(corner), tuple(corner + rng.uniform(0.02, 0.15, 3)))
        if clearance(alone._replace(boxes=[box]), start[None]).min() > 0:
            boxes.append(box)
    pairs = [
        (a, b)
        for a in range(joints)
        for b in range(a + 1, joints)
        if links[b].parent != a and clearance(alone._replace(pairs=[(a, b)]), start[None]).min() > 0
    ]
    return alone._replace(workspace=workspace, boxes=boxes, pairs=pairs), start


def poses(description, positions):
    """Frames of the links at [n, joint]: a list of (origins [n, 3], rotations [n, 3, 3])."""
    count = len(positions)
    frames = []
    for link in description.links:
        turn = np.broadcast_to(np.reshape(link.rotation, (3, 3)), (count, 3, 3))
        if link.joint >= 0:
            angle = positions[:, link.joint, None] * np.asarray(link.axis)
            turn = turn @ Rotation.from_rotvec(angle).as_matrix()
        origin = np.broadcast_to(np.asarray(link.origin, float), (count, 3))
        if link.parent >= 0:
            parent_origin, parent_turn = frames[link.parent]
            origin = parent_origin + np.einsum("nij,nj->ni", parent_turn, origin)
            turn = parent_turn @ turn
        frames.append((origin, turn))
    return frames


def capsule_ends(description, positions):
    """[n, capsule, end, 3]."""
    frames = poses(description, np.asarray(positions))
    ends = []
    for capsule in description.capsules:
        origin, turn = frames[capsule.link]
        ends.append([origin + turn @ np.asarray(point, float) for point in (capsule.start, capsule.end)])
    return np.array(ends).transpose(2, 0, 1, 3)


def least(distance, count, rounds=30):
    """The least of a convex function of a share of 0 to 1, for ``count`` of them at once: by thirds."""
    low, high = np.zeros(count), np.ones(count)
    for _ in range(rounds):
        left, right = low + (high - low) / 3, high - (high - low) / 3
        nearer = distance(left) < distance(right)
        low, high = np.where(nearer, low, left), np.where(nearer, right, high)
    return distance((low + high) / 2)


def box_distance(a, b, low, high, rounds=30):
    """Of segments [n, 3] to a box: 0 inside."""

    def at(share):
        point = a + share[:, None] * (b - a)
        return np.linalg.norm(np.maximum(0, np.maximum(low - point, point - high)), axis=1)

    return least(at, len(a), rounds)


def point_distance(point, a, b):
    """Of points [n, 3] to segments [n, 3]."""
    way = b - a
    square = (way**2).sum(1)
    share = np.clip(((point - a) * way).sum(1) / np.where(square > 0, square, 1), 0, 1)
    return np.linalg.norm(point - a - share[:, None] * way, axis=1)


def pair_distance(a, b, c, d, rounds=30):
    """Of segments a-b to segments c-d, each [n, 3]."""
    return least(lambda share: point_distance(a + share[:, None] * (b - a), c, d), len(a), rounds)


def clearance(description, positions):
    """[n] what is free beyond the margins at positions [n, joint]; only up to 0 where lines themselves meet."""
    ends = capsule_ends(description, positions)
    free = np.full(len(positions), np.inf)
    moving = [_moves(description, capsule.link) for capsule in description.capsules]
    for k, capsule in enumerate(description.capsules):
        a, b = ends[:, k, 0], ends[:, k, 1]
        if not moving[k]:
            continue
        reach = capsule.radius + description.margin
        if description.workspace is not None:
            low, high = map(np.asarray, description.workspace)
            room = np.minimum(np.minimum(a, b) - low, high - np.maximum(a, b)).min(1)
            free = np.minimum(free, room - reach)
        for low, high in description.boxes:
            free = np.minimum(free, box_distance(a, b, np.asarray(low), np.asarray(high)) - reach)
    for a, b in description.pairs:
        reach = description.capsules[a].radius + description.capsules[b].radius + description.self_margin
        distance = pair_distance(ends[:, a, 0], ends[:, a, 1], ends[:, b, 0], ends[:, b, 1])
        free = np.minimum(free, distance - reach)
    return free


def _moves(description, link):
    while link >= 0:
        if description.links[link].joint >= 0:
            return True
        link = description.links[link].parent
    return False


def between_ticks(positions, parts=3):
    """Positions [tick, joint], with points on the way from each to the next."""
    shares = np.arange(parts) / parts
    way = positions[:-1, None] + shares[None, :, None] * np.diff(positions, axis=0)[:, None]
    return np.concatenate([way.reshape(-1, positions.shape[1]), positions[-1:]])


class Limits(ctypes.Structure):
    """``sp_limits``."""

    _fields_ = [(name, ctypes.c_double) for name in ("low", "high", "velocity", "acceleration", "jerk")]


@dataclass
class Run:
    """Of each tick: positions, velocities, accelerations [tick, joint]; bits, and what is to be left [tick]."""

    position: np.ndarray
    velocity: np.ndarray
    acceleration: np.ndarray
    bits: np.ndarray
    to_leave: np.ndarray

    def jerk(self, dt_s=DT_S):
        return np.diff(self.acceleration, axis=0, prepend=0) / dt_s


class Driver:
    """Drives arms behind limiter and fence as the loop does; builds its library in ``folder``."""

    def __init__(self, folder):
        sources = [
            str(CORE / f"{name}.c")
            for name in ("fence", "fence_leave", "fence_pose", "sweep", "kinematics", "distance", "limiter")
        ]
        self._library = ctypes.CDLL(str(build("fenced_arm.c", folder, *sources, "-lm")))

    def run(
        self,
        description,
        start,
        requests,
        orders=None,
        limits=LIMITS,
        emergency=EMERGENCY,
        dt_s=DT_S,
        leaves=False,
    ):
        """``requests``: [tick, joint, 3] of position, velocity, acceleration; ``orders``: [tick], RUN if None.

        ``leaves``: what it begins in touch with it may leave by whatever way.
        """
        ticks, joints = requests.shape[:2]
        fence = Fence(description, joints)
        requests = np.ascontiguousarray(requests, np.float64)
        start = np.ascontiguousarray(start, np.float64)
        orders = np.zeros(ticks, np.int32) if orders is None else np.ascontiguousarray(orders, np.int32)
        states, bits, to_leave = (
            np.empty((ticks, joints, 3)),
            np.empty(ticks, np.uint32),
            np.empty(ticks, np.int32),
        )
        rows = [(Limits * joints)(*[Limits(*row)] * joints) for row in (limits, emergency)]
        arrays = [ctypes.c_void_p(array.ctypes.data) for array in (orders, requests, start, states, bits)]
        self._library.follow(
            ctypes.c_void_p(fence.address),
            joints,
            *rows,
            ctypes.c_double(dt_s),
            ticks,
            *arrays,
            int(leaves),
            ctypes.c_void_p(to_leave.ctypes.data),
        )
        return Run(states[..., 0], states[..., 1], states[..., 2], bits, to_leave)


def restless(rng, ticks, joints, start, dt_s=DT_S):
    """Requests that jump, ramp and wave about, far past every wall; and orders that hold and stop now and then."""
    requests = np.zeros((ticks, joints, 3))
    orders = np.zeros(ticks, np.int32)
    at, tick = np.array(start), 0
    while tick < ticks:
        count = int(rng.integers(5, 150))
        span = slice(tick, min(ticks, tick + count))
        t_s = np.arange(span.stop - span.start)[:, None] * dt_s
        kind = rng.integers(4)
        speed = rng.normal(size=joints) * rng.choice([0.3, 1.5, 5.0])
        if kind == 0:
            requests[span, :, 0] = rng.uniform(-3, 3, joints)
        elif kind == 1:
            requests[span, :, 0], requests[span, :, 1] = at + speed * t_s, speed
        elif kind == 2:
            rate = rng.uniform(2, 25)
            requests[span, :, 0] = at + speed / rate * np.sin(rate * t_s)
            requests[span, :, 1] = speed * np.cos(rate * t_s)
            requests[span, :, 2] = -speed * rate * np.sin(rate * t_s)
        else:
            requests[span] = rng.choice([np.nan, np.inf, 1e300, 0.0])
        finite = requests[span.stop - 1, :, 0]
        at = np.where(np.abs(finite) < 3, finite, start)
        tick = span.stop
    tick = 0
    while tick < ticks:  # a stop lasts until the arm rests: it is armed anew from there
        tick += int(rng.integers(30, 400))
        kind, count = (HOLD, int(rng.integers(1, 40))) if rng.random() < 0.5 else (STOP, 60)
        if kind == STOP and rng.random() < 0.5:
            orders[tick - 10 : tick] = HOLD
        orders[tick : tick + count] = kind
        tick += count
    return requests, orders
