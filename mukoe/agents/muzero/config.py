"""The configuration of MuZero."""

import dataclasses
from typing import TYPE_CHECKING

from mukoe.agents.planning.config import LearnedModelConfig
from mukoe.networks.value_prefix import ValuePrefixConfig

if TYPE_CHECKING:
    from mukoe.agents.muzero.builder import MuZeroBuilder


@dataclasses.dataclass(frozen=True)
class MuZeroConfig(LearnedModelConfig):
    """MuZero and Gumbel MuZero (`search.algorithm`)."""

    value_prefix: ValuePrefixConfig = ValuePrefixConfig()

    def make_builder(self) -> "MuZeroBuilder":
        """Returns the agent's builder."""
        from mukoe.agents.muzero.builder import MuZeroBuilder

        return MuZeroBuilder(self)
