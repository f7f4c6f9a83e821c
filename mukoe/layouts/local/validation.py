"""Checks that an experiment can run in one process, before anything is allocated."""

from mukoe.errors import UserError
from mukoe.layouts.common.demonstrations import check_demonstrations
from mukoe.layouts.common.experiment import ExperimentConfig, check_experiment
from mukoe.layouts.common.reanalysis import check_reanalysis_in_process
from mukoe.layouts.common.required_memory import RequiredMemory
from mukoe.types import EnvironmentSpec


def check(experiment: ExperimentConfig, demonstrations: bool = False) -> EnvironmentSpec:
    """Checks an experiment, and returns the spec of one environment.

    Args:
      experiment: agent, environment and settings.
      demonstrations: True for a run with demonstrations.

    Raises:
      UserError: the agent lacks demonstrations or does not use them, does not fit the
        environment, sets no `samples_per_insert`, or needs more memory than there is.
    """
    if experiment.builder.replay.samples_per_insert is None:
        raise UserError(
            "the local layout alternates between actor and learner: set a number as "
            "agent.replay.samples_per_insert"
        )
    check_reanalysis_in_process(experiment)
    check_demonstrations(experiment, demonstrations)
    spec = check_experiment(experiment)
    num_envs = experiment.run.envs_per_actor
    memory = RequiredMemory(experiment, spec)
    memory.check_parameters()
    memory.check_replay(memory.replay_bytes(num_envs))
    memory.check_acting(num_envs, "lower run.envs_per_actor or the simulations")
    memory.check_evaluation()
    memory.check_batches(num_envs)
    return spec
