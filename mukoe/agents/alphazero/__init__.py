"""AlphaZero: a search of the true rules."""

from mukoe.agents.alphazero.builder import AlphaZeroBuilder
from mukoe.agents.alphazero.config import (
    AlphaZeroConfig,
    AlphaZeroLossConfig,
    AlphaZeroNetworkConfig,
)
from mukoe.agents.alphazero.losses import make_loss
from mukoe.agents.alphazero.model import alphazero_model
from mukoe.agents.alphazero.networks import AlphaZeroNetworks, make_alphazero_networks

__all__ = [
    "AlphaZeroBuilder",
    "AlphaZeroConfig",
    "AlphaZeroLossConfig",
    "AlphaZeroNetworkConfig",
    "AlphaZeroNetworks",
    "alphazero_model",
    "make_alphazero_networks",
    "make_loss",
]
