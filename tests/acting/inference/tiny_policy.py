"""A policy that a test can follow by hand, and servers of it."""

import threading
from contextlib import contextmanager

import jax
import jax.numpy as jnp
import numpy as np
from dm_env import specs

from mukoe.acting.inference import (
    InferenceConfig,
    InferenceServer,
    RemoteRunner,
    ServerConnection,
)
from mukoe.acting.variables import VariableClient
from mukoe.types import Policy, PolicyParams

SPEC = specs.Array((2,), np.float32)


class Source:
    """A learner at update `steps`; its only weight is that number minus 5."""

    def __init__(self, steps=7):
        self.steps = steps

    def get_variables(self, names):
        return [PolicyParams({"w": np.float32(self.steps - 5)}, np.int32(self.steps))]


def make_policy(batches=None):
    """Its memory sums up the episode's observations; the value is `w` times that."""

    def apply(params, key, observation, state):
        del key
        if batches is not None:
            jax.debug.callback(lambda x: batches.append(np.array(x)), observation)
        state = state + observation
        value = params.network["w"] * state.sum(-1)
        action = value.astype(jnp.int32) % 5
        return action, {"value": value}, state

    return Policy(
        apply=apply,
        initial_state=lambda batch_size: jnp.zeros((batch_size, 2)),
        extras_spec={"value": specs.Array((), np.float32)},
    )


def make_server(max_environments=8, policy=None, source=None, **config):
    options = {"max_batch_size": 4, "deadline_ms": 2.0, "timeout_seconds": 20.0} | config
    return InferenceServer(
        policy or make_policy(),
        SPEC,
        VariableClient(source or Source()),
        jax.random.PRNGKey(0),
        InferenceConfig(**options),
        max_environments,
    )


@contextmanager
def running(server):
    stop = threading.Event()
    thread = threading.Thread(target=server.run, args=(stop.is_set,))
    thread.start()
    try:
        assert any(server.wait_until_ready() for _ in range(60))
        yield server
    finally:
        stop.set()
        thread.join(20)
        assert not thread.is_alive()


def make_runner(*servers, name="actor", num_envs=1, should_stop=lambda: False, **config):
    options = {"timeout_seconds": 20.0, "give_up_seconds": 20.0} | config
    connection = ServerConnection(servers, name, num_envs, InferenceConfig(**options), should_stop)
    connection.open()
    return RemoteRunner(connection)


def observations(seed, steps, num_envs):
    return np.random.default_rng(seed).normal(size=(steps, num_envs, 2)).astype(np.float32)


def expected_values(frames, is_first, weight=2.0):
    """Values `[T, B]` of one session, by hand in NumPy."""
    total = np.zeros(frames.shape[1:], np.float32)
    values = []
    for frame, first in zip(frames, is_first, strict=True):
        total = np.where(first[:, None], 0, total) + frame
        values.append(weight * total.sum(-1))
    return np.stack(values)
