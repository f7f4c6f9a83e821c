"""Environment factory of a dm_env_rpc server."""

import contextlib
import dataclasses

from mukoe.environments.dm_env_rpc.config import DmEnvRpcConfig
from mukoe.environments.dm_env_rpc.environment import DmEnvRpcEnvironment, ReportingEnvironment
from mukoe.environments.dm_env_rpc.vector import DmEnvRpcVector
from mukoe.environments.vector import EnvironmentFactory, VectorEnvironment, environment_seeds


def make_dm_env_rpc(config: DmEnvRpcConfig) -> EnvironmentFactory:
    """Returns the environment factory of a server, which is contacted once for its specs.

    Raises:
        UserError: the server is unreachable, or its specs are not supported.
    """
    once = dataclasses.replace(config, reconnect_seconds=config.connect_seconds)
    first = DmEnvRpcEnvironment(once, 0, False)
    first.close()
    # The factory is sent to other processes, so it holds no protobuf messages.
    offered, reports_results = first.decoder.offered, first.decoder.reports_results

    def factory(seed: int, num_envs: int, evaluation: bool) -> VectorEnvironment:
        make = ReportingEnvironment if reports_results else DmEnvRpcEnvironment
        seeds = environment_seeds(config.address, seed, num_envs, evaluation)
        with contextlib.ExitStack() as unused:
            environments = []
            for each in seeds:
                environments.append(make(config, each, evaluation, offered))
                unused.callback(environments[-1].close)
            vector = DmEnvRpcVector(environments, config.address)
            unused.pop_all()
        return vector

    return factory
