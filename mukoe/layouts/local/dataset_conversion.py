"""Conversion of the stored replay of a run to a Minari data set, and back."""

import shutil
from pathlib import Path

from mukoe.configuration import load_config, prepare_workdir
from mukoe.errors import UserError
from mukoe.layouts.common.dataset_metadata import describe_environment
from mukoe.layouts.common.experiment import TrainingConfig
from mukoe.layouts.common.learning_parts import make_learning_parts, make_run_checkpointer
from mukoe.layouts.common.offline_data import (
    check_data,
    make_offline_replay,
    read_dataset,
    read_workdir,
    warn_of_other_environment,
)
from mukoe.layouts.local.validation import check
from mukoe.replay.datasets.writer import DatasetWriter

_CLOSE_SECONDS = 600.0


def to_dataset(workdir: Path, name: str) -> tuple[int, int]:
    """Writes the episodes of a run's stored replay, and returns the numbers of episodes and steps.

    Args:
      workdir: workdir of the run; it is not changed.
      name: name of the new data set.

    Raises:
      UserError: the run has no stored replay, or the data set cannot be written.
    """
    data = read_workdir(workdir)
    config = load_config(workdir)
    algorithm = type(config.agent).__name__.removesuffix("Config")
    metadata = {**describe_environment(config.environment), "algorithm_name": algorithm}
    with DatasetWriter(name, data.environment_spec, metadata) as writer:
        for episode in data.episodes:
            writer.write(episode)
    return writer.episodes, writer.steps


def to_workdir(name: str, config: TrainingConfig, config_file: str | None, workdir: Path) -> int:
    """Makes the workdir of a run that has the episodes of a data set in its replay.

    The parameters are initial ones. Returns the number of episodes.

    Args:
      name: name of the data set.
      config: configuration of the run.
      config_file: file of the configuration.
      workdir: directory without a run.

    Raises:
      UserError: the data set does not fit the environment or has no search statistics of the agent,
        the workdir holds a run, or the configuration saves no replay.
    """
    experiment = config.make_experiment()
    spec = check(experiment)
    builder = experiment.builder
    policy = builder.make_policy(builder.make_networks(spec), spec)
    data = read_dataset(name, spec)
    if missing := data.missing_statistics(policy.extras_spec):
        raise UserError(
            f"{data.source} has no {' and no '.join(missing)}, which a replay of this agent "
            f"stores: learn from it with --offline=minari:{name}"
        )
    check_data(data, experiment, spec, policy)
    warn_of_other_environment(data, config)
    existed = workdir.exists()
    folder = prepare_workdir(workdir, config, config_file, False)
    try:
        learning = make_learning_parts(
            experiment,
            spec,
            folder,
            False,
            1,
            make_filled_replay=lambda policy: make_offline_replay(
                experiment, spec, policy, data, keep_learner_steps=True
            ),
        )
        checkpoints = make_run_checkpointer(experiment, learning, 1, {})
        if not checkpoints.saves_run_state:
            raise UserError(
                "the configuration saves no replay: set run.replay_checkpoint_seconds above 0 and "
                "raise run.replay_checkpoint_gib"
            )
        checkpoints.save()
        checkpoints.close(_CLOSE_SECONDS)
        if not learning.checkpointer.has_run():
            raise UserError(f"the replay was not written to {folder}; the warning says why")
    except BaseException:
        if not existed:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    return len(data.episodes)
