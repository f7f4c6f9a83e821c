"""Data sets of other software, read as rows, and what is wrong with some of them."""

import json
import pickle
import types

import chex
import gymnasium
import jax
import numpy as np
import pytest
from dm_env import specs
from gymnasium import spaces

from mukoe.environments.gymnasium.environment import GymnasiumEnvironment
from mukoe.environments.vector import environment_spec
from mukoe.errors import UserError
from mukoe.replay.datasets import reader
from mukoe.replay.datasets.action_decoding import action_decoder
from mukoe.replay.datasets.reader import open_dataset
from mukoe.replay.datasets.storage import dataset_names, require_minari
from mukoe.types import EnvironmentSpec, ProductArray

minari = pytest.importorskip("minari")
h5py = pytest.importorskip("h5py")

from minari.data_collector import EpisodeBuffer  # noqa: E402

NAME = "test/foreign-v0"

# Minari recommends an author, a description and more.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:minari")


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    return tmp_path


def buffer(observations, actions, **values):
    length = len(jax.tree.leaves(actions)[0])
    last = np.arange(length) == length - 1
    given = {"terminations": last, "truncations": ~last & False, "rewards": np.ones(length)}
    return EpisodeBuffer(observations=observations, actions=actions, **{**given, **values})


def create(observation_space, action_space, buffers):
    """A data set by Minari's own writer."""
    minari.create_dataset_from_buffers(
        NAME, buffers, observation_space=observation_space, action_space=action_space
    )


class Replayed(gymnasium.Env):
    """Environment that shows given observations, and keeps the actions that it receives."""

    def __init__(self, observation_space, action_space, observations):
        self.observation_space, self.action_space = observation_space, action_space
        self._observations, self.received = observations, []

    def reset(self, *, seed=None, options=None):
        self.received = []
        return self._observations[0], {}

    def step(self, action):
        self.received.append(action)
        end = len(self.received) == len(self._observations) - 1
        return self._observations[len(self.received)], 1.0, end, False, {}


SPACES = [
    (spaces.Box(-5, 5, (3,), np.float64), spaces.Discrete(3, start=-1)),
    (spaces.Discrete(7, start=2), spaces.MultiDiscrete([2, 3])),
    (spaces.MultiBinary(4), spaces.Box(np.float32([-2, 0]), np.float32([2, 8]))),
    (spaces.Box(0, 255, (4, 4, 2), np.int64), spaces.Discrete(2)),
    (
        spaces.Dict({"b": spaces.Discrete(3), "a": spaces.Box(-1, 1, (2,), np.float32)}),
        spaces.Discrete(2),
    ),
    (spaces.Tuple((spaces.Discrete(3), spaces.Box(-1, 1, (2,), np.float32))), spaces.Discrete(2)),
    (spaces.Discrete(2), spaces.MultiDiscrete([[101, 10], [3, 7]], start=[[1, 0], [-2, 0]])),
    (spaces.Discrete(2), spaces.MultiBinary((2, 2))),
    (
        spaces.Discrete(2),
        spaces.Dict({"b": spaces.Discrete(3, start=2), "a": spaces.Box(-1, 3, (2,), np.float32)}),
    ),
    (
        spaces.Discrete(2),
        spaces.Tuple(
            (
                spaces.Dict({"x": spaces.MultiBinary(2), "y": spaces.Box(0, 5, (1,), np.float64)}),
                spaces.MultiDiscrete([2, 4], start=[1, 1]),
            )
        ),
    ),
]


def stack(space, observations):
    if isinstance(space, spaces.Dict):
        return {key: stack(space[key], [o[key] for o in observations]) for key in space}
    if isinstance(space, spaces.Tuple):
        parts = enumerate(space)
        return tuple(stack(part, [o[i] for o in observations]) for i, part in parts)
    return np.stack(observations)


@pytest.mark.parametrize("observation_space, action_space", SPACES)
def test_native_data_become_what_the_agent_would_have_seen_and_done(
    observation_space, action_space
):
    observation_space.seed(0)
    action_space.seed(0)
    observations = [observation_space.sample() for _ in range(6)]
    actions = [action_space.sample() for _ in range(5)]
    create(
        observation_space,
        action_space,
        [buffer(stack(observation_space, observations), stack(action_space, actions))],
    )
    environment = GymnasiumEnvironment(Replayed(observation_space, action_space, observations))
    dataset = open_dataset(NAME, environment_spec(environment))
    assert_same_spec(dataset.environment_spec, environment_spec(environment))
    (rows,) = dataset.episodes()
    np.testing.assert_array_equal(rows.observation[0], environment.reset().observation)
    for t in range(5):
        timestep = environment.step(rows.action[t])
        np.testing.assert_array_equal(rows.observation[t + 1], timestep.observation)
    for received, action in zip(environment.native.received, actions, strict=True):
        chex.assert_trees_all_close(received, action, rtol=1e-5, atol=1e-5)
    assert rows.discount.tolist() == [1, 1, 1, 1, 0, 0] and rows.mask.tolist() == [1] * 5 + [0]
    assert rows.reward.dtype == np.float32 and rows.extras == {}


def assert_same_spec(one, other):
    assert (one.observations.shape, one.observations.dtype) == (
        other.observations.shape,
        other.observations.dtype,
    )
    assert type(one.actions) is type(other.actions) and one.actions == other.actions


FLOATS = spaces.Box(-5, 5, (3,), np.float32)
SPEC = EnvironmentSpec(
    specs.Array((3,), np.float32),
    specs.DiscreteArray(2),
    specs.Array((), np.float32),
    specs.BoundedArray((), np.float32, 0.0, 1.0),
)


def floats(length=5):
    return np.ones((length, 3), np.float32)


def read():
    return list(open_dataset(NAME, SPEC).episodes())


def test_truncation_is_no_termination():
    never = np.zeros(4, bool)
    create(FLOATS, spaces.Discrete(2), [buffer(floats(), np.zeros(4, int), terminations=never)])
    assert read()[0].discount.tolist() == [1, 1, 1, 1, 0]


WRONG = {
    "no final observation": (
        buffer(floats(4), np.zeros(4, int)),
        "episode 0: it has 4 actions and no final observation",
    ),
    "too many observations": (
        buffer(floats(9), np.zeros(4, int)),
        "episode 0: it has 4 actions and 9 observations",
    ),
    "observation not finite": (
        buffer(np.where(np.arange(5)[:, None] == 2, np.nan, floats()), np.zeros(4, int)),
        "the observation of episode 0, step 2, is not finite",
    ),
    "reward not finite": (
        buffer(floats(), np.zeros(4, int), rewards=np.array([0, 1, 2, np.inf])),
        "the reward of episode 0, step 3, is not finite",
    ),
    "action outside": (
        buffer(floats(), np.array([0, 1, 2, 0])),
        r"episode 0: action of step 2 is 2, not in 0\.\.1",
    ),
    "no end of the episode": (
        buffer(floats(), np.zeros(4, int), terminations=np.arange(4) == 1),
        "episode 0: it continues after its termination at step 1",
    ),
    "rewards missing": (
        buffer(floats(), np.zeros(4, int), rewards=np.ones(3)),
        "episode 0: 4 actions, 3 rewards and 4 terminations",
    ),
    "shape": (
        buffer(np.ones((5, 4), np.float32), np.zeros(4, int)),
        r"episode 0: observations are float32\[4\], and their space has the shape \[3\]",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_with_an_episode_is_named(wrong):
    episode, message = WRONG[wrong]
    create(FLOATS, spaces.Discrete(2), [episode])
    with pytest.raises(UserError, match=f"^data set 'test/foreign-v0'[:,] {message}"):
        read()


PARTS = spaces.Dict({"a": spaces.Discrete(3), "b": spaces.Box(-1, 1, (2,), np.float32)})


@pytest.mark.parametrize(
    "actions, message",
    [
        ({"a": np.array([0, 3]), "b": np.zeros((2, 2))}, r"action of step 1 is 3, not in 0\.\.2"),
        ({"a": np.zeros(2, int)}, "actions have no part 'b'"),
        (
            {"a": np.zeros(2, int), "b": np.zeros((2, 3))},
            r"actions\['b'\] must be numbers of the shape \[2\]; got float64\[3\]",
        ),
        (
            {"a": np.zeros(2, int), "b": np.zeros((3, 2))},
            "parts of the actions have 2 and 3 steps",
        ),
        (np.zeros(2, int), "actions have no part 'a'"),
    ],
)
def test_wrong_parts_of_actions_are_named(actions, message):
    spec, label = SPEC._replace(actions=ProductArray((3, 0, 0))), "data set x"
    with pytest.raises(UserError, match=message):
        action_decoder(PARTS, spec, label).decode(actions)


@pytest.mark.parametrize(
    ("observation_space", "action_space", "message"),
    [
        (FLOATS, spaces.Box(-np.inf, np.inf, (2,), np.float32), "has actions Box.*finite bounds"),
        (spaces.Box(-1, 1, (0,)), spaces.Discrete(3), "has empty observations Box"),
        (spaces.Graph(FLOATS, None), spaces.Discrete(3), "has observations Graph"),
    ],
)
def test_unsupported_spaces_are_those_of_the_data_set(
    monkeypatch, observation_space, action_space, message
):
    def stored(name):
        return types.SimpleNamespace(
            name=name, metadata={}, observation_space=observation_space, action_space=action_space
        )

    monkeypatch.setattr(reader, "open_raw", stored)
    discrete = SPEC._replace(actions=specs.DiscreteArray(3))
    with pytest.raises(UserError, match=f"^data set '{NAME}' .*{message}"):
        open_dataset(NAME, discrete._replace(observations=(SPEC.observations,)))


def test_own_choices_are_whole_numbers(root):
    spec = SPEC._replace(actions=ProductArray((3, 0)))
    space = spaces.Box(np.float32([0, -1]), np.float32([2, 1]))
    create(FLOATS, space, [buffer(floats(3), np.float32([[1, 0.5], [0.5, 0.5]]))])
    with pytest.raises(UserError, match="choice 0 of step 1 is 0.5, no whole number from 0 to 2"):
        list(open_dataset(NAME, spec).episodes())


@pytest.mark.parametrize("kept", [0, 100, 0.5, 0.9])
def test_a_truncated_file_is_named(root, kept):
    create(FLOATS, spaces.Discrete(2), [buffer(floats(), np.zeros(4, int)) for _ in range(50)])
    path = root / NAME / "data" / "main_data.hdf5"
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content)) if kept < 1 else kept])
    with pytest.raises(UserError, match="the file is damaged or incomplete: .") as error:
        read()
    assert "\n" not in str(error.value)


def test_own_infos_of_another_length_are_named(root):
    own = {"mukoe": {"extras": {"search_value": np.zeros(4)}}}
    create(FLOATS, spaces.Discrete(2), [buffer(floats(), np.zeros(4, int), infos=own)])
    with pytest.raises(UserError, match=r"it has 4 actions and search_value \[4\]"):
        read()


@pytest.mark.parametrize("key", ["observations", "actions", "rewards", "terminations"])
def test_a_missing_array_is_named(root, key):
    create(FLOATS, spaces.Discrete(2), [buffer(floats(), np.zeros(4, int))])
    with h5py.File(root / NAME / "data" / "main_data.hdf5", "a") as file:
        del file["episode_0"][key]
    with pytest.raises(UserError, match=f"damaged or incomplete: .*{key}"):
        read()


def test_less_episodes_than_the_metadata_promise_are_an_error(root):
    create(FLOATS, spaces.Discrete(2), [buffer(floats(), np.zeros(4, int))])
    edit(root, total_episodes=2)
    with pytest.raises(UserError, match="episode 1: the file is damaged or incomplete"):
        read()


def edit(root, **values):
    path = root / NAME / "data" / "metadata.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


@pytest.mark.parametrize(
    "values, message",
    [
        ({"data_format": "arrow"}, "has the format 'arrow'; supported is 'hdf5'"),
        ({"observation_space": '{"type": "Graph"}'}, "cannot be opened"),
        ({"observation_space": "{"}, "cannot be opened"),
        ({"observation_space": 3}, "cannot be opened"),
        ({"total_episodes": "many"}, "total_episodes must be an integer, not 'many'"),
    ],
)
def test_damaged_metadata_are_named(root, values, message):
    create(FLOATS, spaces.Discrete(2), [buffer(floats(), np.zeros(4, int))])
    edit(root, **values)
    with pytest.raises(UserError, match=message):
        read()


def test_spaces_are_never_taken_from_an_environment(root, monkeypatch):
    """Its registration could name any module."""
    create(FLOATS, spaces.Discrete(2), [buffer(floats(), np.zeros(4, int))])
    path = root / NAME / "data" / "metadata.json"
    metadata = json.loads(path.read_text())
    del metadata["action_space"]
    path.write_text(json.dumps({**metadata, "env_spec": "{}"}))
    monkeypatch.setattr(gymnasium, "make", lambda *_: pytest.fail("an environment was made"))
    with pytest.raises(UserError, match="have no spaces"):
        read()


def test_nothing_is_unpickled(monkeypatch):
    create(FLOATS, spaces.Discrete(2), [buffer(floats(), np.zeros(4, int))])
    for name in ("load", "loads", "Unpickler", "_Unpickler"):
        monkeypatch.setattr(pickle, name, lambda *_, **__: pytest.fail("unpickled"))
    assert len(read()) == 1


@pytest.mark.parametrize("name", ["nothing-v0", "no/thing-v3"])
def test_a_data_set_that_does_not_exist_is_named(name):
    with pytest.raises(UserError, match=f"there is no Minari data set '{name}' in "):
        open_dataset(name, SPEC)


@pytest.mark.parametrize("name", ["", "cartpole", "../x-v0", "/x-v0", "a//b-v0", "a/b-v0/c"])
def test_a_wrong_name_is_refused(name):
    with pytest.raises(UserError, match="is no name of a Minari data set"):
        open_dataset(name, SPEC)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "minari", None)
    with pytest.raises(UserError, match=r"pip install 'mukoe\[datasets\]'"):
        require_minari()


def test_names_are_listed(root):
    create(FLOATS, spaces.Discrete(2), [buffer(floats(), np.zeros(4, int))])
    (root / "test" / ".hidden" / "data").mkdir(parents=True)
    (root / "test" / ".hidden" / "data" / "metadata.json").write_text("{}")
    assert list(dataset_names()) == [NAME]
