"""Which device does what, and whether an experiment fits on them."""

import math
from collections.abc import Sequence

import jax

from mukoe.errors import UserError
from mukoe.layouts.common.experiment import ExperimentConfig, SebulbaConfig, check_experiment
from mukoe.layouts.common.required_memory import RequiredMemory
from mukoe.system import check_fits
from mukoe.types import EnvironmentSpec

# Which the stack of a thread may grow to.
_THREAD_BYTES = 8 << 20


def check(experiment: ExperimentConfig) -> EnvironmentSpec:
    """Says whether an experiment can run here, and returns the environment's spec.

    Raises:
      UserError: a device is not there, the environments cannot be divided between the
        learner's devices, the agent does not fit the environment, or memory does not suffice.
    """
    config, num_envs = experiment.sebulba, experiment.run.envs_per_actor
    _devices("actor_devices", config.actor_devices)
    learners = len(learner_devices(config))
    builder = experiment.builder
    if builder.rollout is None:
        if builder.replay.samples_per_insert is None:
            raise UserError(
                "the layout sebulba learns when there are enough new steps: give a number as "
                "agent.replay.samples_per_insert"
            )
        if builder.replay.batch_size % learners:
            raise UserError(
                f"agent.replay.batch_size ({builder.replay.batch_size}) must be a multiple of the "
                f"number of sebulba.learner_devices ({learners})"
            )
    elif num_envs % learners:
        raise UserError(
            f"run.envs_per_actor ({num_envs}) must be a multiple of the number of "
            f"sebulba.learner_devices ({learners}), each of which gets as many"
        )
    if builder.rollout is not None:
        builder.for_updates(count_updates(experiment))
    spec = check_experiment(experiment)
    _check_memory(experiment, spec)
    return spec


def _check_memory(experiment: ExperimentConfig, spec: EnvironmentSpec) -> None:
    config = experiment.sebulba
    threads = len(config.actor_devices) * config.threads_per_device
    num_envs = threads * experiment.run.envs_per_actor
    remedy = "lower run.envs_per_actor or sebulba.threads_per_device"
    check_fits(threads * _THREAD_BYTES, f"sebulba with {threads} threads that act", remedy)
    memory = RequiredMemory(experiment, spec)
    memory.check_parameters()
    memory.check_acting(num_envs, remedy)
    memory.check_evaluation()
    rounds = config.staleness + 1
    if experiment.builder.rollout is not None:
        memory.check_batches(num_envs, rounds)
        return
    memory.check_replay(memory.replay_bytes(num_envs))
    memory.check_batches(num_envs)
    memory.check_rounds(rounds, num_envs * config.round_steps)


def actor_devices(config: SebulbaConfig) -> list[jax.Device]:
    """Returns the device of each actor thread.

    Raises:
      UserError: one of them is not there.
    """
    devices = _devices("actor_devices", config.actor_devices)
    return [device for device in devices for _ in range(config.threads_per_device)]


def learner_devices(config: SebulbaConfig) -> list[jax.Device]:
    """Returns the learner's devices.

    Raises:
      UserError: one of them is not there.
    """
    return _devices("learner_devices", config.learner_devices)


def count_updates(experiment: ExperimentConfig) -> int:
    """Returns how many batches of rollouts make up the whole run."""
    rollout = experiment.builder.rollout
    assert rollout is not None, "only an agent with rollouts makes an update of each"
    config = experiment.sebulba
    threads = len(config.actor_devices) * config.threads_per_device
    batch = threads * experiment.run.envs_per_actor * rollout.length
    return math.ceil(experiment.run.max_actor_steps / batch)


def _devices(field: str, indices: Sequence[int]) -> list[jax.Device]:
    local = jax.local_devices()
    for index in indices:
        if not 0 <= index < len(local):
            raise UserError(
                f"sebulba.{field} names device {index}, but this machine has {len(local)} "
                f"({local[0].platform}), from 0; XLA_FLAGS="
                "--xla_force_host_platform_device_count=8 makes a CPU look like eight"
            )
    return [local[index] for index in indices]
