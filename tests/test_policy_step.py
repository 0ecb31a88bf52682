"""The policy step by step: the session, the measured delay, the observation, the prefix, and what is refused."""

from dataclasses import replace

import numpy as np
import onnxruntime as ort
import pytest
from policy_models import ECHO, ECHO_NOISE, NOT_A_NUMBER, RATIO, write_model
from robot_files import UNLOADABLE, write_policy, write_robot

from spinal.native import layout
from spinal.native.shared import Mailbox, Segment
from spinal.native.trajectory import LARGEST_BYTES, TrajectoryWriter
from spinal.runtime import segments
from spinal.runtime.config.card import load_card
from spinal.runtime.config.load import load_robot
from spinal.runtime.errors import PolicyError
from spinal.runtime.policy import delay
from spinal.runtime.policy.delay import DelayMeter
from spinal.runtime.policy.forecast import Forecast
from spinal.runtime.policy.observe import Observer, pose_inputs
from spinal.runtime.policy.session import Session
from spinal.runtime.policy.step import Execution, PolicyStep
from spinal.runtime.segments import CONTROLLER_STATE, SIM_POSE, PoseWriter, StateReader, Writer
from spinal.runtime.types import Observation, StreamValue

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
MS = 1_000_000
STEP_NS = 20 * MS
NOW_NS = 5_000 * MS


def session(folder, nodes, *changes, providers=(CPU,), fallback=False, **options):
    path = write_model(folder, nodes, *changes, **options)
    return Session(path, load_card(path), providers, fallback)


# --- session


def test_a_session_answers_in_arrays_that_never_move(tmp_path):
    made = session(tmp_path, ECHO)
    given, answer = made.inputs["prefix"], made.output
    for value in (1.5, -2.0):
        given[...] = value
        made.run()
        assert (answer == value).all()
    assert made.inputs["prefix"] is given
    assert made.output is answer
    assert made.providers == [CPU]


def test_another_provider_than_asked_for_is_an_error_unless_it_is_allowed(tmp_path):
    path = write_model(tmp_path, ECHO)
    card = load_card(path)
    try:
        made = Session(path, card, (CUDA, CPU), allow_provider_fallback=True)
    except PolicyError:
        pytest.fail("the fall-back was allowed")
    if made.providers[0] == CUDA:
        pytest.skip("this machine has a GPU that onnxruntime can use")
    assert made.providers == [CPU]
    for providers in ((CUDA, CPU), (CUDA,)):
        with pytest.raises(PolicyError, match=f"was to run on {CUDA} and would run on {CPU}") as raised:
            Session(path, card, providers)
        assert "allow_provider_fallback = true" in raised.value.hint


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_a_provider_that_no_build_has_is_told_in_one_line(tmp_path):
    path = write_model(tmp_path, ECHO)
    with pytest.raises(PolicyError) as raised:
        Session(path, load_card(path), ("NoSuchExecutionProvider",))
    assert "\n" not in raised.value.message
    assert raised.value.hint


def test_every_tensor_on_which_model_and_card_disagree_is_named(tmp_path):
    path = write_model(tmp_path, ECHO, ('name = "q"', 'name = "joints"'))
    card = load_card(path)
    wrong = card.model_copy(update={"output": card.output.model_copy(update={"shape": (1, 20, 3)})})
    with pytest.raises(PolicyError) as raised:
        Session(path, wrong, (CPU,))
    for difference in (
        "joints: card (1, 2), model nothing",
        "q: card nothing, model (1, 2)",
        "chunk: card (1, 20, 3), model (1, 20, 2)",
    ):
        assert difference in raised.value.message
    assert "noise" not in raised.value.message


def test_a_file_that_onnxruntime_does_not_take_is_told_in_one_line(tmp_path):
    path = write_policy(tmp_path, model=UNLOADABLE)
    with pytest.raises(PolicyError, match=r"onnxruntime cannot load policy\.onnx: ") as raised:
        Session(path, load_card(path), (CPU,))
    assert "\n" not in raised.value.message
    assert ort.__version__ in raised.value.hint


def test_a_model_that_never_answers_a_number_is_refused_when_it_is_loaded(tmp_path):
    with pytest.raises(PolicyError, match=r"policy\.onnx answers numbers that are not finite"):
        session(tmp_path, NOT_A_NUMBER)


def test_a_model_that_divides_by_a_norm_is_not(tmp_path):
    assert not np.isnan(session(tmp_path, RATIO).output).any()


# --- the measured delay


def meter(*delays_ms, cold=True):
    made = DelayMeter(5 * MS)
    cold_ms = [900] * delay.COLD_RUNS if cold else []
    for number, delay_ms in enumerate([*cold_ms, *delays_ms], 1):
        made.saw(number * STEP_NS, number * STEP_NS + delay_ms * MS)
    return made


def test_the_first_answers_do_not_count():
    assert meter().delay_ns == 5 * MS
    assert meter(12).delay_ns == 12 * MS


@pytest.mark.parametrize(
    ("delays_ms", "expected_ms"),
    [
        ([*range(1, 101)], 91),  # the 0.9 quantile of 1 to 100, the next higher of them
        ([10] * 95 + [80] * 5, 10),  # one slow answer in twenty freezes nothing
        ([10] * 80 + [80] * 20, 80),
        ([80] * 100 + [10] * 100, 10),  # the last hundred count: no slow answer for ever
        ([10, 400], 400),
    ],
)
def test_it_is_a_high_percentile_of_the_last_hundred(delays_ms, expected_ms):
    assert meter(*delays_ms).delay_ns == expected_ms * MS


def test_a_trajectory_that_stays_in_force_is_counted_once():
    made = meter(10, 10, 30)
    for _ in range(50):
        made.saw((delay.COLD_RUNS + 1) * STEP_NS, NOW_NS * 10)  # an older one
        made.saw((delay.COLD_RUNS + 3) * STEP_NS, NOW_NS * 10)  # the newest again
    assert made.delay_ns == 30 * MS


def test_an_instant_before_the_observation_is_no_delay():
    assert meter(-3).delay_ns == 0


# --- the observation


class World:
    """The small robot's shared memory, written by the test, and an observer that reads it."""

    def __init__(self, folder):
        self.robot = load_robot(write_robot(folder))
        self._controller = segments.create(Writer.CONTROLLER, 2)
        self._sim = segments.create(Writer.SIM, 2)
        self._states = Mailbox(self._controller, CONTROLLER_STATE)
        self.poses = PoseWriter(self._sim, SIM_POSE)
        self.observer = Observer(
            StateReader(self._controller, 2),
            pose_inputs(self.robot, self._sim, SIM_POSE),
            50 * MS,
            Forecast(self.robot),
        )

    def state(self, ages_ms=(2, 3), **head):
        record = np.zeros(1, layout.state_dtype(2))
        usual = {
            "tick_ns": NOW_NS,
            "command_ns": NOW_NS - 4 * MS,
            "mode": layout.MODE_READY,
            "joint_count": 2,
        }
        for name, value in (usual | head).items():
            record[0][name] = value
        joints = record[0]["joints"]
        joints["position"], joints["velocity"] = (0.5, 0.01), (2.0, 0.0)
        joints["stamp_ns"] = [NOW_NS - age * MS for age in ages_ms]
        joints["commanded_position"] = joints["position"]
        self._states.publish(record.view(np.uint8))

    def pose(self, captured_ms_ago, arrived_ms_ago=0):
        capture, arrival = NOW_NS - captured_ms_ago * MS, NOW_NS - arrived_ms_ago * MS
        self.poses.publish((capture, arrival, 0.2, -0.1, 0.03, 0.5))


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def test_what_is_missing_is_said(world):
    observer = world.observer
    assert observer.missing == "nothing was observed yet"
    assert observer.observe(NOW_NS) is None
    assert observer.missing == "the controller has published no state"
    world.state()
    assert observer.observe(NOW_NS) is None
    assert observer.missing == "stream block: no sample yet"
    world.pose(10)
    assert observer.observe(NOW_NS) is not None
    assert observer.missing is None


@pytest.mark.parametrize(("age_ms", "fits"), [(50, True), (51, False)])
def test_one_joint_that_is_too_old_is_enough(world, age_ms, fits):
    world.pose(10)
    world.state(ages_ms=(2, age_ms))
    observation = world.observer.observe(NOW_NS)
    assert (observation is not None) == fits
    assert world.observer.missing == (None if fits else f"a joint's sample is {age_ms} ms old")


@pytest.mark.parametrize(("age_ms", "fits"), [(100, True), (101, False)])
def test_a_stream_that_is_too_old_is_missing_and_never_reused(world, age_ms, fits):
    world.state()
    world.pose(age_ms)
    observation = world.observer.observe(NOW_NS)
    assert (observation is not None) == fits
    assert world.observer.missing == (None if fits else f"stream block: {age_ms} ms old")


def test_every_sample_is_put_at_the_observations_instant_with_its_age(world):
    world.state(ages_ms=(2, 7))
    world.pose(40)
    world.pose(30)
    observation = world.observer.observe(NOW_NS)
    assert observation.stamp_ns == NOW_NS
    assert observation.joints_age_ns == 7 * MS
    assert observation.position == pytest.approx([0.5 + 2.0 * 0.002, 0.01])
    assert observation.streams["block"].capture_ns == observation.sensor_stamp_ns == NOW_NS - 30 * MS
    assert observation.command.shape == (2, 3)
    assert observation.ahead.shape == (0, 2)


def test_an_arm_that_no_trajectory_moves_is_expected_to_stay(world):
    world.state()
    world.pose(10)
    observation = world.observer.observe(NOW_NS, (STEP_NS, 2 * STEP_NS))
    assert observation.ahead == pytest.approx(np.array([[0.5, 0.01], [0.5, 0.01]]))


def test_an_epoch_ends_when_something_was_missing_or_the_robot_was_stopped(world):
    def epoch(**head):
        world.state(**head)
        world.pose(10)
        return world.observer.observe(NOW_NS).epoch

    first = epoch()
    assert epoch() == epoch() == first
    assert world.observer.observe(NOW_NS + 500 * MS) is None
    second = epoch()
    assert second == first + 1
    assert epoch(mode=layout.MODE_HOLDING) == epoch(mode=layout.MODE_RUNNING) == second
    for end in (layout.MODE_STOPPED, layout.MODE_OFF):
        before = epoch()
        assert epoch(mode=end) == before
        again = epoch()
        assert again == before + 1
        assert epoch(mode=layout.MODE_RUNNING) == again


def test_load_and_goals_are_seen(world):
    world.state()
    world.pose(10)
    seen = world.observer.observe(NOW_NS)
    assert seen.load.shape == (2,)
    assert seen.goals == {}


# --- the prefix


def policy(folder, nodes, *changes, seed=0):
    path = write_model(folder, nodes, *changes)
    robot, card = load_robot(write_robot(folder)), load_card(path)
    made = Session(path, card, (CPU,))
    return PolicyStep(card, made, Execution.of(robot, card.chunk.step_ns), seed), made


def observation(ahead=(), command=((0.3, 0, 0), (0.01, 0, 0))):
    return Observation(
        stamp_ns=NOW_NS,
        position=np.array([0.3, 0.01]),
        velocity=np.zeros(2),
        command=np.array(command, np.float64),
        ahead=np.array(ahead, np.float64).reshape(-1, 2),
        joints_age_ns=0,
        streams={"block": StreamValue(np.zeros(3), np.zeros(3), 0.0, NOW_NS)},
    )


@pytest.mark.parametrize(
    ("delay_ms", "steps"), [(0, 0), (19.999, 0), (20, 1), (59.9, 2), (60, 3), (160, 8), (900, 8)]
)
def test_only_whole_steps_inside_the_delay_are_given_and_no_more_than_were_trained(tmp_path, delay_ms, steps):
    step, _ = policy(tmp_path, ECHO)
    assert step.ahead_ns(round(delay_ms * MS)) == tuple(STEP_NS * (k + 1) for k in range(steps))


def test_a_policy_that_was_trained_for_no_prefix_is_given_none(tmp_path):
    step, _ = policy(tmp_path, ECHO, ("max_steps = 8", "max_steps = 0"))
    assert step.ahead_ns(900 * MS) == ()


def test_the_model_sees_what_is_given_and_which_of_it_counts(tmp_path):
    step, made = policy(tmp_path, ECHO)
    ahead = [[0.1, 0.001], [0.2, 0.002], [0.4, 0.004]]
    chunk = step.infer(observation(ahead))
    assert made.inputs["mask"][0].tolist() == [1.0] * 3 + [0.0] * 17
    assert made.inputs["prefix"][0] == pytest.approx(np.array(ahead + [ahead[-1]] * 17))
    assert made.inputs["q"][0] == pytest.approx([0.3, 0.01])
    assert chunk.given == 3
    assert (chunk.actions[:3] == np.array(ahead)).all()
    assert (chunk.first_ns, chunk.step_ns) == (NOW_NS + STEP_NS, STEP_NS)


def test_without_a_prefix_the_model_sees_the_present_command(tmp_path):
    step, made = policy(tmp_path, ECHO)
    assert step.infer(observation()).given == 0
    assert not made.inputs["mask"].any()
    assert made.inputs["prefix"][0] == pytest.approx(np.array([[0.3, 0.01]] * 20))


# --- answers


def test_an_answer_that_is_no_number_is_refused(tmp_path):
    step, _ = policy(tmp_path, RATIO)
    assert np.isfinite(step.infer(observation()).actions).all()
    with pytest.raises(PolicyError, match="not finite") as raised:
        step.infer(observation(command=((0, 0, 0), (0.01, 0, 0))))
    assert "keeps its old chunk" in raised.value.hint


def test_noise_depends_on_the_seed_alone(tmp_path):
    step, _ = policy(tmp_path, ECHO_NOISE, seed=7)
    first, second = step.infer(observation()).actions, step.infer(observation()).actions
    assert np.abs(first - second).max() > 0.1
    step.restart(7)
    assert (step.infer(observation()).actions == first).all()
    step.restart(8)
    assert np.abs(step.infer(observation()).actions - first).max() > 0.1


def test_a_card_without_noise_feeds_zeros(tmp_path):
    step, _ = policy(tmp_path, ECHO_NOISE, ('noise = "normal"', 'noise = "zero"'))
    assert not step.infer(observation()).actions.any()


@pytest.mark.parametrize("steps", [4, 127])
def test_the_shortest_and_the_longest_chunk_that_a_card_may_have_can_be_executed(tmp_path, steps):
    step, _ = policy(tmp_path, ECHO)
    chunk = replace(step.infer(observation()), actions=np.linspace((0, 0), (0.5, 0.01), steps))
    trajectory = step.execution.trajectory(chunk, observation().command, NOW_NS, 0)
    box = Segment.create("policy", [Mailbox.size(LARGEST_BYTES)])
    Mailbox.format(box, 0, LARGEST_BYTES)
    writer = TrajectoryWriter(Mailbox(box, 0))
    assert writer.publish(trajectory, trajectory.position, trajectory.curvature) == 1
    assert trajectory.end_ns == NOW_NS + steps * STEP_NS


def test_a_chunk_argues_with_the_trajectory_under_way(tmp_path):
    step, _ = policy(tmp_path, ECHO)
    seen = observation([[0.3, 0.01]] * 2)
    chunk = step.infer(seen)
    wave = np.sin(np.arange(20))[:, None] * [0.1, 0.001]
    old = step.execution.trajectory(replace(chunk, actions=wave), seen.command, NOW_NS, 0)

    def waypoints(under_way):
        made = replace(chunk, under_way=under_way)
        return step.execution.trajectory(made, seen.command, NOW_NS, 0).position

    alone = waypoints(None)
    before = replace(old, origin_ns=old.origin_ns - STEP_NS)
    assert np.abs(waypoints(before) - alone)[:, 0].max() > 1e-3
    ended = replace(old, origin_ns=old.origin_ns - 20 * STEP_NS)
    later = replace(old, origin_ns=old.origin_ns + 1)
    for nothing in (ended, later):
        assert waypoints(nothing) == pytest.approx(alone, abs=1e-12)
    coarser = replace(before, step_ns=2 * STEP_NS)
    assert np.abs(waypoints(coarser) - alone)[:, 0].max() > 1e-3, "a plan of another step is one, too"


def test_an_answer_knows_what_it_replaces(tmp_path):
    step, _ = policy(tmp_path, ECHO)
    seen = observation()
    path = step.execution.trajectory(step.infer(seen), seen.command, NOW_NS, 0)
    assert step.infer(replace(seen, under_way=path)).under_way is path


def test_under_way_is_the_newest_that_the_tick_has_or_will_take(tmp_path, world):
    step, _ = policy(tmp_path, ECHO)
    seen = observation()
    path = step.execution.trajectory(step.infer(seen), seen.command, NOW_NS, 0)
    newer, forecast = (
        replace(path, published_ns=NOW_NS + STEP_NS),
        Forecast(load_robot(write_robot(tmp_path))),
    )
    world.state(mode=layout.MODE_RUNNING, trajectory_id=1)
    world.pose(10)
    assert world.observer.observe(NOW_NS) is not None
    state = world.observer.newest
    assert forecast.under_way(state) is None
    forecast.published(1, path, NOW_NS)
    assert forecast.under_way(state) is path
    forecast.published(2, newer, NOW_NS)
    assert forecast.under_way(state) is newer
    refused = replace(state, tick_ns=NOW_NS + 1000 * MS)
    assert forecast.under_way(refused) is path
    assert forecast.under_way(replace(state, mode=layout.MODE_HOLDING)) is None


def test_the_policys_own_slowness_does_not_make_its_chunks_stale(tmp_path):
    step, _ = policy(tmp_path, ECHO)
    chunk = step.infer(observation())
    fresh_ms = [
        step.execution.trajectory(chunk, observation().command, NOW_NS, delay_ms * MS).fresh_for_ns // MS
        for delay_ms in (0, 10, 100)
    ]
    assert fresh_ms[0] < fresh_ms[1] < fresh_ms[2]
    assert fresh_ms[2] >= 100 + 100
