"""PPO."""

from mukoe.agents.ppo.builder import PPOBuilder
from mukoe.agents.ppo.config import PPOConfig, PPOLossConfig, PPONetworkConfig
from mukoe.agents.ppo.losses import PPOBatch, make_loss, make_prepare
from mukoe.agents.ppo.networks import PPONetworks, make_ppo_networks
from mukoe.agents.ppo.policy import make_policy

__all__ = [
    "PPOBatch",
    "PPOBuilder",
    "PPOConfig",
    "PPOLossConfig",
    "PPONetworkConfig",
    "PPONetworks",
    "make_loss",
    "make_policy",
    "make_ppo_networks",
    "make_prepare",
]
