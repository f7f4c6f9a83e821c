"""Base class of the builders of agents that learn the model of their search."""

import abc

from mukoe.agents.builder import LearnerSettings
from mukoe.agents.planning.builder import Networks, PlanningBuilder
from mukoe.agents.planning.config import LearnedModelConfig
from mukoe.agents.planning.observations import (
    with_statistics_loss,
    with_statistics_optimizer,
)
from mukoe.agents.planning.symmetries import training_symmetries, with_random_symmetries
from mukoe.types import EnvironmentSpec, LossFunction


class LearnedModelBuilder(PlanningBuilder[Networks]):
    """Builder of an agent whose loss unrolls a learned model along stored actions."""

    _config: LearnedModelConfig

    @abc.abstractmethod
    def _make_unroll_loss(self, networks: Networks) -> LossFunction:
        """Makes the loss of an unroll."""

    def make_loss(self, networks: Networks, environment_spec: EnvironmentSpec) -> LossFunction:
        config = self._config
        loss = with_statistics_loss(
            self._make_unroll_loss(networks), networks, config.history, config.network
        )
        symmetries = training_symmetries(
            environment_spec, config.augmentation, config.search, config.memory.core != "none"
        )
        loss = with_random_symmetries(loss, symmetries)
        return self.with_reanalysis(loss, networks, environment_spec)

    def learner_settings(self, networks: Networks) -> LearnerSettings:
        return with_statistics_optimizer(super().learner_settings(networks), self._config.network)
