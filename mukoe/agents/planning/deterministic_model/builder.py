"""The builder of MuZero and EfficientZero."""

from mukoe.agents.builder import LearnerSettings
from mukoe.agents.planning.builder import PlanningBuilder
from mukoe.agents.planning.consistency import add_projection
from mukoe.agents.planning.deterministic_model.config import DeterministicModelConfig
from mukoe.agents.planning.deterministic_model.losses import make_loss
from mukoe.agents.planning.deterministic_model.model import muzero_model, prefix_model
from mukoe.agents.planning.memory import root_spec
from mukoe.agents.planning.observations import (
    with_statistics_loss,
    with_statistics_optimizer,
)
from mukoe.agents.planning.symmetries import training_symmetries, with_random_symmetries
from mukoe.environments.spec_checks import check_scalar_rewards
from mukoe.networks.models import MuZeroNetworks, make_muzero_networks, without_representation
from mukoe.networks.value_prefix import with_value_prefix
from mukoe.search.base import SearchModel
from mukoe.types import EnvironmentSpec, LossFunction, Params


class DeterministicModelBuilder(PlanningBuilder[MuZeroNetworks]):
    """Builder of MuZero (arXiv:1911.08265) and EfficientZero (arXiv:2111.00210)."""

    _config: DeterministicModelConfig

    def make_networks(self, environment_spec: EnvironmentSpec) -> MuZeroNetworks:
        config = self._config
        if config.value_prefix.lstm_size or config.search.num_candidates:
            check_scalar_rewards(environment_spec, "MuZero with a value prefix or with candidates")
        networks = make_muzero_networks(
            environment_spec,
            config.history,
            config.network,
            continuous_actions=config.search.num_candidates > 0,
            memory_config=config.memory,
        )
        spec = root_spec(networks.memory, environment_spec, config.history)
        if config.value_prefix.lstm_size:
            networks = with_value_prefix(
                networks,
                spec,
                config.network.reward_support.num_bins,
                config.network.head_sizes,
                config.value_prefix,
            )
        return add_projection(networks, spec, config.consistency)

    @property
    def _observed_states(self) -> int:
        return self._config.observed_states

    def make_model(
        self, networks: MuZeroNetworks, environment_spec: EnvironmentSpec
    ) -> SearchModel:
        make_model = prefix_model if networks.value_prefix else muzero_model
        return make_model(networks, environment_spec, self._config.discount)

    def make_loss(
        self, networks: MuZeroNetworks, environment_spec: EnvironmentSpec
    ) -> LossFunction:
        config = self._config
        loss = with_statistics_loss(
            make_loss(networks, config), networks, config.history, config.network
        )
        symmetries = training_symmetries(
            environment_spec, config.augmentation, config.search, networks.memory is not None
        )
        loss = with_random_symmetries(loss, symmetries)
        return self.with_reanalysis(loss, networks, environment_spec)

    def learner_settings(self, networks: MuZeroNetworks) -> LearnerSettings:
        return with_statistics_optimizer(super().learner_settings(networks), self._config.network)

    def _search_params(self, params: Params) -> Params:
        return without_representation(params)
