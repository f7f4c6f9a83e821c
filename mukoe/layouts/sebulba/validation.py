"""Checks that an experiment can run on the devices of this machine."""

from mukoe.agents.extensions import FollowsRunLength, rollout_of
from mukoe.errors import UserError
from mukoe.layouts.common.demonstrations import check_demonstrations
from mukoe.layouts.common.experiment import ExperimentConfig, check_experiment
from mukoe.layouts.common.reanalysis import check_reanalysis_in_process
from mukoe.layouts.common.required_memory import RequiredMemory
from mukoe.layouts.sebulba.devices import check_devices
from mukoe.system import check_fits
from mukoe.types import EnvironmentSpec

# Stack size of a thread.
_THREAD_BYTES = 8 << 20


def check(experiment: ExperimentConfig) -> EnvironmentSpec:
    """Checks an experiment, and returns the spec of one environment.

    Raises:
      UserError: a device does not exist, the batch cannot be split evenly over the learner's
        devices, the agent does not fit the environment, or memory does not suffice.
    """
    config, num_envs = experiment.sebulba, experiment.run.envs_per_actor
    check_devices(config)
    learners = len(config.learner_devices)
    builder = experiment.builder
    if rollout_of(builder) is None:
        if builder.replay.samples_per_insert is None:
            raise UserError(
                "the layout sebulba learns after enough new steps: set a number as "
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
            f"sebulba.learner_devices ({learners}), over which it is split evenly"
        )
    elif isinstance(builder, FollowsRunLength):
        builder.for_agent_steps(experiment.run.max_actor_steps)
    _check_groups(experiment)
    check_reanalysis_in_process(experiment)
    if rollout_of(builder) is None:
        check_demonstrations(experiment, given=False)
    spec = check_experiment(experiment)
    _check_memory(experiment, spec)
    return spec


def _check_groups(experiment: ExperimentConfig) -> None:
    threads, rollout = experiment.sebulba.num_actor_threads, rollout_of(experiment.builder)
    num_envs = threads * experiment.run.envs_per_actor
    if rollout is not None and num_envs % rollout.env_groups:
        raise UserError(
            f"run.envs_per_actor ({experiment.run.envs_per_actor}) x {threads} actor threads must "
            f"be a multiple of agent.minibatches ({rollout.env_groups}), each of which gets the "
            "whole rollouts of as many environments"
        )


def _check_memory(experiment: ExperimentConfig, spec: EnvironmentSpec) -> None:
    config = experiment.sebulba
    threads = config.num_actor_threads
    num_envs = threads * experiment.run.envs_per_actor
    remedy = "lower run.envs_per_actor or sebulba.threads_per_device"
    check_fits(threads * _THREAD_BYTES, f"sebulba with {threads} actor threads", remedy)
    memory = RequiredMemory(experiment, spec)
    memory.check_parameters()
    memory.check_acting(num_envs, remedy)
    memory.check_evaluation()
    rounds = config.staleness + 1
    if rollout_of(experiment.builder) is not None:
        memory.check_batches(num_envs, rounds)
        return
    memory.check_replay(memory.replay_bytes(num_envs))
    memory.check_batches(num_envs)
    memory.check_rounds(rounds, num_envs * config.round_steps)
