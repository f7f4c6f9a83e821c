"""Devices of actors and learner."""

from collections.abc import Sequence

import jax

from mukoe.errors import UserError
from mukoe.layouts.common.experiment import SebulbaConfig


def check_devices(config: SebulbaConfig) -> None:
    """Checks that all devices of a configuration exist.

    Raises:
      UserError: a device does not exist.
    """
    _devices("actor_devices", config.actor_devices)
    _devices("learner_devices", config.learner_devices)


def actor_devices(config: SebulbaConfig) -> list[jax.Device]:
    """Returns the device of each actor thread.

    Raises:
      UserError: a device does not exist.
    """
    devices = _devices("actor_devices", config.actor_devices)
    return [device for device in devices for _ in range(config.threads_per_device)]


def learner_devices(config: SebulbaConfig) -> list[jax.Device]:
    """Returns the learner's devices.

    Raises:
      UserError: a device does not exist.
    """
    return _devices("learner_devices", config.learner_devices)


def _devices(field: str, indices: Sequence[int]) -> list[jax.Device]:
    local = jax.local_devices()
    for index in indices:
        if not 0 <= index < len(local):
            raise UserError(
                f"sebulba.{field} names device {index}, but this machine has {len(local)} "
                f"({local[0].platform}), from 0; XLA_FLAGS="
                "--xla_force_host_platform_device_count=8 splits the CPU into eight devices"
            )
    return [local[index] for index in indices]
