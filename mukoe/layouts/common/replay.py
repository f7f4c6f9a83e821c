"""The replay of a run of one process."""

from mukoe.layouts.common.experiment import ExperimentConfig
from mukoe.layouts.common.seeds import SeededPart, random_seed
from mukoe.replay.declaration import row_spec
from mukoe.replay.in_process import InProcessReplay
from mukoe.types import EnvironmentSpec, Policy


def make_replay(
    experiment: ExperimentConfig, environment_spec: EnvironmentSpec, policy: Policy, num_envs: int
) -> InProcessReplay:
    """Builds the replay of the actors that the agent declares.

    Args:
      experiment: agent, environment and settings.
      environment_spec: spec of one environment.
      policy: behaviour policy, whose extras are stored.
      num_envs: number of environments, each with an adder.
    """
    return InProcessReplay(
        experiment.builder.replay.acted,
        row_spec(environment_spec, policy.extras_spec),
        num_streams=num_envs,
        seed=random_seed(experiment.run, {}, SeededPart.REPLAY),
    )
