"""The policy suite: how its two sides take turns, what its figures say of planted differences, and its models."""

import hashlib
from argparse import Namespace
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from spinal.bench.bench import Bench
from spinal.bench.policy import models
from spinal.bench.policy import process as policy_process
from spinal.bench.policy.played import PlayedRobot
from spinal.bench.policy.process import Done, Job, cut, pace
from spinal.bench.policy.sides import Column, Pair
from spinal.bench.result import Disturbance, Verdict
from spinal.bench.suites import policy
from spinal.native import layout
from spinal.runtime.config import load_robot
from spinal.runtime.config.card import load_card

MS = 1_000_000
PERIOD_NS = 20 * MS
CALM = Disturbance(steal=0.0, pressure=0.0)
needs_onnx = pytest.mark.skipif(find_spec("onnx") is None, reason="the onnx package is not here")


class FakeClock:
    """Time moves when somebody sleeps, and by what a call takes."""

    def __init__(self):
        self.at_ns = 1_000 * MS

    def now_ns(self):
        return self.at_ns

    def sleep_until_ns(self, deadline_ns):
        self.at_ns = max(self.at_ns, deadline_ns)


class FakeSide:
    def __init__(self, clock, log, name, stall_ns=0):
        self.clock, self.log, self.name, self.stall_ns = clock, log, name, stall_ns

    def call(self, row):
        self.log.append((self.name, self.clock.at_ns))
        row[:] = self.clock.at_ns
        self.clock.at_ns += self.stall_ns or MS
        self.stall_ns = 0


@pytest.fixture
def clock(monkeypatch):
    made = FakeClock()
    monkeypatch.setattr(policy_process, "clock", made)
    return made


def paced(clock, slices=4, calls=3, stall_ns=0, renewed=None):
    log = []
    sides = FakeSide(clock, log, "ours", stall_ns), FakeSide(clock, log, "bare")

    def renew(bare_first):
        log.append(("renew", clock.at_ns))
        if renewed is not None:
            renewed.append(bare_first)
        return sides

    stamps, skipped = pace(renew, lambda now_ns: None, PERIOD_NS, slices, calls)
    slices_of = []
    for name, at in log:
        if name == "renew":
            slices_of.append([])
        else:
            slices_of[-1].append((name, at))
    return stamps, skipped, slices_of


def test_each_side_is_called_once_a_period_half_a_period_behind_the_other(clock):
    _, skipped, slices = paced(clock)
    assert skipped == 0
    for calls in slices:
        assert all(after - before == PERIOD_NS // 2 for (_, before), (_, after) in pairwise(calls))
        assert all(one != other for (one, _), (other, _) in pairwise(calls))


def test_neither_side_is_always_first_or_always_made_first(clock):
    renewed = []
    _, _, slices = paced(clock, slices=8, renewed=renewed)
    first = [calls[0][0] for calls in slices]
    assert first.count("ours") == first.count("bare") == 4
    assert sum(renewed) == 4
    for name in ("ours", "bare"):  # not both from the same draw: each combination comes as often
        assert sum(bare_first for bare_first, one in zip(renewed, first, strict=True) if one == name) == 2


def test_the_first_calls_of_a_slice_do_not_count(clock):
    stamps, _, slices = paced(clock, slices=2, calls=3)
    assert stamps.shape == (2, 2, 3, len(Column))
    for part, calls in enumerate(slices):
        ours = [at for name, at in calls if name == "ours"]
        assert stamps[part, 0, :, 0].tolist() == ours[policy_process.UNCOUNTED :]


def test_a_late_call_keeps_its_phase_and_skips_whole_slots(clock):
    _, skipped, slices = paced(clock, slices=1, calls=4, stall_ns=3 * PERIOD_NS)
    assert skipped == 2  # half a period belongs to the other side, half a one is made up for
    first, after, *_ = (at for _, at in slices[0])
    assert after == first + 3 * PERIOD_NS
    assert all((at - first) % (PERIOD_NS // 2) == 0 for _, at in slices[0][3:])


@pytest.mark.parametrize(("seconds", "hz"), [(0.1, 50), (6, 50), (30, 25), (3600, 50)])
def test_a_run_is_cut_into_slices_that_may_be_judged(seconds, hz):
    slices, calls = cut(seconds, hz)
    assert slices >= 24
    assert 1 <= calls <= policy_process.CALLS
    if seconds >= 6:
        assert calls >= policy.FEWEST_CALLS
        assert slices * (calls + policy_process.UNCOUNTED) / hz <= seconds * 1.01


# --- figures


OBSERVE_US, FILL_US, DECODE_US = 200, 100, 40


def stamps(ours_us, bare_us, slices=24, calls=10, own_us=0.0):
    """Calls whose inference takes so long, ``FILL_US`` and ``DECODE_US`` of it around the run, noise alike on both.

    An observation comes before it; a publication of ``own_us`` behind it is ours alone.
    """
    rng = np.random.default_rng(0)
    noise = rng.uniform(0.99, 1.01, (slices, calls))
    made = np.zeros((slices, 2, calls, len(Column)), np.int64)
    for side, us in enumerate((ours_us, bare_us)):
        observed = 1_000 * MS + OBSERVE_US * 1000
        answered = observed + np.round(us * noise * 1000).astype(np.int64)
        made[:, side] = 1_000 * MS
        made[:, side, :, Column.OBSERVED] = observed
        made[:, side, :, Column.FILLED] = observed + FILL_US * 1000
        made[:, side, :, Column.RAN :] = answered[..., None]
        made[:, side, :, Column.RAN] -= DECODE_US * 1000
        made[:, side, :, Column.PUBLISHED] += round(own_us * 1000) * (side == 0)
    return made


def measured(ours_us, bare_us, disturbance=CALM, **shape):
    found = stamps(ours_us, bare_us, **shape)
    warm = found[0]
    return policy.Measured(found, warm, Done(["CPUExecutionProvider"], None, 0, 0, 0, disturbance))


def judged(*given, **named):
    return {metric.name: metric for metric in policy.judge("m", measured(*given, **named))}


@pytest.mark.parametrize(
    ("bare_us", "limit"), [(100, 1.5), (500, 1.1), (1000, 1.05), (20_000, 1.05), (0, 1.05)]
)
def test_an_inference_may_take_a_twentieth_more_or_fifty_microseconds(bare_us, limit):
    assert policy.overhead_limit(bare_us) == pytest.approx(limit)


@pytest.mark.parametrize(
    ("ours_us", "bare_us", "verdict"),
    [
        (2000, 2000, Verdict.PASS),
        (2090, 2000, Verdict.PASS),
        (2120, 2000, Verdict.FAIL),
        (240, 200, Verdict.PASS),
        (260, 200, Verdict.FAIL),
    ],
)
def test_a_planted_overhead_is_seen_from_its_limit_on(ours_us, bare_us, verdict):
    metric = judged(ours_us, bare_us)["m.inference_us.p50"]
    assert metric.verdict is verdict
    assert metric.ratio == pytest.approx(ours_us / bare_us, rel=0.001)
    assert metric.value == pytest.approx(ours_us, rel=0.01)
    assert metric.floor == pytest.approx(bare_us, rel=0.01)
    run = judged(ours_us, bare_us)["m.run_us.p50"]
    assert run.value == pytest.approx(ours_us - FILL_US - DECODE_US, abs=0.005 * ours_us)


def test_a_disturbed_machine_and_too_few_slices_tell_nothing():
    noisy = Disturbance(steal=0.5, pressure=0.0)
    assert judged(2000, 2000, disturbance=noisy)["m.inference_us.p50"].verdict is Verdict.INCONCLUSIVE
    assert judged(2000, 2000, slices=19)["m.inference_us.p50"].verdict is Verdict.INCONCLUSIVE


def test_calls_that_saw_nothing_count_as_skipped_and_not_as_fast():
    found = measured(2000, 2000)
    found.paced[3:5, 0] = 0
    metrics = {metric.name: metric for metric in policy.judge("m", found)}
    assert metrics["m.skipped"].value == 20
    assert metrics["m.inference_us.p50"].value == pytest.approx(2000, rel=0.01)
    assert policy.ratio(found.paced, Column.OBSERVED, Column.ANSWERED).slices == 22


def test_nothing_at_all_is_inconclusive_and_not_a_crash():
    found = measured(2000, 2000)
    found.paced[...] = 0
    assert policy.judge("m", found)[0].verdict is Verdict.INCONCLUSIVE
    assert {metric.value for metric in policy.shares("m", found.paced)} == {None}


def test_the_share_of_the_runtime_is_the_step_without_its_bare_inference():
    metrics = {metric.name: metric for metric in policy.shares("m", stamps(2000, 1900, own_us=300))}
    assert metrics["m.own_us.p50"].value == pytest.approx(OBSERVE_US + 400, rel=0.01)
    assert metrics["m.stage.observe_us.p50"].value == pytest.approx(OBSERVE_US)
    assert metrics["m.stage.fill_us.p50"].value == pytest.approx(FILL_US)
    assert metrics["m.stage.publish_us.p50"].value == pytest.approx(300, rel=0.001)
    whole = policy.waterfall(stamps(2000, 1900, own_us=300)).stages
    assert whole[0].begin_us == 0
    assert all(before.end_us == after.begin_us for before, after in pairwise(whole))
    assert whole[-1].end_us == pytest.approx(OBSERVE_US + 2300, rel=0.01)


def test_a_distribution_keeps_every_call():
    found = policy.distribution("m", stamps(2000, 1000))
    assert sum(found.counts) == sum(found.floor_counts) == 240
    assert len(found.edges) == len(found.counts) == len(found.floor_counts)
    middle = found.edges[int(np.argmax(np.cumsum(found.floor_counts) >= 120))]
    assert middle == pytest.approx(1000, rel=0.05)


# --- what is not there


def test_without_onnx_the_made_models_are_absent_and_the_shipped_one_is_measured(monkeypatch):
    monkeypatch.setattr(policy, "find_spec", lambda name: None)
    monkeypatch.setattr(policy, "_run", lambda *given: measured(2000, 2000))
    found = policy.measure(Bench(quick=True, options=Namespace(), say=lambda line: None))
    absent = [metric for metric in found.metrics if metric.verdict is Verdict.ABSENT]
    assert [metric.name for metric in absent] == ["state57.inference_us.p50"]
    assert "onnx" in absent[0].why
    assert any(metric.name == "shipped.inference_us.p50" for metric in found.metrics)


def test_without_a_gpu_a_full_run_says_so(monkeypatch):
    def run(bench, subject, provider, among):
        if provider == policy.CUDA:
            raise policy.RefusedError("was to run on CUDA and would run on CPU", hint="")
        return measured(2000, 2000)

    monkeypatch.setattr(policy, "_run", run)
    found = policy.measure(Bench(options=Namespace(), say=lambda line: None))
    (absent,) = [metric for metric in found.metrics if metric.name.startswith("gpu.")]
    assert absent.verdict is Verdict.ABSENT
    assert "was to run on CUDA" in absent.why


# --- real sessions


@needs_onnx
def test_a_made_model_is_the_same_every_time_and_costs_what_it_says(tmp_path):
    import onnx

    (tmp_path / "again").mkdir()
    made, again = models.write("state57", tmp_path), models.write("state57", tmp_path / "again")
    digests = [hashlib.sha256(one.path.read_bytes()).hexdigest() for one in (made, again)]
    assert digests[0] == digests[1]
    assert made.macs == 171 * 512 + 512 * 512 + 512 * 1140
    floats = [
        one for one in onnx.load(made.path).graph.initializer if one.data_type == onnx.TensorProto.FLOAT
    ]
    assert made.parameters == sum(int(np.prod(one.dims)) for one in floats)


@needs_onnx
def test_attention_is_the_one_of_the_papers(tmp_path):
    rows, memory_rows, width, heads = 3, 5, 8, 2
    card = models.make_card("tiny", width, 4, ("joint_position",))
    graph = models.Graph()
    x, memory = graph.weights(rows, width, fan_in=1), graph.weights(memory_rows, width, fan_in=1)
    attended = graph.attention(x, rows, memory, memory_rows, width, heads)
    padded = graph.node("Concat", [attended, "joint_position"], axis=0)
    graph.reshape(padded, 1, 4, width, output="chunk")
    made = graph.save(tmp_path / "tiny.onnx", card)
    session = ort.InferenceSession(str(made.path), providers=["CPUExecutionProvider"])
    (answer,) = session.run(None, {"joint_position": np.zeros((1, width), np.float32)})

    rng = np.random.default_rng(models.SEED)

    def draw(*shape, fan_in):
        return rng.standard_normal(shape, np.float32).astype(float) * np.sqrt(2 / fan_in)

    given, seen = draw(rows, width, fan_in=1), draw(memory_rows, width, fan_in=1)

    def dense(values):
        matrix = draw(width, width, fan_in=width)
        return values @ matrix + rng.standard_normal(width, np.float32).astype(float) * 0.02

    query, key, value = dense(given), dense(seen), dense(seen)
    parts = []
    for head in np.split(np.arange(width), heads):
        scores = query[:, head] @ key[:, head].T / np.sqrt(width // heads)
        shares = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        parts.append(shares @ value[:, head])
    expected = dense(np.concatenate(parts, axis=1))
    np.testing.assert_allclose(answer[0, :rows], expected, rtol=1e-4, atol=1e-5)
    assert made.macs == (2 * rows + 2 * memory_rows) * width * width + 2 * rows * memory_rows * width


@needs_onnx
@pytest.mark.parametrize("name", ["state57", "camera"])
def test_both_sides_of_a_made_model_answer(name, tmp_path):
    made = models.write(name, tmp_path)
    pair = Pair(made.path, made.card, ["CPUExecutionProvider"], None)
    for side in pair.renew(bare_first=True):
        row = np.zeros(len(Column), np.int64)
        side.call(row)
        assert (row > 0).all()
        assert (np.diff(row) >= 0).all()
    pair.close()


def test_the_whole_step_observes_answers_and_publishes_what_comes_into_force():
    robot = load_robot(policy.robot_file())
    pair = Pair(Path(robot.policy.model), load_card(robot.policy.model), ["CPUExecutionProvider"], robot)
    onlooker = pair._played.observer()
    try:
        ours, bare = pair.renew(bare_first=False)
        for step in range(3):
            for side in (ours, bare):
                row = np.zeros(len(Column), np.int64)
                pair.play(policy_process.clock.now_ns())
                side.call(row)
                assert (row > 0).all()
                assert (np.diff(row) >= 0).all()
                onlooker.observe(policy_process.clock.now_ns())
                published = step if side is ours else step + 1  # bare publishes nothing
                assert onlooker.newest.trajectory_id == published
        assert pair.providers == ["CPUExecutionProvider"]
    finally:
        pair.close()


def test_the_played_robot_is_seen_as_a_running_one_and_grows_old():
    robot = load_robot(policy.robot_file())
    played = PlayedRobot(robot)
    observer = played.observer()
    try:
        for slot in range(5):
            played.play((1_000 + 10 * slot) * MS)
        observation = observer.observe(1_040 * MS)
        assert observation is not None, observer.missing
        assert observation.streams["block"].position_m[2] == pytest.approx(0.02, abs=1e-3)
        assert observer.newest.mode == layout.MODE_RUNNING
        assert observer.observe(2_000 * MS) is None
    finally:
        played.close()


def test_a_child_measures_and_leaves_its_stamps(tmp_path):
    job = Job("", str(policy.robot_file()), "CPUExecutionProvider", 200, 0.1, str(tmp_path), 0)
    done = policy._child(job)
    assert done.providers == ["CPUExecutionProvider"]
    with np.load(tmp_path / "stamps.npz") as found:
        assert found["paced"].shape == (24, 2, 1, len(Column))
        assert found["warm"].shape == (2, policy_process.WARM_CALLS, len(Column))
        assert (found["warm"][..., Column.PUBLISHED] > 0).all()


def test_a_child_that_will_not_measure_says_why_in_one_line(tmp_path):
    job = Job("", str(tmp_path / "none.toml"), "CPUExecutionProvider", 50, 0.1, str(tmp_path), 0)
    with pytest.raises(policy.RefusedError) as raised:
        policy._child(job)
    assert "\n" not in raised.value.message
    assert raised.value.message


@pytest.mark.skipif(Path("/proc/driver/nvidia").exists(), reason="this machine has a GPU")
def test_a_provider_that_is_not_there_is_refused_and_not_replaced(tmp_path):
    job = Job("", str(policy.robot_file()), "CUDAExecutionProvider", 200, 0.1, str(tmp_path), 0)
    with pytest.raises(policy.RefusedError, match="CUDAExecutionProvider"):
        policy._child(job)
