"""The builder of Stochastic MuZero."""

from mukoe.agents.extensions import Unroll
from mukoe.agents.planning.consistency import add_projection
from mukoe.agents.planning.learned_model import LearnedModelBuilder
from mukoe.agents.planning.memory import root_spec
from mukoe.agents.stochastic_muzero.config import StochasticMuZeroConfig
from mukoe.agents.stochastic_muzero.losses import make_loss
from mukoe.agents.stochastic_muzero.model import decisions_and_chance, stochastic_muzero_model
from mukoe.agents.stochastic_muzero.networks import (
    ENCODER,
    StochasticMuZeroNetworks,
    make_stochastic_muzero_networks,
)
from mukoe.agents.stochastic_muzero.unroll import make_unroll
from mukoe.environments.spec_checks import check_scalar_rewards
from mukoe.networks.models import below_the_root
from mukoe.search.base import SearchModel
from mukoe.search.candidates import make_sampler
from mukoe.types import EnvironmentSpec, LossFunction, Params


class StochasticMuZeroBuilder(LearnedModelBuilder[StochasticMuZeroNetworks]):
    """Stochastic MuZero (Antonoglou et al., ICLR 2022), with PUCT or Gumbel search."""

    _config: StochasticMuZeroConfig

    @property
    def _observed_states(self) -> int:
        # The encoder reads the observation after each action of the unroll.
        return self._config.loss.unroll_steps + 1

    def make_networks(self, environment_spec: EnvironmentSpec) -> StochasticMuZeroNetworks:
        check_scalar_rewards(environment_spec, "Stochastic MuZero")
        networks = make_stochastic_muzero_networks(
            environment_spec,
            self._config.history,
            self._config.network,
            self._config.chance,
            continuous_actions=self._config.search.num_candidates > 0,
            memory_config=self._config.memory,
        )
        spec = root_spec(networks.memory, environment_spec, self._config.history)
        return add_projection(networks, spec, self._config.consistency)

    def make_unroll(
        self, networks: StochasticMuZeroNetworks, environment_spec: EnvironmentSpec
    ) -> Unroll:
        model = decisions_and_chance(networks, environment_spec, self._config.discount)
        return make_unroll(networks, model, self._config)

    def make_model(
        self, networks: StochasticMuZeroNetworks, environment_spec: EnvironmentSpec
    ) -> SearchModel:
        return stochastic_muzero_model(
            networks,
            environment_spec,
            self._config.discount,
            self._config.chance.sample_outcomes,
            make_sampler(networks.action_space, self._config.search),
        )

    def _search_model(
        self, networks: StochasticMuZeroNetworks, environment_spec: EnvironmentSpec
    ) -> SearchModel:
        # The candidates are below the chance nodes, so that the model itself has them.
        return self.make_model(networks, environment_spec)

    def _make_unroll_loss(self, networks: StochasticMuZeroNetworks) -> LossFunction:
        return make_loss(networks, self._config)

    def _search_params(self, params: Params) -> Params:
        return below_the_root(params, ENCODER)
