"""Metadata of recorded data sets: the environment, for readers of this package and of Minari."""

import contextlib
from typing import Any

from mukoe.configuration.plain import to_dict
from mukoe.configuration.workdir import flatten
from mukoe.environments.checks import close
from mukoe.environments.gymnasium.config import GymnasiumConfig
from mukoe.environments.gymnasium.names import with_module
from mukoe.replay.datasets.storage import OWN_METADATA


def plain_environment(config: Any) -> dict[str, Any]:
    """Returns the fields of an environment's configuration by dotted names."""
    name = f"{type(config).__module__}:{type(config).__qualname__}"
    return {"class": name, **dict(flatten(to_dict(config)))}


def describe_environment(config: Any) -> dict[str, Any]:
    """Returns the metadata of an environment.

    Those of a Gymnasium environment have its registration, with which Minari makes it anew
    (`recover_environment`), unless Gymnasium cannot serialise it.

    Args:
      config: configuration of the environment.
    """
    metadata: dict[str, Any] = {OWN_METADATA: {"environment": plain_environment(config)}}
    if isinstance(config, GymnasiumConfig):
        import gymnasium

        name = with_module(config.env)
        environment = gymnasium.make(name, disable_env_checker=True, **config.arguments)
        if environment.spec is not None:
            with contextlib.suppress(TypeError, ValueError):  # a class as entry point or argument
                metadata["env_spec"] = environment.spec.to_json()
        close(f"Gymnasium {name}", environment)
    return metadata
