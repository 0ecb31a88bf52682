"""How one chunk meets the next: what each strategy gives, tells and executes, and when an answer is due."""

from dataclasses import replace

import numpy as np
import pytest
from test_policy_step import MS, NOW_NS, STEP_NS, observation

from spinal.runtime.config.execution import ExecutionSettings
from spinal.runtime.decode.flow import guidance_weights, mask_weights
from spinal.runtime.errors import PolicyError
from spinal.runtime.policy.strategy import (
    REST_STEPS,
    Ensembled,
    Guided,
    Latest,
    Prefix,
    Wait,
    make_strategy,
)
from spinal.runtime.types import Chunk

STEPS, JOINTS = 20, 2


def chunk(first_ns=NOW_NS + STEP_NS, actions=None, step_ns=STEP_NS):
    actions = np.linspace((0.0, 0.0), (1.0, 0.01), STEPS) if actions is None else actions
    return Chunk(first_ns - step_ns, first_ns - step_ns, first_ns, step_ns, actions, 0, "chunk")


def seen(ahead, end_steps=None):
    found = observation(np.asarray(ahead, np.float64).reshape(-1, JOINTS))
    if end_steps is None:
        return found
    path = type("Path", (), {"end_ns": NOW_NS + end_steps * STEP_NS})()
    return replace(found, under_way=path)


def test_latest_is_told_nothing():
    strategy = Latest()
    assert strategy.due(0)
    assert strategy.look_ahead(7) == strategy.given(7) == 0
    assert strategy.held(seen([[1, 2]]), 1, STEP_NS) is None
    one = chunk()
    assert strategy.executed(one, NOW_NS) is one


def test_a_prefix_is_as_long_as_the_delay_and_no_longer_than_was_trained():
    strategy = Prefix(8, STEPS)
    assert [strategy.given(n) for n in (0, 3, 8, 30)] == [0, 3, 8, 8]
    assert strategy.look_ahead(3) == 3
    assert strategy.held(seen([]), 3, STEP_NS) is None
    held = strategy.held(seen([[1, 2], [3, 4]]), 3, STEP_NS)
    assert (held.kind, held.frozen) == ("prefix", 2)
    assert held.weights.tolist() == [1.0, 1.0] + [0.0] * (STEPS - 2)
    assert held.targets.shape == (STEPS, JOINTS)
    assert held.targets[:2].tolist() == [[1, 2], [3, 4]]
    assert (held.targets[2:] == [3, 4]).all()


@pytest.mark.parametrize(("delay", "period", "end"), [(2, 1, 18), (5, 1, 15), (0, 3, 17), (2, 1, 9)])
def test_guidance_fades_where_the_chunk_under_way_ends(delay, period, end):
    ahead = np.arange(STEPS * JOINTS).reshape(STEPS, JOINTS)
    strategy = Guided("rtc", STEPS, period)
    assert strategy.look_ahead(delay) == STEPS
    held = strategy.held(seen(ahead, end_steps=9 if end == 9 else 40), delay, STEP_NS)
    assert held.frozen == delay
    assert (held.weights == guidance_weights(STEPS, delay, end)).all()
    assert held.weights[:delay] == pytest.approx(1)
    assert not held.weights[end:].any()
    assert (held.targets == ahead).all()


def test_a_velocity_mask_has_the_ramp_of_its_own():
    held = Guided("velocity_mask", STEPS, 1).held(seen(np.zeros((STEPS, JOINTS)), 40), 3, STEP_NS)
    assert (held.weights == mask_weights(STEPS, 3, STEPS - 3)).all()


def test_nothing_is_guided_towards_a_chunk_that_is_over():
    strategy = Guided("rtc", STEPS, 1)
    assert strategy.held(seen(np.zeros((STEPS, JOINTS))), 2, STEP_NS) is None
    assert strategy.held(seen(np.zeros((STEPS, JOINTS)), end_steps=0), 2, STEP_NS) is None


def test_an_ensemble_executes_the_mean_of_what_overlaps():
    strategy = Ensembled(0.0)
    first = strategy.executed(chunk(actions=np.zeros((STEPS, JOINTS))), NOW_NS)
    assert not first.actions.any()
    second = chunk(NOW_NS + 2 * STEP_NS, np.ones((STEPS, JOINTS)))
    mean = strategy.executed(second, NOW_NS).actions
    assert np.allclose(mean[: STEPS - 1], 0.5)
    assert np.allclose(mean[STEPS - 1], 1.0)
    strategy.restart()
    assert np.allclose(strategy.executed(second, NOW_NS).actions, 1.0)


def test_an_arm_that_waits_asks_when_it_is_done_and_begins_when_it_is_answered():
    strategy = Wait(10)
    assert strategy.due(NOW_NS)
    published_ns = NOW_NS + 80 * MS
    executed = strategy.executed(chunk(), published_ns)
    assert executed.first_ns == published_ns + STEP_NS
    assert (executed.actions[:10] == chunk().actions[:10]).all()
    assert len(executed.actions) == 10 + REST_STEPS
    assert (executed.actions[10:] == executed.actions[9]).all()
    assert not strategy.due(published_ns + 10 * STEP_NS - 1)
    assert strategy.due(published_ns + 10 * STEP_NS)


class Card:
    """As much of a card as a strategy asks."""

    def __init__(self, kind, most=0):
        from spinal.runtime.config.card.decoders import ChunkDecoder, EnsembleDecoder, FlowDecoder

        self.name = "policy"
        self.chunk = type("ChunkShape", (), {"steps": STEPS})()
        self.prefix = type("PrefixConditioning", (), {"max_steps": most})()
        self.decoder = {
            "chunk": ChunkDecoder(),
            "ensemble": EnsembleDecoder(kind="ensemble", coefficient=-0.5),
            "flow": FlowDecoder(kind="flow", steps=5, noise_at=0, x="x", time="t", velocity="v"),
        }[kind]


def made(card, name="auto"):
    settings = ExecutionSettings(strategy=name)
    execution = type("Execution", (), {"settings": settings, "period_ns": 2 * STEP_NS, "step_ns": STEP_NS})()
    return make_strategy(card, execution)


@pytest.mark.parametrize(
    ("card", "name"),
    [
        (Card("chunk"), "latest"),
        (Card("chunk", most=8), "prefix"),
        (Card("flow"), "rtc"),
        (Card("flow", most=4), "prefix"),
        (Card("ensemble"), "ensemble"),
    ],
)
def test_auto_is_the_best_that_the_card_allows(card, name):
    assert made(card).name == name


@pytest.mark.parametrize("name", ["rtc", "velocity_mask", "prefix"])
def test_what_a_policy_was_not_made_for_is_refused(name):
    with pytest.raises(PolicyError) as refused:
        made(Card("chunk"), name)
    assert "choose another [execution] strategy" in refused.value.hint
