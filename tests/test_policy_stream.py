"""An answer that is executed while it is made: its first rows early, what was under way behind them."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from flow_models import CHANNELS, STEPS, flow_card
from test_policy_step import MS, NOW_NS, STEP_NS, observation

from spinal.runtime.config.execution import ExecutionSettings
from spinal.runtime.errors import PolicyError
from spinal.runtime.policy.delay import COLD_RUNS, DelayMeter
from spinal.runtime.policy.encoded import EncodedSession
from spinal.runtime.policy.execution import Execution
from spinal.runtime.policy.step import PolicyStep
from spinal.runtime.trajectory import make_interpolation

CPU = ["CPUExecutionProvider"]
AHEAD = np.linspace((5.0, 6.0), (7.0, 8.0), STEPS)
FROZEN = 3


def step_of(tmp_path, per_position=True, strategy="streaming"):
    model, card = flow_card(tmp_path, per_position)
    limits = np.array([[4.0, 80.0, 4000.0]] * CHANNELS)
    execution = Execution(
        step_ns=STEP_NS,
        blend_min_ns=20 * MS,
        blend_max_ns=160 * MS,
        blend_share=0.5,
        period_ns=STEP_NS,
        late_periods=3,
        grippers=(False,) * CHANNELS,
        interpolation=make_interpolation("smooth", 0.02, 200.0, limits),
        settings=ExecutionSettings(strategy=strategy),
    )
    return PolicyStep(card, EncodedSession(model, card, card.encoder, CPU), execution, 0, tmp_path)


def seen():
    return replace(observation(AHEAD), under_way=SimpleNamespace(end_ns=NOW_NS + STEPS * STEP_NS))


def answered(tmp_path):
    made = step_of(tmp_path)
    assert len(made.ahead_ns(FROZEN * STEP_NS)) == STEPS
    parts = []
    return made.infer(seen(), lambda chunk, done: parts.append((chunk, done))), parts


def test_early_rows_are_final_and_the_chunk_under_way_goes_on_behind_them(tmp_path):
    whole, parts = answered(tmp_path)
    assert len(parts) >= 2
    ready = []
    for chunk, _ in parts:
        own = np.flatnonzero((chunk.actions != AHEAD).any(axis=1) | (np.arange(STEPS) < FROZEN))
        rows = own[-1] + 1
        assert (chunk.actions[:rows] == whole.actions[:rows]).all()
        assert (chunk.actions[rows:] == AHEAD[rows:]).all()
        ready.append(rows)
    assert ready == sorted(set(ready))
    assert FROZEN < ready[0] < STEPS
    assert (whole.actions[:FROZEN] == AHEAD[:FROZEN]).all()
    assert whole.given == FROZEN


def test_each_part_is_newer_than_the_one_before_and_all_are_of_one_observation(tmp_path):
    whole, parts = answered(tmp_path)
    stamps = [chunk.observation_stamp_ns for chunk, _ in parts] + [whole.observation_stamp_ns]
    assert stamps == sorted(set(stamps))
    assert stamps[0] >= NOW_NS - 1000
    assert stamps[-1] == NOW_NS
    assert {chunk.first_ns for chunk, _ in parts} == {whole.first_ns}
    shares = [done for _, done in parts]
    assert shares == sorted(set(shares))
    assert 0 < shares[0] <= 0.4


def test_without_anything_under_way_the_answer_comes_whole(tmp_path):
    made = step_of(tmp_path)
    made.ahead_ns(FROZEN * STEP_NS)
    assert made.infer(observation(AHEAD), pytest.fail).given == FROZEN


def test_who_cannot_use_parts_is_given_the_whole(tmp_path):
    made = step_of(tmp_path)
    made.ahead_ns(FROZEN * STEP_NS)
    assert (made.infer(seen()).actions == answered(tmp_path)[0].actions).all()


def test_a_policy_with_one_time_for_all_positions_is_refused(tmp_path):
    with pytest.raises(PolicyError, match="one time for all of a chunk"):
        step_of(tmp_path, per_position=False)


def test_the_delay_is_that_of_the_first_part():
    meter = DelayMeter(90 * MS)
    for run in range(COLD_RUNS + 20):
        stamp_ns = NOW_NS + run * STEP_NS
        meter.saw(stamp_ns, stamp_ns + 10 * MS)
        meter.saw(stamp_ns, stamp_ns + 50 * MS)
        meter.saw(stamp_ns - 997, stamp_ns + 30 * MS)
    assert meter.delay_ns == 10 * MS
