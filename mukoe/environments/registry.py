"""Environment configurations by name, for the flag --env."""

import dataclasses
from typing import Any

from mukoe.environments.dm_env_rpc.config import SCHEME, DmEnvRpcConfig
from mukoe.environments.gymnasium.config import GymnasiumConfig
from mukoe.environments.pgx.config import PgxConfig
from mukoe.environments.pgx.games import PGX_GAMES
from mukoe.errors import UserError


def named_environment(env: str, config: Any = None) -> Any:
    """Returns the configuration of the environment with a name.

    Args:
        env: dm_env_rpc://HOST:PORT, a game of pgx, or a registered Gymnasium environment.
        config: current configuration; its other fields are kept if it has the same class.

    Raises:
        UserError: the name is invalid, or it is a Gymnasium environment and `config` is not a
            Gymnasium configuration.
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
            f"--env={env} names a Gymnasium environment, but the config has a "
            f"{type(config).__name__}; use a Gymnasium config, such as configs/cartpole.py"
        )
    return dataclasses.replace(config, env=env)
