"""Running statistics of observations in the update of an agent."""

import dataclasses

import chex

from mukoe.agents.builder import LearnerSettings
from mukoe.agents.planning.root import RootNetworks
from mukoe.agents.planning.targets import root_inputs
from mukoe.networks.config import NetworkConfig
from mukoe.networks.history import HistoryConfig
from mukoe.networks.observation_statistics import keep_statistics, statistics_loss
from mukoe.types import Array, LossExtra, LossFunction, Nest, Params, Sample


def with_statistics_loss(
    loss: LossFunction, networks: RootNetworks, history: HistoryConfig, network: NetworkConfig
) -> LossFunction:
    """Returns a loss that gives gradients to the statistics of observations, if there are some."""
    if not network.normalize_observations:
        return loss

    def both(
        params: Params, target_params: Params, sample: Sample, key: chex.PRNGKey, *state: Nest
    ) -> tuple[Array, LossExtra]:
        total, extra = loss(params, target_params, sample, key, *state)
        inputs = root_inputs(networks, history, sample.rows)
        return total + statistics_loss(params, inputs), extra

    return both


def with_statistics_optimizer(settings: LearnerSettings, network: NetworkConfig) -> LearnerSettings:
    """Returns settings whose optimiser updates the statistics, if there are some."""
    if not network.normalize_observations:
        return settings
    return dataclasses.replace(settings, optimizer=keep_statistics(settings.optimizer))
