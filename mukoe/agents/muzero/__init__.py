"""MuZero and Gumbel MuZero."""

from mukoe.agents.muzero.builder import MuZeroBuilder
from mukoe.agents.muzero.config import MuZeroConfig
from mukoe.agents.muzero.losses import make_loss
from mukoe.agents.muzero.model import muzero_model

__all__ = ["MuZeroBuilder", "MuZeroConfig", "make_loss", "muzero_model"]
