"""Environments: everything is a vector of dm_env environments in the end."""

from mukoe.environments.atari import AtariConfig, AtariEnvironment, games, make_atari
from mukoe.environments.atari_scores import ATARI_57, human_normalised_score
from mukoe.environments.game_functions import PGX_GAMES, GameFunctions, GameStep, Opponent, Streams
from mukoe.environments.gymnasium_adapter import (
    GymnasiumConfig,
    GymnasiumEnvironment,
    make_gymnasium,
)
from mukoe.environments.gymnasium_pixels import GymnasiumPixelsConfig, RenderedObservation
from mukoe.environments.opponents import OPPONENTS, make_opponent
from mukoe.environments.pgx_games import MatchEnvironment, PgxConfig, SelfPlayEnvironment
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
