"""Environments: everything is a vector of dm_env environments in the end."""

from mukoe.environments.atari.environment import AtariConfig, AtariEnvironment, games, make_atari
from mukoe.environments.atari.scores import ATARI_57, human_normalised_score
from mukoe.environments.gymnasium.environment import (
    GymnasiumConfig,
    GymnasiumEnvironment,
    make_gymnasium,
)
from mukoe.environments.gymnasium.pixels import GymnasiumPixelsConfig, RenderedObservation
from mukoe.environments.pgx.environment import MatchEnvironment, PgxConfig, SelfPlayEnvironment
from mukoe.environments.pgx.games import PGX_GAMES, GameFunctions, GameStep, Opponent, Streams
from mukoe.environments.pgx.opponents import OPPONENTS, make_opponent
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
    "GameFunctions",
    "GameStep",
    "GymnasiumConfig",
    "GymnasiumEnvironment",
    "GymnasiumPixelsConfig",
    "MatchEnvironment",
    "OPPONENTS",
    "Opponent",
    "PGX_GAMES",
    "PgxConfig",
    "RenderedObservation",
    "SelfPlayEnvironment",
    "Streams",
    "SyncVectorEnvironment",
    "VectorEnvironment",
    "environment_spec",
    "games",
    "human_normalised_score",
    "make_atari",
    "make_gymnasium",
    "make_opponent",
    "vectorize",
]
