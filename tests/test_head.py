"""Looped heads over real graphs: the same as their mathematics alone, guided each way, and what is refused."""

from itertools import pairwise

import numpy as np
import pytest
from decode_cards import card
from flow_models import CHANNELS, STEPS, diffusion_card, encoder, flow_card, velocity, write
from onnx import helper

from spinal.runtime.decode.ddim import Ddim
from spinal.runtime.decode.flow import Flow, guidance_weights, mask_weights
from spinal.runtime.decode.registry import make_decoder
from spinal.runtime.errors import PolicyError
from spinal.runtime.policy.encoded import EncodedSession
from spinal.runtime.policy.head import DirectHead, Guide, guides_of, make_head
from spinal.runtime.policy.session import Session

CPU = ["CPUExecutionProvider"]
Q = np.array([0.3, -0.7])
TARGET = np.random.default_rng(5).normal(size=(STEPS, CHANNELS))


def opened(made, q=Q):
    model, read = made
    engine = EncodedSession(model, read, read.encoder, CPU) if read.encoder else Session(model, read, CPU)
    engine.inputs["q"][...] = q
    return engine, read, make_head(read, engine)


def mathematics(decoder, vjp=False):
    """A flow over the same field without an engine."""
    x = np.zeros((1, STEPS, CHANNELS))
    time = np.zeros((1, STEPS) if decoder.time_per_position else (1,))

    def at():
        return time[0][:, None] if decoder.time_per_position else time[0]

    def model():
        tau = at() if decoder.noise_at == 0 else 1 - at()
        v = velocity(x[0], tau, Q, decoder)
        return (v if decoder.noise_at == 0 else -v)[None]

    back = (lambda error: (error * at() ** 2)[None]) if vjp else None
    return Flow(x, time, model, decoder.steps, decoder.noise_at, back)


KINDS = {
    "rtc": guidance_weights(STEPS, 4, 12),
    "velocity_mask": mask_weights(STEPS, 4, 12),
    "prefix": np.zeros(STEPS),
    "streaming": np.zeros(STEPS),
}


def guide(kind, **more):
    return Guide(TARGET, KINDS[kind], 4, kind, **more)


@pytest.mark.parametrize("vjp", [False, True])
@pytest.mark.parametrize("noise_at", [0, 1])
@pytest.mark.parametrize("kind", [None, *KINDS])
def test_an_answer_is_the_mathematics(tmp_path, kind, noise_at, vjp):
    per_position = kind in ("prefix", "streaming")
    prefix = {"prefix": {"max_steps": 8}} if per_position else {}
    made = flow_card(tmp_path, per_position, vjp, noise_at=noise_at, **prefix)
    _, read, head = opened(made)
    noise = np.random.default_rng(6).normal(size=(STEPS, CHANNELS))
    flow = mathematics(read.decoder, vjp)
    flow.state[...] = noise
    if kind is None:
        flow.free()
    elif kind == "rtc":
        flow.guided(TARGET, KINDS[kind], 5.0)
    elif kind == "prefix":
        flow.prefixed(TARGET, 4)
    elif kind == "velocity_mask":
        flow.masked(TARGET, KINDS[kind])
    else:
        [*flow.streamed(TARGET, 4)]
    answer = head.answer(None if kind is None else guide(kind), noise)
    decoded = make_decoder(read, tmp_path).decode(answer)
    np.testing.assert_allclose(decoded.actions, flow.state, atol=2e-5)
    if kind in ("prefix", "velocity_mask", "streaming"):
        np.testing.assert_allclose(decoded.actions[:4], TARGET[:4], atol=1e-12)


def test_guidance_agrees_with_what_is_known(tmp_path):
    """The more, the more it weighs, and with the graph's own Jacobian otherwise than without."""
    _, _, free = opened(flow_card(tmp_path))
    loose = np.abs(free.answer(None)["velocity"][0] - TARGET)[:4].max()
    answers = []
    for vjp in (False, True):
        (tmp_path / str(vjp)).mkdir()
        _, _, head = opened(flow_card(tmp_path / str(vjp), vjp=vjp))
        answers.append(head.answer(guide("rtc"))["velocity"][0].copy())
    assert np.abs(answers[0] - TARGET)[:4].max() < loose / 2
    assert np.abs(answers[0] - answers[1]).max() > 1e-3


def test_the_encoder_runs_once_an_observation(tmp_path):
    engine, _, head = opened(flow_card(tmp_path, steps=7))
    runs = {"encode": 0, "run": 0}
    for name in runs:

        def counted(name=name, call=getattr(engine, name)):
            runs[name] += 1
            call()

        setattr(engine, name, counted)
    head = make_head(flow_card(tmp_path, steps=7)[1], engine)
    head.answer(None)
    assert runs == {"encode": 1, "run": 7}
    before = head.answer(None, np.zeros((STEPS, CHANNELS)))["velocity"].copy()
    engine.inputs["q"][...] = Q + 1
    assert np.abs(head.answer(None, np.zeros((STEPS, CHANNELS)))["velocity"] - before).min() > 0.5
    assert runs == {"encode": 3, "run": 21}


def test_noise_depends_on_the_seed_alone(tmp_path):
    _, _, head = opened(flow_card(tmp_path, noise_scale=0.5))
    answers = []
    for seed in (3, 3, 4):
        head.restart(seed)
        answers.append([head.answer(None)["velocity"].copy() for _ in range(2)])
    np.testing.assert_array_equal(answers[0], answers[1])
    assert np.abs(answers[0][0] - answers[2][0]).max() > 0.01
    assert np.abs(answers[0][0] - answers[0][1]).max() > 0.01
    drawn = np.random.default_rng(3).normal(size=(STEPS, CHANNELS))  # as a graph's noise input is drawn
    np.testing.assert_array_equal(head.answer(None, drawn)["velocity"], answers[0][0])
    _, _, whole = opened(flow_card(tmp_path, noise_scale=1.0))
    np.testing.assert_array_equal(whole.answer(None, drawn / 2)["velocity"], answers[0][0])


def test_no_noise_begins_from_zeros(tmp_path):
    model, read = flow_card(tmp_path)
    quiet = read.model_copy(update={"noise": "zero"})
    _, _, head = opened((model, quiet))
    first = head.answer(None)["velocity"].copy()
    assert (first == first[:, :1]).all()
    np.testing.assert_array_equal(head.answer(None, np.zeros((STEPS, CHANNELS)))["velocity"], first)


def test_a_stream_gives_first_rows_before_the_last(tmp_path):
    engine, _, head = opened(flow_card(tmp_path, per_position=True, steps=10))
    runs, step = [], engine.run
    engine.run = lambda: (runs.append(1), step())
    partials, shares = [], []
    for partial in head.stream(guide("streaming")):
        shares.append(partial.done)
        partials.append((len(runs), partial.ready, partial.answer["velocity"][0, : partial.ready].copy()))
    assert partials[0][0] == 1
    assert partials[0][1] > 4
    assert partials[-1][:2] == (10, STEPS)
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.1, 1.0)
    for (_, ready, rows), (_, _, later) in pairwise(partials):
        np.testing.assert_array_equal(later[:ready], rows)
    np.testing.assert_array_equal(head.answer(guide("streaming"), TARGET)["velocity"][0, :4], TARGET[:4])
    whole = [*head.stream(None)]
    assert [partial.ready for partial in whole] == [STEPS]


def test_a_stream_that_is_left_does_not_hurt_the_next(tmp_path):
    _, _, head = opened(flow_card(tmp_path, per_position=True, steps=10))
    head.restart(1)
    next(head.stream(guide("streaming")))
    second = head.answer(guide("streaming"))["velocity"].copy()
    head.restart(1)
    head.answer(guide("streaming"))
    np.testing.assert_array_equal(head.answer(guide("streaming"))["velocity"], second)


def test_diffusion_is_its_mathematics(tmp_path):
    _, read, head = opened(diffusion_card(tmp_path, prediction="sample", clip=None))
    noise = np.random.default_rng(7).normal(size=(STEPS, CHANNELS))
    x, time = np.zeros((1, STEPS, CHANNELS)), np.zeros(1)
    ddim = Ddim(x, time, lambda: Q + 1 + 0.1 * x, 8, 100, "sample", None)
    ddim.state[...] = noise
    ddim.run()
    answer = head.answer(None, noise)
    np.testing.assert_allclose(make_decoder(read, tmp_path).decode(answer).actions, ddim.state, atol=1e-5)
    head.restart(2)
    first = head.answer(None)["output"].copy()
    head.restart(2)
    (only,) = head.stream(None)
    assert only.ready == STEPS
    np.testing.assert_array_equal(only.answer["output"], first)


# --- what is refused


def test_guides_that_a_policy_does_not_take(tmp_path):
    for name in "abc":
        (tmp_path / name).mkdir()
    scalar = flow_card(tmp_path / "a")
    assert guides_of(scalar[1]) == {"rtc", "velocity_mask"}
    positions = flow_card(tmp_path / "b", per_position=True)
    assert guides_of(positions[1]) == {"rtc", "velocity_mask", "streaming"}
    trained = flow_card(tmp_path / "b", per_position=True, prefix={"max_steps": 5})[1]
    assert guides_of(trained) == {"rtc", "velocity_mask", "streaming", "prefix"}
    for made, kinds in ((scalar, ("prefix", "streaming")), (positions, ("prefix",))):
        _, _, head = opened(made)
        for kind in kinds:
            with pytest.raises(PolicyError, match=f"no guide of the kind {kind}") as caught:
                head.answer(guide(kind))
            assert "rtc" in caught.value.hint
    diffusion = diffusion_card(tmp_path / "c")
    assert guides_of(diffusion[1]) == frozenset()
    with pytest.raises(PolicyError, match="no guide of the kind rtc"):
        opened(diffusion)[2].answer(guide("rtc"))
    with pytest.raises(PolicyError, match="answers at once takes no guide"):
        DirectHead(None).answer(guide("rtc"))


def test_guides_that_are_none(tmp_path):
    _, _, head = opened(flow_card(tmp_path))
    wrong = [
        Guide(TARGET[:-1], KINDS["rtc"], 4),
        Guide(TARGET, KINDS["rtc"][:-1], 4),
        Guide(TARGET, KINDS["rtc"], STEPS + 1),
        Guide(np.full_like(TARGET, np.nan), KINDS["rtc"], 4),
    ]
    for one in wrong:
        with pytest.raises(ValueError, match="a guide"):
            head.answer(one)


def test_a_model_that_is_no_step(tmp_path):
    model, read = flow_card(tmp_path, encoded=False)
    engine = Session(model, read, CPU)
    decoder = read.decoder.model_copy(update={"time_per_position": True, "x": "chunk"})
    with pytest.raises(
        PolicyError, match=r"not one step of its flow: chunk: missing.*time: \[1\], not \[1, 20\]"
    ):
        make_head(read.model_copy(update={"decoder": decoder}), engine)


def test_an_engine_without_an_encoder(tmp_path):
    model, read = flow_card(tmp_path, encoded=False)
    (tmp_path / "encoded").mkdir()
    with pytest.raises(PolicyError, match="has an encoder, and its engine runs a single graph"):
        make_head(flow_card(tmp_path / "encoded")[1], Session(model, read, CPU))


def test_an_encoder_of_another_make(tmp_path):
    model, read = flow_card(tmp_path)
    good = read.encoder
    with pytest.raises(PolicyError, match=r"the SHA-256 of encoder\.onnx is"):
        EncodedSession(model, read, good.model_copy(update={"sha256": "0" * 64}), CPU)
    with pytest.raises(PolicyError, match=r"absent\.onnx"):
        EncodedSession(model, read, good.model_copy(update={"file": "absent.onnx"}), CPU)
    other = good.model_copy(update={"sha256": encoder(tmp_path, ("aim",))})
    with pytest.raises(PolicyError, match=r"do not fit: nothing fills goal"):
        EncodedSession(model, read, other, CPU)
    node = helper.make_node("Concat", ["q", "q"], ["goal"], axis=1)
    digest = write(tmp_path, "encoder.onnx", [node], {"q": (1, CHANNELS)}, {"goal": (1, 2 * CHANNELS)})
    with pytest.raises(PolicyError, match=r"goal is float32 \[1, 4\] from the one and float32 \[1, 2\]"):
        EncodedSession(model, read, good.model_copy(update={"sha256": digest}), CPU)


def test_what_both_graphs_take_is_filled_once(tmp_path):
    """The step reads q as well as the encoder's goal."""
    nodes = [
        helper.make_node("Add", ["goal", "q"], ["both"]),
        helper.make_node("Unsqueeze", ["both", "axis_1"], ["end"]),
        helper.make_node("Unsqueeze", ["time", "axes"], ["at"]),
        helper.make_node("Add", ["x", "at"], ["sum"]),
        helper.make_node("Sub", ["end", "sum"], ["velocity"]),
    ]
    chunk = (1, STEPS, CHANNELS)
    inputs = {"goal": (1, CHANNELS), "q": (1, CHANNELS), "x": chunk, "time": (1,)}
    constants = [("axis_1", 7, [1]), ("axes", 7, [1, 2])]
    write(tmp_path, "both.onnx", nodes, inputs, {"velocity": chunk}, constants)
    decoder = {"kind": "flow", "steps": 1, "noise_at": 0, "x": "x", "time": "time", "velocity": "velocity"}
    decoder["encoder"] = {"file": "encoder.onnx", "sha256": encoder(tmp_path)}
    made = card(decoder, output={"name": "velocity", "shape": list(chunk)})
    _, _, head = opened((tmp_path / "both.onnx", made))
    np.testing.assert_allclose(head.answer(None)["velocity"][0], np.tile(2 * Q + 1, (STEPS, 1)), atol=1e-6)
