"""Division of an actor's environments into groups that are stepped in turns."""

from mukoe.layouts.common.experiment import ExperimentConfig


def group_sizes(experiment: ExperimentConfig, served: bool) -> list[int]:
    """Returns the sizes of the groups: two with double buffering, otherwise one.

    Args:
      experiment: agent, environment and settings.
      served: True if inference servers run the policy; the default of double buffering.
    """
    num_envs = experiment.run.envs_per_actor
    buffered = experiment.distributed.double_buffering
    if num_envs > 1 and (served if buffered is None else buffered):
        return [num_envs - num_envs // 2, num_envs // 2]
    return [num_envs]
