"""Vectors of environments: restarts, accounting, seeds and the checks against the spec."""

import dm_env
import numpy as np
import pytest
from dm_env import specs

from mukoe.environments.sync_vector import SyncVectorEnvironment, vectorize
from mukoe.errors import UserError
from mukoe.types import EpisodeResult, MaskedObservation


class Counter(dm_env.Environment):
    """Ends after `length` steps; the observation counts them, the reward is the action."""

    def __init__(self, length=3, last_discount=0.0, seed=0):
        self.length, self.last_discount, self.seed = length, last_discount, seed
        self.time = 0
        self.closed = False

    def observation_spec(self):
        return MaskedObservation(
            {"time": specs.BoundedArray((1,), np.float32, 0, 100)}, specs.Array((3,), bool)
        )

    def action_spec(self):
        return specs.DiscreteArray(3)

    def observe(self):
        return MaskedObservation({"time": np.full((1,), self.time, np.float32)}, np.ones(3, bool))

    def reset(self):
        self.time = 0
        return dm_env.restart(self.observe())

    def step(self, action):
        self.time += 1
        if self.time < self.length:
            return dm_env.transition(float(action), self.observe())
        step = dm_env.truncation if self.last_discount else dm_env.termination
        return step(float(action), self.observe())

    def close(self):
        self.closed = True


def test_streams_restart_by_themselves_and_are_accounted():
    vector = SyncVectorEnvironment([Counter(2), Counter(3, last_discount=1.0)])
    steps = [vector.reset()]
    for actions in ([1, 2], [2, 2], [1, 2], [1, 1], [0, 0]):
        steps.append(vector.step(np.array(actions)))
    first, mid, last = (int(s) for s in dm_env.StepType)
    # Stream 0: two steps, then the action of the third is ignored. Stream 1: three steps.
    assert [s.step_type.tolist() for s in steps] == [
        [first, first],
        [mid, mid],
        [last, mid],
        [first, last],
        [mid, first],
        [last, mid],
    ]
    assert [s.reward.tolist() for s in steps] == [[0, 0], [1, 2], [2, 2], [0, 2], [1, 0], [0, 0]]
    assert [s.discount.tolist() for s in steps] == [[1, 1], [1, 1], [0, 1], [1, 1], [1, 1], [0, 1]]
    times = [s.observation.features["time"][:, 0].tolist() for s in steps]
    assert times == [[0, 0], [1, 1], [2, 2], [0, 3], [1, 0], [2, 1]]
    assert steps[0].observation.legal_actions.shape == (2, 3)
    assert (steps[0].step_type.dtype, steps[0].reward.dtype) == (np.int32, np.float32)
    assert vector.finished_episodes() == [
        EpisodeResult(3.0, 2, 2),
        EpisodeResult(6.0, 3, 3, environment=1),
        EpisodeResult(1.0, 2, 2),
    ]
    assert vector.finished_episodes() == []


def test_a_step_before_any_reset_starts_episodes():
    timestep = SyncVectorEnvironment([Counter()]).step(np.array([1]))
    assert timestep.step_type.tolist() == [dm_env.StepType.FIRST]
    assert timestep.reward.tolist() == [0.0]


def test_a_reset_drops_unfinished_episodes():
    vector = SyncVectorEnvironment([Counter(2)])
    vector.reset()
    vector.step(np.array([2]))
    vector.reset()
    vector.step(np.array([1]))
    vector.step(np.array([1]))
    assert vector.finished_episodes() == [EpisodeResult(2.0, 2, 2)]


def test_an_environment_may_report_its_own_episodes():
    class Scored(Counter):
        games = iter([None, EpisodeResult(99.0, 4, 16)])

        def episode_result(self):
            return next(self.games)

    vector = SyncVectorEnvironment([Scored(2)])
    for _ in range(3):
        vector.step(np.array([1]))
    assert vector.finished_episodes() == []
    for _ in range(3):
        vector.step(np.array([1]))
    assert vector.finished_episodes() == [EpisodeResult(99.0, 4, 16)]


def test_close_closes_every_environment():
    environments = [Counter(), Counter()]
    SyncVectorEnvironment(environments).close()
    assert all(e.closed for e in environments)


def wrong_dtype(self):
    return MaskedObservation({"time": np.zeros((1,), np.float64)}, np.ones(3, bool))


def wrong_shape(self):
    return MaskedObservation({"time": np.zeros((2,), np.float32)}, np.ones(3, bool))


def wrong_value(self):
    return MaskedObservation({"time": np.full((1,), -1, np.float32)}, np.ones(3, bool))


def wrong_nest(self):
    return {"time": np.zeros((1,), np.float32)}


def wrong_key(self):
    return MaskedObservation({"clock": np.zeros((1,), np.float32)}, np.ones(3, bool))


@pytest.mark.parametrize(
    ("observe", "message"),
    [
        (wrong_dtype, r"environment 1 .*time' must have .*float32; got shape \(1,\), .*float64"),
        (wrong_shape, r"toy, environment 1 .*time' must have shape \(1,\).*; got shape \(2,\)"),
        (wrong_value, r"environment 1 .*time'.*-1"),
        (wrong_nest, r"environment 1 .*needs 2 arrays; got 1"),
        (wrong_key, r"environment 1 .*must have the fields .*time.*; got .*clock"),
    ],
)
def test_a_wrong_observation_is_named_at_reset(observe, message):
    broken = type("Broken", (Counter,), {"observe": observe})
    with pytest.raises(UserError, match=message):
        SyncVectorEnvironment([Counter(), broken()], name="toy").reset()


def test_a_wrong_observation_is_named_at_a_step():
    class LaterBroken(Counter):
        def observe(self):
            observation = super().observe()
            return observation if self.time < 2 else wrong_shape(self)

    vector = SyncVectorEnvironment([LaterBroken()])
    vector.reset()
    vector.step(np.array([0]))
    with pytest.raises(UserError, match="features/time"):
        vector.step(np.array([0]))


@pytest.mark.parametrize("reward", [float("nan"), float("inf"), None, np.zeros(2)])
def test_a_reward_is_one_finite_number(reward):
    class Broken(Counter):
        def step(self, action):
            return super().step(action)._replace(reward=reward)

    vector = SyncVectorEnvironment([Broken()], name="toy")
    vector.reset()
    with pytest.raises(UserError, match="toy, environment 0 .*reward must be one finite number"):
        vector.step(np.array([0]))


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        (np.array([3]), r"action must be in 0\.\.2; got 3"),
        (np.array([-1]), r"action must be in 0\.\.2; got -1"),
        (np.array([0.5]), "must be 1 integers; .*float64"),
        (np.array([0, 1]), r"must be 1 integers; got shape \(2,\)"),
    ],
)
def test_wrong_actions(actions, message):
    vector = SyncVectorEnvironment([Counter()])
    vector.reset()
    with pytest.raises(UserError, match=message):
        vector.step(actions)


class Vectors(Counter):
    """Takes two numbers and is rewarded with their difference."""

    def __init__(self, spec=None):
        super().__init__()
        self.spec = spec or specs.BoundedArray((2,), np.float32, [0, -1], [1, 2])

    def observation_spec(self):
        return super().observation_spec().features

    def observe(self):
        return super().observe().features

    def action_spec(self):
        return self.spec

    def step(self, action):
        assert action.dtype == np.float32
        return super().step(action[0] - action[1])


def test_continuous_actions_are_clipped_to_their_bounds():
    vector = SyncVectorEnvironment([Vectors(), Vectors()])
    vector.reset()
    timestep = vector.step(np.array([[0.25, 0.5], [-3.0, 9.0]]))
    assert timestep.reward.tolist() == [-0.25, -2.0]


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        (np.zeros((1, 3)), r"floats \[1, 2\]; got shape \(1, 3\)"),
        (np.zeros((1, 2), int), "floats .*int64"),
        (np.array([[0.0, np.nan]]), "action must be finite"),
    ],
)
def test_wrong_continuous_actions(actions, message):
    vector = SyncVectorEnvironment([Vectors()])
    vector.reset()
    with pytest.raises(UserError, match=message):
        vector.step(actions)


def test_specs_must_be_equal_and_of_a_known_kind():
    class Other(Counter):
        def action_spec(self):
            return specs.DiscreteArray(4)

    with pytest.raises(UserError, match="equal specs"):
        SyncVectorEnvironment([Counter(), Other()])
    for spec in (
        specs.Array((2,), np.float32),
        specs.BoundedArray((2,), np.int32, 0, 1),
        specs.BoundedArray((2, 2), np.float32, 0, 1),
    ):
        with pytest.raises(UserError, match="DiscreteArray, or a BoundedArray of one axis"):
            SyncVectorEnvironment([Vectors(spec)])
    with pytest.raises(UserError, match="at least 1"):
        SyncVectorEnvironment([])


def seeds_of(seed, num_envs, evaluation=False):
    factory = vectorize(lambda seed, evaluation: Counter(seed=seed))
    return [e.seed for e in factory(seed, num_envs, evaluation).environments]


def test_every_environment_has_its_own_seed():
    assert len(set(seeds_of(7, 16) + seeds_of(8, 16) + seeds_of(7, 16, evaluation=True))) == 48
    assert seeds_of(7, 16) == seeds_of(7, 16)
    assert seeds_of(7, 4) == seeds_of(7, 16)[:4]


@pytest.mark.parametrize(("seed", "num_envs"), [(-1, 1), (0, 0)])
def test_a_factory_checks_what_it_is_asked(seed, num_envs):
    with pytest.raises(UserError, match="got"):
        vectorize(lambda seed, evaluation: Counter())(seed, num_envs, False)
