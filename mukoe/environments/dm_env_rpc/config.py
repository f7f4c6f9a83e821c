"""Settings of environments behind dm_env_rpc."""

import dataclasses
import importlib.util
import re

from mukoe.configuration.bounds import PositiveInt, Seconds
from mukoe.configuration.fields import Validated
from mukoe.environments.vector import EnvironmentFactory
from mukoe.errors import UserError

SCHEME = "dm_env_rpc://"
_ADDRESS = re.compile(r"dm_env_rpc://(\[[0-9a-fA-F:]+\]|[^\s:/\[\]]+):(\d{1,5})")


def require_dm_env_rpc() -> None:
    """Raises a UserError unless dm_env_rpc is installed; does not import it."""
    if importlib.util.find_spec("dm_env_rpc") is None:
        raise UserError(
            "environments behind dm_env_rpc need the package dm-env-rpc; install it by "
            "pip install 'mukoe[dm_env_rpc]'"
        )


@dataclasses.dataclass(frozen=True)
class DmEnvRpcConfig(Validated):
    """Environment behind a dm_env_rpc server."""

    # Address of the server, dm_env_rpc://HOST:PORT.
    address: str
    # Names of the observations to use, in this order; empty for all, sorted by name.
    observations: tuple[str, ...] = ()
    # Several observations of at most one axis each, or one scalar, form one float32 vector; else
    # several form a dict.
    concatenate: bool = True
    # Name of the world setting for the environment seed; None without such a setting.
    seed_setting: str | None = "seed"
    # Name of the boolean world setting for evaluation; None without such a setting.
    evaluation_setting: str | None = "evaluation"
    # Timeout of the first connection, in seconds.
    connect_seconds: Seconds = 10.0
    # Timeout of a response, in seconds; afterwards the server is considered lost.
    response_seconds: Seconds = 60.0
    # Timeout of the reconnection to a lost server, in seconds; afterwards the run fails.
    reconnect_seconds: Seconds = 120.0
    # Maximum number of losses of one environment without a finished episode in between.
    max_losses: PositiveInt = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        found = _ADDRESS.fullmatch(self.address)
        if not found or not 1 <= int(found.group(2)) <= 65535:
            raise UserError(
                f"'{self.address}' is not an address of a dm_env_rpc server; give "
                "dm_env_rpc://HOST:PORT, such as dm_env_rpc://localhost:5555"
            )

    def make_factory(self) -> EnvironmentFactory:
        """Returns `factory(seed, num_envs, evaluation)`; see `make_dm_env_rpc`.

        Raises:
            UserError: dm_env_rpc is not installed, the server is unreachable, or its specs are
                not supported.
        """
        require_dm_env_rpc()
        from mukoe.environments.dm_env_rpc.factory import make_dm_env_rpc

        return make_dm_env_rpc(self)
