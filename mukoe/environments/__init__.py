"""Environments: everything is a vector of dm_env environments in the end."""

from mukoe.environments.atari import AtariConfig, AtariEnvironment, games, make_atari
from mukoe.environments.atari_scores import ATARI_57, human_normalised_score
from mukoe.environments.gymnasium_adapter import GymnasiumEnvironment, make_gymnasium
from mukoe.environments.vector import (
    EnvironmentFactory,
    SyncVectorEnvironment,
    VectorEnvironment,
    environment_spec,
    vectorize,
)

__all__ = [
    "ATARI_57",
    "AtariConfig",
    "AtariEnvironment",
    "EnvironmentFactory",
    "GymnasiumEnvironment",
    "SyncVectorEnvironment",
    "VectorEnvironment",
    "environment_spec",
    "games",
    "human_normalised_score",
    "make_atari",
    "make_gymnasium",
    "vectorize",
]
