"""The learner of a run, the same in every layout."""

from collections.abc import Iterator
from typing import Any

from mukoe.layouts.common.experiment import ExperimentConfig
from mukoe.layouts.common.seeds import learner_key
from mukoe.learning.learner import Learner, Logger
from mukoe.replay.handle import Replay
from mukoe.types import EnvironmentSpec, Sample


def make_learner(
    experiment: ExperimentConfig,
    environment_spec: EnvironmentSpec,
    networks: Any,
    dataset: Iterator[Sample],
    *,
    replay: Replay | None,
    counter: Any,
    logger: Logger | None = None,
    prefetch_size: int = 0,
) -> Learner:
    """Builds the learner of an experiment.

    Args:
      experiment: agent, environment and settings.
      environment_spec: spec of one environment.
      networks: networks of the agent's builder.
      dataset: samples to learn from.
      replay: replay that receives the new priorities; None for an agent without replay.
      counter: counter of the run, which counts the learner's steps.
      logger: logger of the metrics of every step; None to log elsewhere.
      prefetch_size: batches that a thread puts on the devices ahead of time; 0 for none.
    """
    learner = experiment.builder.make_learner(
        learner_key(experiment.run),
        networks,
        dataset,
        environment_spec,
        replay=replay,
        logger=logger,
        counter=counter,
        prefetch_size=prefetch_size,
    )
    learner.max_skipped_updates = experiment.run.max_skipped_updates
    return learner
