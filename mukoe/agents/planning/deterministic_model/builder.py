"""The builder of MuZero and EfficientZero."""

from mukoe.agents.planning.consistency import add_projection
from mukoe.agents.planning.deterministic_model.config import DeterministicModelConfig
from mukoe.agents.planning.deterministic_model.losses import make_loss
from mukoe.agents.planning.deterministic_model.model import muzero_model, prefix_model
from mukoe.agents.planning.learned_model import LearnedModelBuilder
from mukoe.agents.planning.memory import root_spec
from mukoe.environments.spec_checks import check_scalar_rewards
from mukoe.networks.models import MuZeroNetworks, below_the_root, make_muzero_networks
from mukoe.networks.value_prefix import with_value_prefix
from mukoe.search.base import SearchModel
from mukoe.types import EnvironmentSpec, LossFunction, Params


class DeterministicModelBuilder(LearnedModelBuilder[MuZeroNetworks]):
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

    def _make_unroll_loss(self, networks: MuZeroNetworks) -> LossFunction:
        return make_loss(networks, self._config)

    def _search_params(self, params: Params) -> Params:
        return below_the_root(params)
