"""Muesli."""

from mukoe.agents.muesli.action_space import make_action_space
from mukoe.agents.muesli.builder import MuesliBuilder
from mukoe.agents.muesli.cmpo import (
    MovingSecondMoment,
    cmpo_policy,
    sampled_cmpo_target,
    sampled_cmpo_weights,
)
from mukoe.agents.muesli.config import MuesliConfig, MuesliLossConfig, MuesliReplayConfig
from mukoe.agents.muesli.losses import make_loss
from mukoe.agents.muesli.policy import make_policy

__all__ = [
    "MovingSecondMoment",
    "MuesliBuilder",
    "MuesliConfig",
    "MuesliLossConfig",
    "MuesliReplayConfig",
    "cmpo_policy",
    "make_action_space",
    "make_loss",
    "make_policy",
    "sampled_cmpo_target",
    "sampled_cmpo_weights",
]
