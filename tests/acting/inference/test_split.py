"""The three places of a policy give the same actions, extras and rows."""

import time

import dm_env
import jax
import numpy as np
import pytest
from dm_env import specs

from mukoe.acting.actor import Actor
from mukoe.acting.inference import (
    InferenceConfig,
    InferenceServer,
    RemoteRunner,
    ServerConnection,
    SplitRunner,
)
from mukoe.acting.inference.parameters import ServerParameters
from mukoe.acting.runners import LocalRunner
from mukoe.acting.variables import VariableClient
from mukoe.agents.muzero.builder import MuZeroBuilder
from mukoe.agents.muzero.config import MuZeroConfig
from mukoe.errors import UserError
from mukoe.networks.config import NetworkConfig
from mukoe.networks.history import HistoryConfig
from mukoe.networks.models import make_muzero_networks
from mukoe.search.config import SearchConfig
from mukoe.types import EnvironmentSpec, MaskedObservation, PolicyParams
from tests.acting.inference.tiny_policy import running

B, T, A = 2, 12, 3
SPEC = EnvironmentSpec(
    observations=MaskedObservation(
        specs.BoundedArray((4, 4, 1), np.uint8, 0, 255), specs.BoundedArray((A,), bool, False, True)
    ),
    actions=specs.DiscreteArray(A),
    rewards=specs.Array((), np.float32),
    discounts=specs.BoundedArray((), np.float32, 0, 1),
)
CONFIG = MuZeroConfig(
    network=NetworkConfig(torso="flat", hidden_sizes=(8,), width=8, head_sizes=()),
    history=HistoryConfig(frames=3, action_planes=True),
    search=SearchConfig(num_simulations=3),
)
KEY = jax.random.PRNGKey(5)
NETWORKS = make_muzero_networks(SPEC, CONFIG.history, CONFIG.network)
POLICY = MuZeroBuilder(CONFIG).make_policy(NETWORKS, SPEC)


CHANGE_AT = 6


def random_params(seed):
    """Weights that make everything depend on the input, as fresh heads (zeros) do not."""
    random = np.random.default_rng(seed)
    return jax.tree.map(
        lambda leaf: random.normal(0.0, 0.7, leaf.shape).astype(np.float32),
        jax.eval_shape(NETWORKS.init, KEY),
    )


class Source:
    """A learner that has made `steps` updates; each version has parameters of its own."""

    versions = {steps: PolicyParams(random_params(steps), np.int32(steps)) for steps in (1, 2)}

    def __init__(self):
        self.steps = 1

    def get_variables(self, names):
        return [self.versions[self.steps]]


class Recorder:
    """Adder that records its calls."""

    def __init__(self):
        self.seen = []

    def add_first(self, timestep):
        self.seen.append(timestep)

    def add(self, action, next_timestep, extras, final_extras=None):
        self.seen.append((action, next_timestep, extras, final_extras))


def make_muzero_server(source, split):
    return InferenceServer(
        POLICY,
        SPEC.observations,
        VariableClient(source),
        KEY,
        InferenceConfig(max_batch_size=B, deadline_ms=1.0),
        max_environments=B,
        smallest_batch=B,
        split=split,
    )


def connect(server):
    connection = ServerConnection([server], "actor", B, InferenceConfig())
    connection.open()
    return connection


def timesteps():
    """Two streams whose episodes end at different steps, one of them twice."""
    random = np.random.default_rng(0)
    lasts = np.zeros((T, B), bool)
    lasts[3, 0] = lasts[7, 0] = lasts[5, 1] = True
    first = True
    for t in range(T):
        legal = random.random((B, A)) < 0.7
        legal[:, 0] |= ~legal.any(axis=1)
        frames = random.integers(0, 256, (B, 4, 4, 1)).astype(np.uint8)
        step_type = np.where(first, 0, np.where(lasts[t], 2, 1)).astype(np.int32)
        first = lasts[t]
        yield dm_env.TimeStep(
            step_type,
            random.random(B).astype(np.float32),
            np.where(lasts[t], 0, 1).astype(np.float32),
            MaskedObservation(frames, legal),
        )


def play(runner, change_parameters):
    """Returns actions `[T, B]`, learner steps `[T]`, and the calls of the adders."""
    adders = [Recorder() for _ in range(B)]
    actor = Actor(runner, adders, ("search_policy", "search_value"))
    actions, steps = [], []
    for t, timestep in enumerate(timesteps()):
        if t == CHANGE_AT:
            change_parameters()
        if t == 0:
            actor.observe_first(timestep)
        else:
            actor.observe(actions[-1], timestep)
        actor.request(timestep.observation)
        actions.append(actor.receive())
        actor.record()
        steps.append(actor.learner_steps)
    return np.stack(actions), steps, [adder.seen for adder in adders]


@pytest.fixture(scope="module")
def played_locally():
    source = Source()
    variables = VariableClient(source, period_updates=0)

    def change():
        source.steps = 2
        variables.update(wait=True)

    return play(LocalRunner(POLICY, variables, KEY, B), change)


def play_remotely(split):
    source = Source()

    def change():
        source.steps = 2
        end = time.monotonic() + 10
        while server._parameters.newest.learner_steps < 2 and time.monotonic() < end:
            time.sleep(0.01)

    with running(make_muzero_server(source, split)) as server:
        connection = connect(server)
        runner = SplitRunner(connection, POLICY, KEY, B) if split else RemoteRunner(connection)
        return play(runner, change)


def assert_same(played, expected):
    np.testing.assert_array_equal(played[0], expected[0])
    # Root and search of a step have one version, and never that of another step.
    assert played[1] == expected[1] == [1] * CHANGE_AT + [2] * (T - CHANGE_AT)
    for mine, theirs in zip(played[2], expected[2], strict=True):
        assert len(mine) == len(theirs) == T
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), mine, theirs)


def test_what_is_compared_varies(played_locally):
    actions, _, seen = played_locally
    assert len(np.unique(actions)) == A
    extras = [step[2] for stream in seen for step in stream[1:] if isinstance(step, tuple)]
    extras = [e for e in extras if isinstance(e, dict)]
    assert np.std([e["search_value"] for e in extras]) > 0.1
    assert np.std([e["search_policy"] for e in extras], axis=0).min() > 0.1


def test_server_gives_what_the_actor_itself_would_have(played_locally):
    assert_same(play_remotely(split=False), played_locally)


def test_split_gives_what_the_actor_itself_would_have(played_locally):
    assert_same(play_remotely(split=True), played_locally)


def test_actors_get_what_a_search_needs_of_the_last_versions():
    source = Source()
    parameters = ServerParameters(
        VariableClient(source), jax.local_devices()[:1], POLICY.split.search_params
    )
    parameters.refresh()
    params = parameters.get(1)
    assert {name.split("/")[0] for name in params.network} == {"prediction", "dynamics"}
    for name, weights in params.network.items():
        jax.tree.map(np.testing.assert_array_equal, weights, Source.versions[1].network[name])
    source.versions = {n: params._replace(learner_steps=np.int32(n)) for n in range(2, 10)}
    for steps in range(2, 10):
        source.steps = steps
        assert parameters.get(1) is params
        parameters.refresh()
    assert parameters.get(9).learner_steps == 9
    with pytest.raises(LookupError, match="update 1 are kept no longer"):
        parameters.get(1)


def test_malformed_previous_action():
    server = make_muzero_server(Source(), split=True)
    server.open_session("actor", B)
    leaves = jax.tree.leaves(next(timesteps()).observation)
    first = np.ones(B, bool)
    for wrong in (None, np.zeros(B), np.zeros(3, np.int32)):
        with pytest.raises(UserError, match=r"previous_action .*, expected int32\[2\]"):
            server.submit("actor", leaves, first, wrong)
