"""Environment of a command, from `--env` or from the environment of `--config`."""

import dataclasses
from typing import Any

from absl import flags

from mukoe.configuration import apply_overrides, load_config_file
from mukoe.environments.registry import named_environment


@dataclasses.dataclass(frozen=True)
class EnvironmentFields:
    """Group of the fields `--config.environment.FIELD`."""

    environment: Any


def environment_config(config_flag: Any, env: str | None) -> Any:
    """Returns the configuration of the environment; None without either flag.

    Args:
      config_flag: flag of `DEFINE_config`.
      env: value of `--env`, which replaces the environment of the config.

    Raises:
      UserError: there is no such file, environment or field.
    """
    config = None
    if flags.FLAGS.config:
        config = load_config_file(config_flag.filename).environment
    if env:
        config = named_environment(env, config)
    if config is None:
        return None
    return apply_overrides(EnvironmentFields(config), config_flag.overrides).environment
