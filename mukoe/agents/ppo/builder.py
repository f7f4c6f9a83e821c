"""The builder of PPO."""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any

import chex
import jax

from mukoe.acting.rollouts import RolloutDeclaration
from mukoe.agents.builder import ActorLearnerBuilder, MemoryUse
from mukoe.agents.ppo.config import PPOConfig
from mukoe.agents.ppo.losses import make_loss, make_prepare
from mukoe.agents.ppo.networks import PPONetworks, make_ppo_networks
from mukoe.agents.ppo.policy import make_policy
from mukoe.configuration.bounds import LARGEST_COUNT
from mukoe.errors import UserError
from mukoe.learning.epochs import EpochsConfig, update_in_epochs
from mukoe.learning.learner import Learner, Logger, TargetUpdateConfig
from mukoe.learning.optimizers import OptimizerConfig, make_optimizer
from mukoe.networks.history import input_spec
from mukoe.replay.declaration import ReplayDeclaration
from mukoe.types import EnvironmentSpec, Params, Policy, Sample, num_bytes, split_legal_actions


class PPOBuilder(ActorLearnerBuilder[PPONetworks]):
    """PPO (arXiv:1707.06347)."""

    def __init__(self, config: PPOConfig, num_updates: int | None = None):
        """Takes the config.

        Args:
          config: of the agent.
          num_updates: of the whole run, over which the learning rate falls; None keeps it.
        """
        self._config = config
        self._num_updates = num_updates

    def for_updates(self, num_updates: int) -> "PPOBuilder":
        steps = num_updates * self._config.epochs * self._config.minibatches
        if self._config.anneal_lr and steps > LARGEST_COUNT:
            raise UserError(
                f"the learning rate cannot fall over {steps} gradient steps: at most "
                f"{LARGEST_COUNT} are counted; lower run.max_actor_steps, or set "
                "agent.anneal_lr=false"
            )
        return PPOBuilder(self._config, num_updates)

    @property
    def optimizer(self) -> OptimizerConfig:
        """The optimiser; its schedule counts gradient steps, several for each update."""
        config = self._config
        if not config.anneal_lr or self._num_updates is None:
            return config.optimizer
        steps = self._num_updates * config.epochs * config.minibatches
        return dataclasses.replace(config.optimizer, schedule="linear", decay_steps=steps)

    def make_networks(self, environment_spec: EnvironmentSpec) -> PPONetworks:
        return make_ppo_networks(environment_spec, self._config.history, self._config.network)

    def make_policy(
        self,
        networks: PPONetworks,
        environment_spec: EnvironmentSpec,
        evaluation: bool = False,
    ) -> Policy:
        return make_policy(networks, environment_spec, self._config, evaluation)

    @property
    def replay(self) -> ReplayDeclaration:
        raise UserError(
            "PPO learns from what it has just played and keeps no replay; use --layout=sebulba"
        )

    @property
    def rollout(self) -> RolloutDeclaration:
        return RolloutDeclaration(self._config.rollout_steps, self._config.history.frames - 1)

    def memory_use(
        self, networks: PPONetworks, params: Params, environment_spec: EnvironmentSpec
    ) -> MemoryUse:
        """The inputs of the network."""
        del networks, params
        features, _ = split_legal_actions(environment_spec.observations)
        spec = input_spec(features, self._config.history)
        return MemoryUse(learning=self._config.rollout_steps * num_bytes(spec))

    def make_learner(
        self,
        random_key: chex.PRNGKey,
        networks: PPONetworks,
        dataset: Iterator[Sample],
        logger_fn: Callable[[], Logger] | None,
        environment_spec: EnvironmentSpec,
        replay_client: Any | None = None,
        counter: Any | None = None,
        prefetch_size: int = 0,
    ) -> Learner:
        del environment_spec, replay_client
        config = self._config
        init_key, loss_key = jax.random.split(random_key)
        in_loop = jax.default_backend() != "cpu" or not networks.has_convolutions
        epochs = EpochsConfig(config.epochs, config.minibatches, unroll=not in_loop)
        return Learner(
            make_loss(networks, config.loss),
            make_optimizer(self.optimizer),
            networks.init(init_key),
            dataset,
            loss_key,
            target_update=TargetUpdateConfig(period=1, rate=1.0),
            logger=logger_fn() if logger_fn else None,
            counter=counter,
            prefetch_size=prefetch_size,
            update=functools.partial(update_in_epochs, make_prepare(networks, config), epochs),
        )
