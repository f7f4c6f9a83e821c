"""The configuration of MuZero."""

import dataclasses

from mukoe.agents.planning.deterministic_model.config import DeterministicModelConfig


@dataclasses.dataclass(frozen=True)
class MuZeroConfig(DeterministicModelConfig):
    """MuZero (arXiv:1911.08265); Gumbel MuZero with `search.algorithm='gumbel'`."""
