"""Gymnasium environments through dm_env, against Gymnasium itself."""

import pickle

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from mukoe.environments.gymnasium.actions import make_action_decoder
from mukoe.environments.gymnasium.environment import GymnasiumEnvironment
from mukoe.environments.gymnasium.factory import make_gymnasium
from mukoe.environments.sync_vector import vectorize
from mukoe.errors import UserError
from mukoe.types import EpisodeResult


class Fake(gymnasium.Env):
    """Any spaces; observations are drawn, and the last action is kept."""

    def __init__(self, observation_space=None, action_space=None, ends=(False, False)):
        self.observation_space = observation_space
        if observation_space is None:
            self.observation_space = spaces.Discrete(2)
        self.action_space = action_space or spaces.Discrete(2)
        self.ends = ends
        self.seeds = []
        self.observation = self.action = None

    def reset(self, *, seed=None, options=None):
        self.seeds.append(seed)
        self.observation_space.seed(0)
        self.observation = self.observation_space.sample()
        return self.observation, {}

    def step(self, action):
        assert self.action_space.contains(action)
        self.action = action
        return self.observation, 1, *self.ends, {}


def test_cartpole_is_gymnasiums_cartpole():
    vector, reference = make_gymnasium("CartPole-v1")(3, 1, False), gymnasium.make("CartPole-v1")
    seed = vector.environments[0]._seed
    assert vector.spec.observations.dtype == np.float32
    observation, _ = reference.reset(seed=seed)
    np.testing.assert_array_equal(vector.reset().observation[0], observation)
    random, finished, length = np.random.default_rng(0), 0, 0
    while finished < 2:
        action = int(random.integers(2))
        timestep = vector.step(np.array([action]))
        observation, reward, terminated, _, _ = reference.step(action)
        length += 1
        np.testing.assert_array_equal(timestep.observation[0], observation)
        assert timestep.reward[0] == reward
        assert timestep.discount[0] == 1.0 - terminated
        if terminated:  # A pole that falls: termination, and the next episode is not reseeded.
            assert vector.finished_episodes() == [EpisodeResult(length, length, length)]
            finished, length = finished + 1, 0
            observation, _ = reference.reset()
            np.testing.assert_array_equal(vector.step(np.array([0])).observation[0], observation)


def test_the_time_limit_of_cartpole_truncates_at_500():
    vector = make_gymnasium("CartPole-v1")(0, 1, False)
    timestep = vector.reset()
    for step in range(1, 501):
        # This hand-made rule balances the pole for as long as one likes.
        position, speed, angle, turn = timestep.observation[0]
        push = angle + 0.4 * turn + 0.02 * position + 0.05 * speed > 0
        timestep = vector.step(np.array([int(push)]))
        assert (timestep.step_type[0] == 2) == (step == 500)
    assert timestep.discount.tolist() == [1.0]
    assert vector.finished_episodes() == [EpisodeResult(500.0, 500, 500)]


@pytest.mark.parametrize(
    ("ends", "last", "discount"),
    [
        ((False, False), False, 1.0),
        ((True, False), True, 0.0),
        ((False, True), True, 1.0),
        ((True, True), True, 0.0),
    ],
)
def test_termination_wins_over_truncation(ends, last, discount):
    environment = GymnasiumEnvironment(Fake(ends=ends))
    environment.reset()
    timestep = environment.step(0)
    assert (timestep.last(), timestep.discount, timestep.reward) == (last, discount, 1.0)
    assert environment.step(0).first() == last


def test_the_seed_is_given_once():
    fake = Fake()
    environment = GymnasiumEnvironment(fake, seed=11)
    environment.reset()
    environment.reset()
    assert fake.seeds == [11, None]


TAXI = max(name for name in gymnasium.registry if name.startswith("Taxi-v"))


@pytest.mark.parametrize("name", ["FrozenLake-v1", TAXI])
def test_discrete_observations_are_one_hot(name):
    factory = make_gymnasium(name)
    runs = []
    for seed in (1, 1, 2):
        vector, random = factory(seed, 4, False), np.random.default_rng(0)
        states = gymnasium.make(name).observation_space.n
        assert vector.spec.observations.shape == (states,)
        observations = [vector.reset().observation]
        for _ in range(60):
            actions = random.integers(vector.spec.actions.num_values, size=4)
            observations.append(vector.step(actions).observation)
        runs.append(np.stack(observations))
    assert ((runs[0] == 1.0).sum(-1) == 1).all() and (runs[0].sum(-1) == 1.0).all()
    np.testing.assert_array_equal(runs[0], runs[1])
    assert (runs[0] != runs[2]).any()


@pytest.mark.filterwarnings("ignore:.*length of a multi-dimensional MultiDiscrete")
@pytest.mark.parametrize(
    ("space", "expected"),
    [
        (spaces.Discrete(5, start=-2), {a: a - 2 for a in range(5)}),
        (
            spaces.MultiDiscrete([2, 3]),
            {0: [0, 0], 1: [0, 1], 2: [0, 2], 3: [1, 0], 4: [1, 1], 5: [1, 2]},
        ),
        (spaces.MultiDiscrete([2, 2], start=[1, 10]), {0: [1, 10], 1: [1, 11], 2: [2, 10]}),
        (spaces.MultiDiscrete(np.full((2, 2), 2)), {0: [[0, 0], [0, 0]], 6: [[0, 1], [1, 0]]}),
    ],
)
def test_actions(space, expected):
    fake = Fake(action_space=space)
    environment = GymnasiumEnvironment(fake)
    assert environment.action_spec().num_values == (
        space.n if isinstance(space, spaces.Discrete) else np.prod(space.nvec)
    )
    environment.reset()
    for action, meaning in expected.items():
        environment.step(action)
        np.testing.assert_array_equal(fake.action, meaning)


def test_continuous_actions_are_scaled_to_their_bounds():
    low, high = np.float64([[-2, 0], [10, -1]]), np.float64([[2, 1], [20, -0.5]])
    fake = Fake(action_space=spaces.Box(low, high, dtype=np.float64))
    environment = GymnasiumEnvironment(fake)
    spec = environment.action_spec()
    assert (spec.shape, spec.dtype) == ((4,), np.float32)
    assert (spec.minimum == -1).all() and (spec.maximum == 1).all()
    environment.reset()
    for action, meaning in (
        ([-1, -1, -1, -1], low),
        ([1, 1, 1, 1], high),
        ([0, 0, 0, 0], [[0, 0.5], [15, -0.75]]),
        ([0.5, -0.5, 0.2, 0.6], [[1, 0.25], [16, -0.6]]),
        ([-7, 7, 2, -3], [[-2, 1], [20, -1]]),
    ):
        environment.step(np.float32(action))
        assert fake.action.dtype == np.float64
        np.testing.assert_allclose(fake.action, meaning, rtol=1e-6)


def test_pendulum_is_gymnasiums_pendulum():
    vector, reference = make_gymnasium("Pendulum-v1")(3, 1, False), gymnasium.make("Pendulum-v1")
    observation, _ = reference.reset(seed=vector.environments[0]._seed)
    np.testing.assert_array_equal(vector.reset().observation[0], observation)
    random, last = np.random.default_rng(0), False
    while not last:
        action = random.normal(size=1).astype(np.float32)
        timestep = vector.step(action[None])
        torque = 2 * np.clip(action, -1, 1)
        observation, reward, _, last, _ = reference.step(torque)
        np.testing.assert_allclose(timestep.observation[0], observation, rtol=1e-5, atol=1e-6)
        assert timestep.reward[0] == pytest.approx(reward, rel=1e-5)
        assert timestep.discount.tolist() == [1.0]
    assert vector.finished_episodes()[0].length == 200


def observe(space, observation):
    fake = Fake(observation_space=space)
    environment = GymnasiumEnvironment(fake)
    environment.reset()
    fake.observation = observation
    encoded = environment.step(0).observation
    environment.observation_spec().validate(encoded)
    return encoded


def test_observations():
    box = spaces.Box(-1, 1, (2, 2), np.float64)
    np.testing.assert_array_equal(observe(box, np.eye(2)), np.eye(2, dtype=np.float32))
    pixels = spaces.Box(0, 255, (2, 2, 3), np.uint8)
    assert observe(pixels, np.full((2, 2, 3), 7, np.uint8)).dtype == np.uint8
    integers = spaces.Box(-5, 5, (2,), np.int64)
    assert observe(integers, np.array([-3, 4])).tolist() == [-3.0, 4.0]
    assert observe(spaces.Discrete(3, start=5), 6).tolist() == [0, 1, 0]
    assert observe(spaces.MultiDiscrete([2, 3]), np.array([1, 2])).tolist() == [0, 1, 0, 0, 1]
    shifted = spaces.MultiDiscrete([2, 2], start=[3, 7])
    assert observe(shifted, np.array([3, 8])).tolist() == [1, 0, 0, 1]
    assert observe(spaces.MultiBinary(2), np.array([0, 1], np.int8)).tolist() == [0, 1]


def test_tuples_and_dicts_become_one_vector():
    nested = spaces.Dict(
        {
            "b": spaces.Tuple([spaces.Discrete(2), spaces.Box(0, 9, (), np.float32)]),
            "a": spaces.Box(0, 255, (2,), np.uint8),
        }
    )
    order = [*nested.spaces]
    value = {"b": (1, np.float32(0.5)), "a": np.array([3, 200], np.uint8)}
    parts = {"a": [3, 200], "b": [0, 1, 0.5]}
    encoded = observe(nested, value)
    assert encoded.dtype == np.float32
    assert encoded.tolist() == sum([parts[key] for key in order], [])


GRAPH = spaces.Graph(spaces.Discrete(2), None)
PLACE = spaces.Dict({"x": spaces.Discrete(2, start=1), "y": spaces.Box(-1, 1, (2,))})


@pytest.mark.parametrize(
    ("space", "observation", "message"),
    [
        (spaces.Discrete(3, start=5), 4, r"observation must be in 5..7; got 4"),
        (spaces.Discrete(3, start=5), np.int64(8), r"observation must be in 5..7; got 8"),
        (spaces.Discrete(3), 1.0, "observation must be integers of shape .*; got 1.0"),
        (spaces.Discrete(3), None, "observation must be integers"),
        (spaces.Discrete(3), [0, 1], "observation must be integers"),
        (spaces.MultiDiscrete([2, 3], start=[3, 7]), [3, 6], r"must be in 7..9; got 6"),
        (spaces.MultiDiscrete([2, 3]), [0, 1, 0], r"must be integers of shape \(2,\); got \[0"),
        (spaces.Box(0, 255, (2,), np.uint8), np.array([0, 256]), r"in 0..255; got 256"),
        (spaces.Box(0, 255, (2,), np.uint8), np.array([-1.0, 0]), r"in 0..255; got -1.0"),
        (spaces.Box(0, 255, (2,), np.uint8), np.array([0.5, 0]), r"in 0..255; got 0.5"),
        (spaces.Box(0, 255, (2,), np.uint8), np.zeros(3, np.uint8), r"shape \(2,\); got .*\(3,\)"),
        (spaces.Box(-1, 1, (2,)), np.zeros((1, 2)), r"shape \(2,\); got shape \(1, 2\)"),
        (spaces.Box(-1, 1, (2,)), [0.0, None], "numbers of shape .*dtype object"),
        (spaces.Box(-1, 1, (2,)), "left", "numbers of shape .*dtype <U4"),
        (spaces.Box(-1, 1, (2, 2)), [[0.0], [0.0, 1.0]], "observation must be"),
        (
            spaces.Box(-1e300, 1e300, (2,), np.float64),
            [0, 1e300],
            "must be from .*; scale or",
        ),
        (PLACE, {"x": 0, "y": np.zeros(2)}, r"observation\['x'\] must be in 1..2; got 0"),
        (PLACE, {"x": 1}, "observation must have the parts 'x', 'y'; got {'x': 1}"),
        (PLACE, np.zeros(3), "observation must have the parts 'x', 'y'; got array"),
        (spaces.Tuple([PLACE]), ({"x": 1, "y": [0, 0, 0]},), r"observation\[0\]\['y'\] must be"),
        (spaces.Tuple([PLACE]), (), r"observation must have the parts 0; got \(\)"),
    ],
)
def test_an_observation_outside_its_space_gets_one_line(space, observation, message):
    with pytest.raises(UserError, match=message) as error:
        observe(space, observation)
    assert "\n" not in str(error.value)


def test_edges_of_the_spaces():
    for space in (spaces.Box(0, 9, (), np.float32), spaces.Box(0, 9, (), np.uint8)):
        assert observe(space, 7).tolist() == [7]
    assert observe(spaces.Box(-np.inf, np.inf, (1,), np.float64), [-1e18])[0] == np.float32(-1e18)
    assert observe(spaces.Box(0, 255, (2,), np.uint8), np.array([0, 255])).tolist() == [0, 255]
    assert observe(spaces.Discrete(1), 0).tolist() == [1.0]
    assert observe(spaces.Discrete(3, start=-9), np.array([-7])).tolist() == [0, 0, 1]
    negative = spaces.MultiDiscrete([2, 2], start=[-1, -5])
    assert observe(negative, np.array([-1, -4])).tolist() == [1, 0, 0, 1]
    assert observe(spaces.Tuple([spaces.Box(0, 1, (0,)), spaces.Discrete(2)]), ([], 1))[1] == 1


class Returning(Fake):
    """Returns `first` from reset and `result` from step."""

    def __init__(self, first=(0, {}), result=(0, 0.0, False, False, {})):
        super().__init__()
        self.first, self.result = first, result

    def reset(self, *, seed=None, options=None):
        return self.first

    def step(self, action):
        return self.result


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ({"first": 0}, r"reset\(\) must return \(observation, info\); got one int"),
        ({"first": (0, {}, 1)}, r"reset\(\) must return .*; got a tuple of 3"),
        (
            {"result": (0, 0.0, False, {})},
            r"step\(\) must return \(observation, reward, terminated, truncated, info\); got a "
            "tuple of 4",
        ),
        ({"result": None}, r"step\(\) must return .*; got one NoneType"),
        ({"result": (0, None, False, False, {})}, "reward must be one finite number; got .*None"),
        ({"result": (0, [1, 2], False, False, {})}, "reward must be one finite number"),
        ({"result": (5, 0.0, False, False, {})}, r"observation must be in 0..1; got 5"),
    ],
)
def test_a_wrong_method_is_described_in_the_terms_of_gymnasium(results, message):
    vector = vectorize(lambda seed, evaluation: GymnasiumEnvironment(Returning(**results)), "Cart")
    with pytest.raises(UserError, match="^Cart, environment 0 of the vector: " + message) as error:
        environment = vector(0, 1, False)
        environment.reset()
        environment.step(np.array([0]))
    assert "dm_env" not in str(error.value)


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ({"first": np.zeros(3)}, r"reset\(\) must return \(observation, info\); got "),
        (
            {"result": (0, 0.0, False, {})},
            r"step\(\) must return \(observation, reward, terminated, truncated, info\); got not "
            "enough values to unpack",
        ),
        ({"result": None}, r"step\(\) must return .*; got cannot unpack non-iterable NoneType"),
    ],
)
def test_a_wrong_result_is_described_where_a_wrapper_receives_it(results, message):
    wrapped = gymnasium.wrappers.TransformObservation(Returning(**results), lambda x: x, None)
    environment = GymnasiumEnvironment(gymnasium.wrappers.TimeLimit(wrapped, 5))
    with pytest.raises(UserError, match=message):
        environment.reset()
        environment.step(0)


def test_an_error_of_the_environment_itself_is_unchanged():
    class Failing(Returning):
        def step(self, action):
            raise ValueError("cannot step")

    environment = GymnasiumEnvironment(gymnasium.wrappers.TimeLimit(Failing(), 5))
    environment.reset()
    with pytest.raises(ValueError, match="cannot step"):
        environment.step(0)


def test_a_reward_of_one_entry_is_a_number():
    environment = GymnasiumEnvironment(Returning(result=(0, np.array([2.5]), False, False, {})))
    environment.reset()
    assert environment.step(0).reward == 2.5


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"action_space": spaces.Box(-1, 1, (0,))}, "actions Box.*at least one entry"),
        (
            {"action_space": spaces.Box(-1e308, 1e308, (2,), np.float64)},
            "actions Box.*finite bounds",
        ),
        ({"observation_space": spaces.Box(-1, 1, (0,))}, "empty observations Box"),
        ({"observation_space": spaces.Dict({})}, "empty observations Dict"),
        ({"observation_space": spaces.Discrete(10**12)}, f"has {10**12} choices .*at most 1000000"),
        ({"action_space": spaces.Text(5)}, "actions Text.*supported are Discrete"),
        (
            {"action_space": spaces.Tuple([spaces.Discrete(2), spaces.Text(5)])},
            "actions Text.*supported are Discrete",
        ),
        (
            {"action_space": spaces.Tuple([spaces.Discrete(2), spaces.Box(-np.inf, 1, (2,))])},
            "actions Box.*finite bounds",
        ),
        ({"action_space": spaces.Box(-1, 1, (2,), int)}, "actions Box.*Box of floats"),
        ({"action_space": spaces.Box(-np.inf, 1, (2,))}, "actions Box.*finite bounds"),
        (
            {"action_space": spaces.Box(np.float32([0, 1]), np.float32([1, 1]))},
            "actions Box.*each low below its high",
        ),
        (
            {"action_space": spaces.MultiDiscrete([20_000, 2])},
            "has 20000 actions .*at most 10000",
        ),
        ({"observation_space": GRAPH}, "observations Graph.*supported are Box"),
        (
            {"observation_space": spaces.Dict({"view": GRAPH, "x": spaces.Discrete(2)})},
            "observations Graph.*supported are Box",
        ),
    ],
)
def test_unsupported_spaces(kwargs, message):
    with pytest.raises(UserError, match=message):
        GymnasiumEnvironment(Fake(**kwargs))


def test_the_picture_passes_through():
    environment = GymnasiumEnvironment(gymnasium.make("FrozenLake-v1", render_mode="ansi"))
    environment.reset()
    assert "SFFF" in environment.render().replace("\x1b[41m", "").replace("\x1b[0m", "")
    environment.close()


MIXED = spaces.Dict(
    {
        "tool": spaces.Discrete(3, start=5),
        "force": spaces.Box(np.float32([-1, 2]), np.float32([3, 10])),
        "where": spaces.Tuple([spaces.MultiDiscrete([[2, 4], [3, 5]]), spaces.MultiBinary(2)]),
    }
)


@pytest.mark.parametrize("space", [spaces.MultiDiscrete([11] * 6), MIXED])
def test_actions_of_several_parts(space):
    """Every vector within the bounds is a native action; the ends are the bounds of the parts."""
    spec, decode = make_action_decoder(space, "test")
    random = np.random.default_rng(0)
    for share in random.random((200, *spec.shape)):
        assert space.contains(decode(spec.minimum + share * (spec.maximum - spec.minimum)))
    if space is MIXED:
        # `Dict` sorts its keys: force, tool, where.
        assert spec.choices == (0, 0, 3, 2, 4, 3, 5, 2, 2)
        low, high = decode(spec.minimum), decode(spec.maximum)
        np.testing.assert_allclose([low["force"], high["force"]], [[-1, 2], [3, 10]])
        assert (low["tool"], high["tool"]) == (5, 7)
        np.testing.assert_array_equal(high["where"][0], [[1, 3], [2, 4]])
        np.testing.assert_array_equal(high["where"][1], [1, 1])
    else:
        assert spec.choices == (11,) * 6
        assert len({tuple(decode(np.full(6, x))) for x in range(11)}) == 11
    copied = pickle.loads(pickle.dumps(spec))
    assert copied.choices == spec.choices and copied.shape == spec.shape


def test_parts_that_are_all_numbers_are_one_vector():
    """Agents with continuous actions take them as they take a Box."""
    box = spaces.Box(np.float32([-1, 2]), np.float32([3, 10]))
    spec, decode = make_action_decoder(spaces.Dict({"b": box, "a": spaces.Box(0, 1, (1,))}), "test")
    assert not hasattr(spec, "choices") and spec.shape == (3,)
    action = decode(np.array([1, -1, 0], np.float32))
    assert list(action) == ["a", "b"]
    np.testing.assert_allclose(action["b"], [-1, 6])


@pytest.mark.parametrize("space", [spaces.Tuple([]), spaces.Dict({})])
def test_actions_without_parts_are_refused(space):
    with pytest.raises(UserError, match="actions Tuple.*supported are Discrete"):
        make_action_decoder(space, "test")
