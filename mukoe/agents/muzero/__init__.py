"""MuZero and Gumbel MuZero."""

from mukoe.agents.muzero.builder import MuZeroBuilder
from mukoe.agents.muzero.config import MuZeroConfig, MuZeroLossConfig, MuZeroReplayConfig
from mukoe.agents.muzero.losses import make_loss, make_targets
from mukoe.agents.muzero.policy import make_policy

__all__ = [
    "MuZeroBuilder",
    "MuZeroConfig",
    "MuZeroLossConfig",
    "MuZeroReplayConfig",
    "make_loss",
    "make_policy",
    "make_targets",
]
