"""The builder of Muesli."""

from mukoe.agents.builder import ActorLearnerBuilder, LearnerSettings
from mukoe.agents.extensions import MemoryUse
from mukoe.agents.muesli.cmpo import MovingSecondMoment
from mukoe.agents.muesli.config import MuesliConfig
from mukoe.agents.muesli.losses import make_loss
from mukoe.agents.muesli.policy import make_policy
from mukoe.agents.planning.observations import (
    with_statistics_loss,
    with_statistics_optimizer,
)
from mukoe.environments.spec_checks import check_scalar_rewards
from mukoe.learning.optimizers import make_optimizer
from mukoe.networks.models import MuZeroNetworks, make_muzero_networks
from mukoe.replay.declaration import ReplayDeclaration
from mukoe.types import EnvironmentSpec, LossFunction, Params, Policy, plays_in_turns


class MuesliBuilder(ActorLearnerBuilder[MuZeroNetworks]):
    """Muesli (arXiv:2104.06159): MuZero's model, and no search."""

    def __init__(self, config: MuesliConfig):
        self._config = config

    def make_networks(self, environment_spec: EnvironmentSpec) -> MuZeroNetworks:
        check_scalar_rewards(environment_spec, "Muesli")
        return make_muzero_networks(
            environment_spec,
            self._config.history,
            self._config.network,
            continuous_actions=True,
            memory_config=self._config.memory,
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
            history=self._config.leading_rows,
            capacity=config.capacity,
            min_size=config.min_size,
            batch_size=config.batch_size,
            samples_per_insert=config.samples_per_insert,
            online_fraction=config.online_fraction,
        )

    def memory_use(
        self, networks: MuZeroNetworks, params: Params, environment_spec: EnvironmentSpec
    ) -> MemoryUse:
        """Returns the bytes of the targets and of the sampled actions of every unroll."""
        del networks, params, environment_spec
        loss, network = self._config.loss, self._config.network
        bins = network.value_support.num_bins + network.reward_support.num_bins
        each_step = bins * (loss.unroll_steps + 1) + loss.num_samples
        return MemoryUse(learning=4 * loss.sequence_length * each_step)

    def make_loss(
        self, networks: MuZeroNetworks, environment_spec: EnvironmentSpec
    ) -> LossFunction:
        config = self._config
        loss = make_loss(networks, config, plays_in_turns(environment_spec))
        return with_statistics_loss(loss, networks, config.history, config.network)

    def learner_settings(self, networks: MuZeroNetworks) -> LearnerSettings:
        del networks
        settings = LearnerSettings(
            make_optimizer(self._config.optimizer),
            self._config.target_update,
            loss_state=MovingSecondMoment.zero(),
        )
        return with_statistics_optimizer(settings, self._config.network)
