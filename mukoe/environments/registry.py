"""What --env names, as the configuration of an environment."""

import dataclasses
from typing import Any

from mukoe.environments.dm_env_rpc.config import SCHEME, DmEnvRpcConfig
from mukoe.environments.gymnasium.config import GymnasiumConfig
from mukoe.environments.pgx.config import PgxConfig
from mukoe.environments.pgx.games import PGX_GAMES
from mukoe.errors import UserError

NAMED_KINDS = (DmEnvRpcConfig, PgxConfig)
"""What a name may make of a config that is about something else."""


def named_environment(env: str, config: Any = None) -> Any:
    """Returns the configuration of the environment that a person named.

    Args:
        env: dm_env_rpc://HOST:PORT, a game of pgx, or a Gymnasium environment.
        config: of another environment; keeps its other fields where it is of the same kind.

    Raises:
        UserError: there is no such game or address, or a Gymnasium environment is named where
            `config` is about none.
    """
    if env.startswith(SCHEME):
        if isinstance(config, DmEnvRpcConfig):
            return dataclasses.replace(config, address=env)
        return DmEnvRpcConfig(env)
    if env in PGX_GAMES:
        if isinstance(config, PgxConfig):
            return dataclasses.replace(config, game=env)
        return PgxConfig(env)
    if config is None:
        return GymnasiumConfig(env)
    if not hasattr(config, "env"):
        raise UserError(
            f"--env={env} names a Gymnasium environment, but the config is about "
            f"{type(config).__name__}; use a Gymnasium config, such as configs/cartpole.py"
        )
    return dataclasses.replace(config, env=env)
