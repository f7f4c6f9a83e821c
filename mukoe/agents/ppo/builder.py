"""The builder of PPO."""

import functools

import jax
import optax

from mukoe.acting.rollouts import RolloutDeclaration, no_memory
from mukoe.agents.builder import ActorLearnerBuilder, LearnerSettings
from mukoe.agents.extensions import MemoryUse
from mukoe.agents.ppo.config import PPOConfig
from mukoe.agents.ppo.losses import make_loss, make_prepare
from mukoe.agents.ppo.networks import PPONetworks, make_ppo_networks
from mukoe.agents.ppo.novelty import (
    NoveltyState,
    make_novelty_update,
    with_novelty,
    with_novelty_loss,
)
from mukoe.agents.ppo.observations import with_statistics
from mukoe.agents.ppo.policy import PPOState, make_policy
from mukoe.configuration.bounds import LARGEST_COUNT
from mukoe.environments.spec_checks import check_scalar_rewards
from mukoe.errors import UserError
from mukoe.learning.epochs import EpochsConfig, update_in_epochs
from mukoe.learning.optimizers import anneal_over_agent_steps, make_optimizer
from mukoe.learning.update import TargetUpdateConfig, UpdateFunction
from mukoe.networks.history import network_input_spec
from mukoe.networks.observation_statistics import keep_statistics
from mukoe.replay.declaration import ReplayDeclaration
from mukoe.types import (
    EnvironmentSpec,
    LossFunction,
    Nest,
    Params,
    Policy,
    num_bytes,
)


class PPOBuilder(ActorLearnerBuilder[PPONetworks]):
    """PPO (arXiv:1707.06347)."""

    def __init__(self, config: PPOConfig, num_steps: int | None = None):
        """Builds the builder.

        Args:
          config: configuration of the agent.
          num_steps: number of agent steps of the run, over which the learning rate is annealed;
            None for a constant learning rate.
        """
        self._config = config
        self._num_steps = num_steps

    def for_agent_steps(self, num_steps: int) -> "PPOBuilder":
        if self._config.anneal_lr and num_steps > LARGEST_COUNT:
            raise UserError(
                f"the learning rate cannot fall over {num_steps} agent steps: at most "
                f"{LARGEST_COUNT} are counted; lower run.max_actor_steps, or set "
                "agent.anneal_lr=false"
            )
        return PPOBuilder(self._config, num_steps)

    def make_networks(self, environment_spec: EnvironmentSpec) -> PPONetworks:
        check_scalar_rewards(environment_spec, "PPO")
        config = self._config
        networks = make_ppo_networks(
            environment_spec, config.history, config.network, config.memory
        )
        return with_novelty(networks, network_input_spec(environment_spec, config.history), config)

    def make_policy(
        self,
        networks: PPONetworks,
        environment_spec: EnvironmentSpec,
        evaluation: bool = False,
    ) -> Policy:
        return make_policy(networks, environment_spec, self._config, evaluation)

    @property
    def replay(self) -> ReplayDeclaration:
        raise UserError("PPO is on-policy and has no replay; use --layout=sebulba")

    @property
    def rollout(self) -> RolloutDeclaration:
        config, has_memory = self._config, self._has_memory
        return RolloutDeclaration(
            config.rollout_steps,
            config.history.frames - 1,
            memory=_memory_of if has_memory else no_memory,
            env_groups=config.minibatches if has_memory else 1,
        )

    @property
    def _has_memory(self) -> bool:
        return self._config.memory.core != "none"

    def memory_use(
        self, networks: PPONetworks, params: Params, environment_spec: EnvironmentSpec
    ) -> MemoryUse:
        """Returns the bytes of the network inputs of a rollout."""
        del networks, params
        spec = network_input_spec(environment_spec, self._config.history)
        return MemoryUse(learning=self._config.rollout_steps * num_bytes(spec))

    def make_loss(self, networks: PPONetworks, environment_spec: EnvironmentSpec) -> LossFunction:
        del environment_spec
        loss, config = make_loss(networks, self._config.loss), self._config
        if networks.novelty is None:
            return loss
        return with_novelty_loss(loss, networks.novelty, config.novelty, config.loss.value_weight)

    def learner_settings(self, networks: PPONetworks) -> LearnerSettings:
        config = self._config
        in_loop = jax.default_backend() != "cpu" or not networks.has_convolutions
        epochs = EpochsConfig(
            config.epochs, config.minibatches, unroll=not in_loop, whole_rollouts=self._has_memory
        )
        optimizer = make_optimizer(config.optimizer)
        if config.anneal_lr and self._num_steps is not None:
            optimizer = optax.chain(optimizer, anneal_over_agent_steps(self._num_steps))
        if config.network.normalize_observations:
            optimizer = keep_statistics(optimizer)
        update: UpdateFunction
        if networks.novelty is None:
            update = functools.partial(update_in_epochs, make_prepare(networks, config), epochs)
        else:
            update = make_novelty_update(networks, config, epochs)
        return LearnerSettings(
            optimizer,
            TargetUpdateConfig(period=1, rate=1.0),
            loss_state=NoveltyState.zero(config.novelty) if networks.novelty else (),
            update=with_statistics(update, networks, config),
        )


def _memory_of(state: PPOState) -> Nest:
    return state.memory
