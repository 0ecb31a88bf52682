"""What the tests of the reflexes share: a joint's usual thresholds, its ticks, and a servo that obeys."""

import math

import numpy as np
from hypothesis import strategies as st
from reflex_oracle import OFF, Tick

from spinal.native.layout import Condition
from spinal.native.limiter import Limiter
from spinal.native.reflex import Reflex

MS = 1_000_000
DT_NS = 4 * MS
EPOCH_NS = 10_000 * MS
ARM = (-2.0, 2.0, 4.7, 80.0, 4000.0)
COUNT_RAD = 2 * math.pi / 4096

LIMITS = OFF._replace(
    following_hold=0.25,
    following_stop=0.5,
    contact_hold=0.6,
    contact_stop=2.0,
    contact_drag=0.22,
    contact_inertia=0.013,
    temperature_hold=60.0,
    temperature_stop=66.0,
    voltage_hold=10.5,
    voltage_stop=9.5,
    lag_s=0.025,
    load_limit=1.0,
    frozen_travel=0.03,
    frozen_ns=60 * MS,
    following_ns=100 * MS,
    contact_ns=250 * MS,
    contact_long_ns=3000 * MS,
    device_bits=0x2E,
    device_ns=50 * MS,
    clear_ns=500 * MS,
)
NOTHING = Condition(0)


def said(limits, ticks):
    """The conditions of every tick."""
    reflex = Reflex(limits)
    return [
        reflex.tick(t.tick_ns, *t[1:5], fresh=t.fresh, health=t.health, energised=t.energised, error=t.error)
        for t in ticks
    ]


def at(k):
    return EPOCH_NS + k * DT_NS


def series(count, **values):
    """``count`` ticks; a value may be a function of the tick's number."""
    return [
        Tick(at(k), **{name: value(k) if callable(value) else value for name, value in values.items()})
        for k in range(count)
    ]


def spells(conditions, bit):
    """[first, behind the last) of every unbroken run of ``bit``."""
    flags = np.array([bool(c & bit) for c in conditions] + [False])
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags])))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def readings(*rows, every=50, behind=0):
    """Ticks over which one reading after the other stands: (voltage, temperature)."""
    return [
        Tick(
            at(k),
            load=0.001 * (k % 2),
            health=(at(k // every * every), *rows[min(k // every, len(rows) - 1)]),
        )
        for k in range(every * len(rows) + behind)
    ]


def servo_run(requests, limits=LIMITS, lag_s=0.025, blocked_from=None, payload=0.1):
    """A servo with ``lag_s`` that follows what a limiter makes of ``requests``; counts as an encoder gives them.

    Its load is what the motion takes, as reflex.h says. ``blocked_from``: it stands from that tick on and pushes.
    Returns the conditions and the loads.
    """
    joint, reflex = Limiter(ARM, 0.004), Reflex(limits)
    part = -math.expm1(-0.004 / lag_s)
    position = velocity = 0.0
    conditions, loads = [], []
    for k, request in enumerate(requests):
        command = joint.position
        blocked = blocked_from is not None and k >= blocked_from
        before, speed_before = position, velocity
        position += 0.0 if blocked else part * (command - position)
        velocity = (position - before) / 0.004
        acceleration = 0.0 if blocked else (velocity - speed_before) / 0.004
        load = payload + 0.22 * velocity + 0.013 * acceleration
        if blocked:
            load = payload + 85 * (command - position)
        loads.append(round(max(-1.0, min(1.0, load)), 3))
        conditions.append(
            reflex.tick(
                at(k),
                command,
                round(position / COUNT_RAD) * COUNT_RAD,
                round(velocity / COUNT_RAD) * COUNT_RAD,
                loads[-1],
            )
        )
        joint.step(request)
    return conditions, loads


# ---- any history, for hypothesis ----

COARSE = st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0, -0.5, -1.0])
WILD = st.sampled_from([math.nan, math.inf, -math.inf, 1e300, 1e9])
values = st.one_of(COARSE, COARSE, COARSE, st.floats(-2, 2), WILD)
thresholds = st.sampled_from([0.0, 0.1, 0.2, 0.5, 1.0, 1.5, 3.0, math.nan])
spans_ns = st.sampled_from([0, 1, 4 * MS, 8 * MS, 20 * MS])
some_limits = st.builds(
    lambda doubles, spans, temperature, voltage: OFF._replace(
        **dict(
            zip(("following_hold", "following_stop", "contact_hold", "contact_stop"), doubles, strict=True)
        ),
        **temperature,
        **voltage,
        **spans,
    ),
    st.tuples(thresholds, thresholds, thresholds, thresholds),
    st.fixed_dictionaries(
        {
            **dict.fromkeys(
                ("following_ns", "contact_ns", "contact_long_ns", "device_ns", "clear_ns", "frozen_ns"),
                spans_ns,
            ),
            "device_bits": st.sampled_from([0, 0x20, 0x2E]),
            "lag_s": st.sampled_from([0.0, 0.004, 0.05]),
            "frozen_travel": st.sampled_from([0.0, 0.05, 0.4]),
            "contact_drag": st.sampled_from([0.0, 0.2]),
            "contact_inertia": st.sampled_from([0.0, 0.01]),
            "load_limit": st.sampled_from([0.0, 0.5, 1.0]),
        }
    ),
    st.fixed_dictionaries(
        {"temperature_hold": st.sampled_from([0, 40, 60]), "temperature_stop": st.sampled_from([0, 41, 70])}
    ),
    st.fixed_dictionaries(
        {"voltage_hold": st.sampled_from([0, 6, 11]), "voltage_stop": st.sampled_from([0, 5])}
    ),
)
healths = st.none() | st.tuples(
    st.integers(0, 6).map(lambda k: k * 7 * MS),
    st.sampled_from([0.0, 4.0, 5.5, 6.1, 12.0, math.nan, math.inf]),
    st.sampled_from([0.0, 30.0, 38.0, 50.0, 65.0, 80.0, math.nan, -math.inf]),
)
some_ticks = st.lists(
    st.tuples(
        st.sampled_from([0, DT_NS, DT_NS, DT_NS, 3 * DT_NS]),
        COARSE,
        values,
        values,
        values,
        st.sampled_from([True, True, True, False]),
        healths,
        st.sampled_from([True] * 8 + [False]),
        st.sampled_from([0, 0, 1, 0x20, 0x04]),
    ),
    min_size=1,
    max_size=40,
)


def as_ticks(rows):
    now_ns, ticks = EPOCH_NS, []
    for step_ns, *rest in rows:
        now_ns += step_ns
        ticks.append(Tick(now_ns, *rest))
    return ticks
