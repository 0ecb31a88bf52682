"""From a planner's message to what it changes, on the live robot in simulation with all of its processes.

A planner pauses the robot and lets it go on, each at a random instant: client, ZeroMQ, gate, order, tick. By turns
with it, a bare ROUTER in a process of its own echoes the same bytes over the same kind of socket, with msgpack at
both ends (``bench/link/bare_echo.py``).

    ack        from the client's send to the robot's answer; floor: the bare echo
    order      from the send until the order lies in the loop's mailbox
    in force   from the send to the first written frame of a tick that obeys; floor: the first frame that could
               have obeyed, had the order been there at the instant of sending: the wait for the tick, and the bus
    own        in force less its floor, message by message, then the mean: one that comes too late for its tick
               costs a whole tick, so single ones say little, and their mean is the link's latency
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from spinal.bench import judge
from spinal.bench.bench import Bench
from spinal.bench.buckets import counts_of, distribution_us
from spinal.bench.bus.cycles import Stamps
from spinal.bench.disturbance import Watch, reason
from spinal.bench.link.conversation import Message, Sent, converse
from spinal.bench.link.echo_client import bare_echo
from spinal.bench.live.supervised_robot import absence, supervised_robot
from spinal.bench.result import Metric, Stage, SuiteResult, Waterfall
from spinal.bench.statistics import RESAMPLES
from spinal.runtime.errors import LinkError

OWN_LIMIT_US = 1000.0
"""Half of what the runtime may add to a policy's reaction: a person's pause must not be slower."""
KINDS = ("pause", "go_on")
STAGES = ("link", "wait for the tick", "bus read", "obey", "bus write")


def measure(bench: Bench) -> SuiteResult:
    """Raises LinkError, PolicyError, ProcessError and what the robot's start raises."""
    why = absence()
    if why:
        return SuiteResult(metrics=[judge.missing("ack_us.p50", "us", why)], notes=[why])
    seconds = bench.seconds(9.0, 40.0)
    bench.say(f"link: {seconds:.0f} s of messages to the live robot")
    with supervised_robot(bench.say, planner=False) as live, bare_echo() as echo, Watch() as watch:
        sent = converse(live, echo, seconds)
    return summary(sent, reason(watch.seen, loaded=False))


def summary(sent: Sent, disturbed: str) -> SuiteResult:
    """The figures. Raises LinkError when there is nothing to sum up."""
    messages = sent.messages
    if not messages:
        raise LinkError("no message had an effect", hint="try by hand: spinal demo, and spinal plan pause")
    ack, order, echo = (
        np.array([getattr(message, name) for message in messages], np.int64)
        for name in ("ack_ns", "order_ns", "echo_ns")
    )
    metrics = [*_beside("ack_us", ack, echo)]
    metrics.append(
        judge.timed(
            "order_us.p50",
            "us",
            float(np.median(order)) / 1e3,
            OWN_LIMIT_US,
            n=len(order),
            disturbed=disturbed,
            why="from the send until the order lies in the loop's mailbox",
        )
    )
    metrics.append(judge.exact("order_us.p99", "us", float(np.quantile(order, 0.99)) / 1e3, n=len(order)))
    shown = [distribution_us("link round trip", counts_of(ack), counts_of(echo))]
    for kind in KINDS:
        chosen = [message for message in messages if message.kind == kind]
        if not chosen:
            metrics.append(judge.missing(f"{kind}_ms.p50", "ms", "no such message had an effect"))
            continue
        took, floor = (
            np.array([getattr(message, name) for message in chosen], np.int64)
            for name in ("in_force_ns", "floor_ns")
        )
        metrics += [*_beside(f"{kind}_ms", took, floor), own(f"{kind}_own_ms", took - floor, disturbed)]
        shown.append(distribution_us(f"{kind} in force", counts_of(took), counts_of(floor)))
    tried = len(messages) + sent.refused + sent.lost
    metrics.append(judge.timed("lost", "", float(sent.lost), 0.0, n=tried, disturbed=disturbed))
    metrics.append(judge.exact("refused", "", float(sent.refused), 0.0, n=tried))
    return SuiteResult(metrics=metrics, distributions=shown, waterfalls=[waterfall(messages)])


def waterfall(messages: Sequence[Message]) -> Waterfall:
    """Medians of each stage of a message, one behind the other."""
    stages = np.array([_stages(message) for message in messages])
    shown, at_us = [], 0.0
    for name, took_us in zip(STAGES, np.median(stages, axis=0) / 1e3, strict=True):
        shown.append(Stage(name=name, begin_us=at_us, end_us=at_us + float(took_us)))
        at_us += float(took_us)
    return Waterfall(name="one message from planner to motor, medians", stages=shown)


def _stages(message: Message) -> tuple[int, ...]:
    """How long each of STAGES took; what overlaps the one before counts from that one's end."""
    tick = message.obeyed
    ends = (message.ordered_ns, tick.woke_ns, tick.read_ns, tick.computed_ns, tick.written_ns)
    took, at_ns = [], message.sent_ns
    for end_ns in ends:
        took.append(max(0, end_ns - at_ns))
        at_ns = max(at_ns, end_ns)
    return tuple(took)


def own(name: str, late_ns: Stamps, disturbed: str, seed: int = 0) -> Metric:
    """The mean of ``late_ns`` [n >= 1], with the 95 % interval of a bootstrap."""
    chosen = np.random.default_rng(seed).integers(len(late_ns), size=(RESAMPLES, len(late_ns)))
    low, high = (float(np.quantile(late_ns[chosen].mean(axis=1), at)) / 1e6 for at in (0.025, 0.975))
    mean, limit = float(late_ns.mean()) / 1e6, OWN_LIMIT_US / 1e3
    n = len(late_ns)
    return judge.timed(name, "ms", mean, limit, low=low, high=high, n=n, disturbed=disturbed)


def _beside(name: str, took_ns: Stamps, floor_ns: Stamps) -> Iterator[Metric]:
    """Quantiles beside those of the floor; the unit is that of the name."""
    unit, scale = ("us", 1e-3) if name.endswith("_us") else ("ms", 1e-6)
    for word, fraction in (("p50", 0.5), ("p99", 0.99)):
        value, floor = (float(np.quantile(values, fraction)) * scale for values in (took_ns, floor_ns))
        yield judge.exact(f"{name}.{word}", unit, value, floor=floor, n=len(took_ns))
