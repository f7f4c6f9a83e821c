"""The builder of Muesli."""

from collections.abc import Callable, Iterator
from typing import Any

import chex
import jax

from mukoe.agents.builder import ActorLearnerBuilder, MemoryUse
from mukoe.agents.muesli.cmpo import MovingSecondMoment
from mukoe.agents.muesli.config import MuesliConfig
from mukoe.agents.muesli.losses import make_loss
from mukoe.agents.muesli.policy import make_policy
from mukoe.learning.learner import Learner, Logger
from mukoe.learning.optimizers import make_optimizer
from mukoe.networks.models import MuZeroNetworks, make_muzero_networks
from mukoe.replay.declaration import ReplayDeclaration
from mukoe.types import EnvironmentSpec, Params, Policy, Sample, plays_in_turns


class MuesliBuilder(ActorLearnerBuilder[MuZeroNetworks]):
    """Muesli (arXiv:2104.06159): MuZero's model, and no search."""

    def __init__(self, config: MuesliConfig):
        self._config = config

    def make_networks(self, environment_spec: EnvironmentSpec) -> MuZeroNetworks:
        return make_muzero_networks(
            environment_spec, self._config.history, self._config.network, continuous_actions=True
        )

    def make_policy(
        self,
        networks: MuZeroNetworks,
        environment_spec: EnvironmentSpec,
        evaluation: bool = False,
    ) -> Policy:
        return make_policy(networks, environment_spec, self._config, evaluation)

    @property
    def replay(self) -> ReplayDeclaration:
        config = self._config.replay
        steps = self._config.loss.sequence_length
        return ReplayDeclaration(
            sequence_length=steps + 1,
            period=steps,
            history=self._config.history.frames - 1,
            capacity=config.capacity,
            min_size=config.min_size,
            batch_size=config.batch_size,
            samples_per_insert=config.samples_per_insert,
            online_fraction=config.online_fraction,
        )

    def memory_use(
        self, networks: MuZeroNetworks, params: Params, environment_spec: EnvironmentSpec
    ) -> MemoryUse:
        """The targets of every unroll, and the actions that are drawn."""
        del networks, params, environment_spec
        loss, network = self._config.loss, self._config.network
        bins = network.value_support.num_bins + network.reward_support.num_bins
        each_step = bins * (loss.unroll_steps + 1) + loss.num_samples
        return MemoryUse(learning=4 * loss.sequence_length * each_step)

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
        del replay_client
        init_key, loss_key = jax.random.split(random_key)
        return Learner(
            make_loss(networks, self._config, plays_in_turns(environment_spec)),
            make_optimizer(self._config.optimizer),
            networks.init(init_key),
            dataset,
            loss_key,
            target_update=self._config.target_update,
            loss_state=MovingSecondMoment.zero(),
            logger=logger_fn() if logger_fn else None,
            counter=counter,
            prefetch_size=prefetch_size,
        )
