"""Stochastic MuZero (Antonoglou et al., ICLR 2022)."""

from mukoe.agents.stochastic_muzero.builder import StochasticMuZeroBuilder
from mukoe.agents.stochastic_muzero.config import ChanceConfig, StochasticMuZeroConfig
from mukoe.agents.stochastic_muzero.losses import make_loss
from mukoe.agents.stochastic_muzero.model import stochastic_muzero_model
from mukoe.agents.stochastic_muzero.networks import (
    StochasticMuZeroNetworks,
    make_stochastic_muzero_networks,
)

__all__ = [
    "ChanceConfig",
    "StochasticMuZeroBuilder",
    "StochasticMuZeroConfig",
    "StochasticMuZeroNetworks",
    "make_loss",
    "make_stochastic_muzero_networks",
    "stochastic_muzero_model",
]
