"""The three places of a policy give the same actions, extras and rows, over every transport."""

import contextlib
import functools
import re
import time
from typing import NamedTuple

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
from mukoe.agents.muzero.config import MuZeroConfig
from mukoe.agents.planning.memory import ReplayedMemoryConfig
from mukoe.errors import UserError
from mukoe.networks.config import NetworkConfig
from mukoe.networks.history import HistoryConfig
from mukoe.search.config import SearchConfig
from mukoe.types import EnvironmentSpec, MaskedObservation, Policy, PolicyParams, ProductArray
from tests.acting.inference.tiny_policy import running

B, T, A, K = 2, 12, 3, 4
CHANGE_AT = 6
KEY = jax.random.PRNGKey(5)
FRAMES = specs.BoundedArray((4, 4, 1), np.uint8, 0, 255)


class Case(NamedTuple):
    """A policy, the observations that it takes, and its parameters by learner step."""

    policy: Policy
    observations: specs.Array | MaskedObservation
    versions: dict[int, PolicyParams]


def make_case(observations, actions, history, search, memory=None):
    config = MuZeroConfig(
        network=NetworkConfig(torso="flat", hidden_sizes=(8,), width=8, head_sizes=()),
        history=history,
        search=search,
        memory=memory or ReplayedMemoryConfig(),
    )
    spec = EnvironmentSpec(
        observations=observations,
        actions=actions,
        rewards=specs.Array((), np.float32),
        discounts=specs.BoundedArray((), np.float32, 0, 1),
    )
    builder = config.make_builder()
    networks = builder.make_networks(spec)
    versions = {n: PolicyParams(random_params(networks, n), np.int32(n)) for n in (1, 2)}
    return Case(builder.make_policy(networks, spec), observations, versions)


def random_params(networks, seed):
    """Weights that make everything depend on the input, as fresh heads (zeros) do not."""
    random = np.random.default_rng(seed)
    return jax.tree.map(
        lambda leaf: random.normal(0.0, 0.7, leaf.shape).astype(np.float32),
        jax.eval_shape(networks.init, KEY),
    )


@functools.cache
def search_over_all_actions():
    return make_case(
        MaskedObservation(FRAMES, specs.BoundedArray((A,), bool, False, True)),
        specs.DiscreteArray(A),
        HistoryConfig(frames=3, action_planes=True),
        SearchConfig(num_simulations=3),
    )


@functools.cache
def search_over_candidates():
    """Actions are a choice and a real number."""
    return make_case(
        FRAMES,
        ProductArray((A, 0)),
        HistoryConfig(frames=3),
        SearchConfig(algorithm="gumbel", num_candidates=K, num_simulations=3),
    )


@functools.cache
def search_behind_memory(core):
    """Roots are the output of a memory, whose state is where the representation is."""
    return make_case(
        FRAMES,
        specs.DiscreteArray(A),
        HistoryConfig(frames=2),
        SearchConfig(num_simulations=3),
        ReplayedMemoryConfig(core=core, size=8, window=3, blocks=1, heads=2),
    )


@pytest.fixture(
    scope="module",
    params=[
        search_over_all_actions,
        search_over_candidates,
        functools.partial(search_behind_memory, "lstm"),
        pytest.param(
            functools.partial(search_behind_memory, "transformer"), marks=pytest.mark.slow
        ),
    ],
    ids=["all_actions", "candidates", "lstm", "transformer"],
)
def case(request):
    return request.param()


class Source:
    """A learner that has made `steps` updates; each version has parameters of its own."""

    def __init__(self, case):
        self.versions, self.steps = case.versions, 1

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


def make_muzero_server(case, source, split):
    return InferenceServer(
        case.policy,
        case.observations,
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


def timesteps(case):
    """Two streams whose episodes end at different steps, one of them twice."""
    random = np.random.default_rng(0)
    lasts = np.zeros((T, B), bool)
    lasts[3, 0] = lasts[7, 0] = lasts[5, 1] = True
    first = True
    for t in range(T):
        legal = random.random((B, A)) < 0.7
        legal[:, 0] |= ~legal.any(axis=1)
        frames = random.integers(0, 256, (B, 4, 4, 1)).astype(np.uint8)
        is_masked = isinstance(case.observations, MaskedObservation)
        step_type = np.where(first, 0, np.where(lasts[t], 2, 1)).astype(np.int32)
        first = lasts[t]
        yield dm_env.TimeStep(
            step_type,
            random.random(B).astype(np.float32),
            np.where(lasts[t], 0, 1).astype(np.float32),
            MaskedObservation(frames, legal) if is_masked else frames,
        )


def play(case, runner, change_parameters):
    """Returns actions `[T, B, ...]`, learner steps `[T]`, and the calls of the adders."""
    adders = [Recorder() for _ in range(B)]
    actor = Actor(runner, adders, tuple(case.policy.extras_spec))
    actions, steps = [], []
    for t, timestep in enumerate(timesteps(case)):
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
def played_locally(case):
    source = Source(case)
    variables = VariableClient(source, period_updates=0)

    def change():
        source.steps = 2
        variables.update(wait=True)

    return play(case, LocalRunner(case.policy, variables, KEY, B), change)


SERVED = ("wait_until_ready", "open_session", "submit", "act", "get_parameters")


@contextlib.contextmanager
def over_zeromq(server, folder):
    """Client of a server behind a Unix socket."""
    from mukoe.layouts.distributed.runtimes.zeromq.client import Client
    from mukoe.layouts.distributed.runtimes.zeromq.endpoints import Endpoint, digest
    from mukoe.layouts.distributed.runtimes.zeromq.server import Server

    endpoint = Endpoint(f"ipc://{folder}/node", digest("run"))
    methods = {name: getattr(server, name) for name in SERVED}
    methods["act"] = methods.pop("submit")
    serving = contextlib.closing(Server(endpoint, {}, methods))
    with serving, contextlib.closing(Client(endpoint, 20)) as client:
        yield client


@contextlib.contextmanager
def over_courier(server, folder):
    """Client of a server behind courier."""
    import courier

    served = courier.Server("inference")
    for name in SERVED:
        served.Bind(name, getattr(server, name))
    served.Start()
    yield courier.Client(f"localhost:{served.port}")
    served.Stop()


def play_remotely(case, split, over=contextlib.nullcontext):
    source = Source(case)

    def change():
        source.steps = 2
        end = time.monotonic() + 10
        while server._parameters.newest.learner_steps < 2 and time.monotonic() < end:
            time.sleep(0.01)

    with running(make_muzero_server(case, source, split)) as server, over(server) as client:
        connection = connect(client)
        runner = SplitRunner(connection, case.policy, KEY, B) if split else RemoteRunner(connection)
        return play(case, runner, change)


def assert_same(played, expected):
    np.testing.assert_allclose(played[0], expected[0], rtol=1e-5)
    # Root and search of a step have one version, and never that of another step.
    assert played[1] == expected[1] == [1] * CHANGE_AT + [2] * (T - CHANGE_AT)
    for mine, theirs in zip(played[2], expected[2], strict=True):
        assert len(mine) == len(theirs) == T
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), mine, theirs)


def recorded_extras(played):
    steps = [step[2] for stream in played[2] for step in stream[1:] if isinstance(step, tuple)]
    extras = [extras for extras in steps if isinstance(extras, dict)]
    return {name: np.stack([each[name] for each in extras]) for name in extras[0]}


def test_what_is_compared_varies(case, played_locally):
    actions, extras = played_locally[0], recorded_extras(played_locally)
    assert len(np.unique(actions.reshape(T, B, -1)[..., 0])) == A
    assert set(extras) == set(case.policy.extras_spec)
    assert np.std(extras["search_value"]) > 0.1
    assert np.std(extras["search_policy"], axis=0).min() > 0.1


@pytest.mark.parametrize("case", [search_over_candidates], indirect=True)
def test_rows_hold_the_candidates_with_the_action_among_them(played_locally):
    steps = [step for stream in played_locally[2] for step in stream if len(step) == 4]
    steps = [step for step in steps if isinstance(step[2], dict)]
    assert steps
    for action, _, extras, _ in steps:
        assert extras["search_candidates"].shape == (K, 2)
        assert (extras["search_candidates"] == action).all(axis=-1).any()


def test_server_gives_what_the_actor_itself_would_have(case, played_locally):
    assert_same(play_remotely(case, split=False), played_locally)


def test_split_gives_what_the_actor_itself_would_have(case, played_locally):
    assert_same(play_remotely(case, split=True), played_locally)


@pytest.mark.parametrize("case", [search_over_all_actions], indirect=True)
@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize(
    "transport", [over_zeromq, pytest.param(over_courier, marks=pytest.mark.distributed)]
)
def test_runtimes_transmit_what_the_actor_itself_would_have(
    case, played_locally, transport, split, tmp_path
):
    over = functools.partial(transport, folder=tmp_path)
    assert_same(play_remotely(case, split, over), played_locally)


def test_actors_get_what_a_search_needs_of_the_last_versions(case):
    source = Source(case)
    parameters = ServerParameters(
        VariableClient(source), jax.local_devices()[:1], case.policy.split.search_params
    )
    parameters.refresh()
    params = parameters.get(1)
    assert {name.split("/")[0] for name in params.network} == {"prediction", "dynamics"}
    for name, weights in params.network.items():
        jax.tree.map(np.testing.assert_array_equal, weights, case.versions[1].network[name])
    source.versions = {n: params._replace(learner_steps=np.int32(n)) for n in range(2, 10)}
    for steps in range(2, 10):
        source.steps = steps
        assert parameters.get(1) is params
        parameters.refresh()
    assert parameters.get(9).learner_steps == 9
    with pytest.raises(LookupError, match="update 1 are kept no longer"):
        parameters.get(1)


def test_malformed_previous_action(case):
    server = make_muzero_server(case, Source(case), split=True)
    server.open_session("actor", B)
    leaves = jax.tree.leaves(next(timesteps(case)).observation)
    first = np.ones(B, bool)
    action = case.policy.split.action_spec
    expected = f"{action.dtype}[{','.join(map(str, (B, *action.shape)))}]"
    for wrong in (None, np.zeros(B), np.zeros(3, np.int32)):
        with pytest.raises(UserError, match=r"previous_action .*, expected " + re.escape(expected)):
            server.submit("actor", leaves, first, wrong)
