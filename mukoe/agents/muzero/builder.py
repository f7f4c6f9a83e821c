"""The builder of MuZero and Gumbel MuZero."""

from collections.abc import Callable, Iterator
from typing import Any

import chex
import jax
import numpy as np

from mukoe.agents.builder import ActorLearnerBuilder, NetworkCalls
from mukoe.agents.muzero.config import MuZeroConfig
from mukoe.agents.muzero.losses import make_loss
from mukoe.agents.muzero.policy import make_inspector, make_network_calls, make_policy
from mukoe.learning.learner import Learner, Logger
from mukoe.learning.optimizers import make_optimizer
from mukoe.learning.targets import n_step_returns
from mukoe.networks.models import MuZeroNetworks, make_muzero_networks
from mukoe.replay.declaration import ReplayDeclaration
from mukoe.search import Inspector
from mukoe.types import EnvironmentSpec, Policy, Row, Sample


class MuZeroBuilder(ActorLearnerBuilder[MuZeroNetworks]):
    """MuZero (arXiv:1911.08265); Gumbel MuZero with `config.search.algorithm='gumbel'`."""

    def __init__(self, config: MuZeroConfig):
        self._config = config

    def make_networks(self, environment_spec: EnvironmentSpec) -> MuZeroNetworks:
        return make_muzero_networks(environment_spec, self._config.history, self._config.network)

    def make_policy(
        self,
        networks: MuZeroNetworks,
        environment_spec: EnvironmentSpec,
        evaluation: bool = False,
    ) -> Policy:
        return make_policy(networks, environment_spec, self._config, evaluation)

    def make_inspector(
        self, networks: MuZeroNetworks, environment_spec: EnvironmentSpec
    ) -> Inspector | None:
        if self._config.search.num_simulations == 0:
            return None
        return make_inspector(networks, environment_spec, self._config)

    def make_network_calls(
        self, networks: MuZeroNetworks, environment_spec: EnvironmentSpec
    ) -> NetworkCalls | None:
        if self._config.search.num_simulations == 0:
            return None
        return make_network_calls(networks, environment_spec, self._config)

    @property
    def replay(self) -> ReplayDeclaration:
        config = self._config.replay
        loss = self._config.loss
        return ReplayDeclaration(
            sequence_length=loss.unroll_steps + loss.td_steps + 1,
            history=self._config.history.frames - 1,
            capacity=config.capacity,
            min_size=config.min_size,
            batch_size=config.batch_size,
            samples_per_insert=config.samples_per_insert,
            sampler=config.sampler,
            priority_exponent=config.priority_exponent,
            initial_priority=(self._initial_priority if config.sampler == "prioritized" else None),
        )

    def make_learner(
        self,
        random_key: chex.PRNGKey,
        networks: MuZeroNetworks,
        dataset: Iterator[Sample],
        logger_fn: Callable[[], Logger] | None,
        environment_spec: EnvironmentSpec,
        replay_client: Any | None = None,
        counter: Any | None = None,
        prefetch_size: int = 0,
    ) -> Learner:
        del environment_spec
        init_key, loss_key = jax.random.split(random_key)
        return Learner(
            make_loss(networks, self._config),
            make_optimizer(self._config.optimizer),
            networks.init(init_key),
            dataset,
            loss_key,
            target_update=self._config.target_update,
            update_priorities=self._priority_updater(replay_client),
            logger=logger_fn() if logger_fn else None,
            counter=counter,
            prefetch_size=prefetch_size,
        )

    def _initial_priority(self, rows: Row) -> float:
        """`|search value - n-step return|` of the first row (paper, appendix G)."""
        n = self._config.loss.td_steps
        window = slice(0, n + 1)
        values = rows.extras["search_value"][window]
        (target,) = n_step_returns(
            rows.reward[window],
            rows.discount[window],
            rows.mask[window],
            values,
            n,
            self._config.search.discount,
        )
        return float(np.abs(values[0] - target)) + self._config.replay.priority_epsilon
