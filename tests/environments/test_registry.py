"""Environment configurations by name."""

from mukoe.environments.dm_env_rpc.config import DmEnvRpcConfig
from mukoe.environments.gymnasium.config import GymnasiumConfig
from mukoe.environments.registry import named_environment


def test_names_keep_the_other_fields():
    config = DmEnvRpcConfig("dm_env_rpc://localhost:1", concatenate=False)
    assert named_environment("dm_env_rpc://[::1]:2", config) == DmEnvRpcConfig(
        "dm_env_rpc://[::1]:2", concatenate=False
    )
    assert isinstance(named_environment("dm_env_rpc://a:1", GymnasiumConfig("X")), DmEnvRpcConfig)
