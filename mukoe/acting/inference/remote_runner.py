"""Runners that use inference servers; the counterparts of `LocalRunner`."""

from collections.abc import Callable
from typing import Any

import chex
import jax
import numpy as np

from mukoe.acting.inference.connection import Inputs, ServerConnection
from mukoe.acting.inference.requests import Answer
from mukoe.acting.runners import Actions
from mukoe.types import Array, Nest, Policy, PolicyParams, split_legal_actions


class RemoteRunner:
    """Runner of actions from a server that runs the whole policy."""

    def __init__(self, connection: ServerConnection):
        """Stores the connection, which must be opened before the first `submit`."""
        self._connection = connection
        self._learner_steps = 0

    def submit(self, observation: Nest, is_first: np.ndarray) -> Callable[[], Actions]:
        return self._connection.request(
            Inputs(jax.tree.leaves(observation), is_first), self._finish
        )

    def _finish(self, server: Any, answer: Answer) -> Actions:
        del server
        self._learner_steps = answer.learner_steps
        return answer.result

    def update(self, wait: bool = False) -> None:
        """Does nothing: the server holds the parameters."""

    @property
    def learner_steps(self) -> int:
        return self._learner_steps


class SplitRunner:
    """Runner of searches on this process's CPU, with roots from a server.

    Root and search use the same version of the parameters: an answer names its version, and the
    runner fetches the search parameters of this version from the same server.
    """

    def __init__(
        self,
        connection: ServerConnection,
        policy: Policy,
        random_key: chex.PRNGKey,
        num_envs: int,
    ):
        """Makes a runner.

        Args:
          connection: connection to split servers, opened before the first `submit`.
          policy: policy with parts, the same as on the servers.
          random_key: key of the actions.
          num_envs: number of environments.
        """
        assert policy.split is not None, "this policy has no parts"
        self._connection = connection
        self._search = jax.jit(_make_search(policy.split.search))
        self._device = jax.local_devices(backend="cpu")[0]
        self._key = jax.device_put(random_key, self._device)
        self._steps = 0
        action = policy.split.action_spec
        self._previous_action = np.zeros((num_envs, *action.shape), action.dtype)
        self._params: PolicyParams | None = None
        self._learner_steps = 0

    def submit(self, observation: Nest, is_first: np.ndarray) -> Callable[[], Actions]:
        inputs = Inputs(jax.tree.leaves(observation), is_first, self._previous_action)
        get_root = self._connection.request(inputs, self._finish)
        _, legal_actions = split_legal_actions(observation)

        def wait() -> Actions:
            root = get_root()
            action, extras = self._search(self._params, self._key, self._steps, root, legal_actions)
            self._steps += 1
            self._previous_action = np.asarray(action)
            return self._previous_action, jax.tree.map(np.asarray, dict(extras))

        return wait

    def _finish(self, server: Any, answer: Answer) -> Nest:
        if self._params is None or answer.learner_steps != self._learner_steps:
            params = self._connection.call(server, "get_parameters", answer.learner_steps)
            self._params = jax.device_put(params, self._device)
            self._learner_steps = answer.learner_steps
        return answer.result

    def update(self, wait: bool = False) -> None:
        """Does nothing: parameters are fetched when an answer names a new version."""

    @property
    def learner_steps(self) -> int:
        return self._learner_steps


def _make_search(search: Callable) -> Callable:
    def step(
        params: PolicyParams,
        key: chex.PRNGKey,
        step: Array,
        root: Nest,
        legal_actions: Array | None,
    ) -> tuple[Array, Any]:
        return search(params, jax.random.fold_in(key, step), root, legal_actions)

    return step
