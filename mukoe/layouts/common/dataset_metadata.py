"""Metadata of recorded data sets: the environment, for readers of this package and of Minari."""

from typing import Any

from mukoe.configuration.plain import to_dict
from mukoe.configuration.workdir import flatten
from mukoe.environments.gymnasium.config import GymnasiumConfig
from mukoe.replay.datasets.storage import OWN_METADATA


def plain_environment(config: Any) -> dict[str, Any]:
    """Returns the fields of an environment's configuration by dotted names."""
    name = f"{type(config).__module__}:{type(config).__qualname__}"
    return {"class": name, **dict(flatten(to_dict(config)))}


def describe_environment(config: Any) -> dict[str, Any]:
    """Returns the metadata of an environment.

    Those of a Gymnasium environment have its registration, with which Minari makes it anew
    (`recover_environment`).

    Args:
      config: configuration of the environment.
    """
    metadata: dict[str, Any] = {OWN_METADATA: {"environment": plain_environment(config)}}
    if isinstance(config, GymnasiumConfig):
        import gymnasium

        environment = gymnasium.make(config.env, disable_env_checker=True, **config.arguments)
        if environment.spec is not None:
            metadata["env_spec"] = environment.spec.to_json()
        environment.close()
    return metadata
