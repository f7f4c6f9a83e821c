"""Configuration of the agents whose learned model gives an action one outcome."""

import dataclasses
from typing import TYPE_CHECKING

from mukoe.agents.planning.config import LearnedModelConfig
from mukoe.networks.value_prefix import ValuePrefixConfig

if TYPE_CHECKING:
    from mukoe.agents.planning.deterministic_model.builder import DeterministicModelBuilder


@dataclasses.dataclass(frozen=True)
class DeterministicModelConfig(LearnedModelConfig):
    """Configuration of an agent whose model has no chance nodes."""

    value_prefix: ValuePrefixConfig = ValuePrefixConfig()

    def make_builder(self) -> "DeterministicModelBuilder":
        """Returns the agent's builder."""
        from mukoe.agents.planning.deterministic_model.builder import DeterministicModelBuilder

        return DeterministicModelBuilder(self)
