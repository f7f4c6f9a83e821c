"""Loggers by name, and the logger of one node of a run."""

import functools
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from mukoe.configuration.registry import Registry
from mukoe.configuration.workdir import CONFIG_FILE, flatten, stored_config
from mukoe.observability.loggers.base import Logger
from mukoe.observability.loggers.csv_logger import CsvLogger
from mukoe.observability.loggers.dispatcher import Dispatcher
from mukoe.observability.loggers.metric_groups import grouped_name
from mukoe.observability.loggers.tensorboard_logger import TensorBoardLogger, write_hyper_parameters
from mukoe.observability.loggers.time_filter import TimeFilter
from mukoe.observability.loggers.wall_time import WallTime, elapsed_wall_time
from mukoe.observability.trackers.service import TRACKERS
from mukoe.observability.trackers.tracker_process import TrackerProcess

LoggerFactory = Callable[[Path, str, str], Logger]
"""`(workdir, label, steps_key) -> Logger`; arguments as in `make_logger`."""

ENVIRONMENT_STEPS = "actor_steps"
"""Entry of the agent steps of all actors, the horizontal axis in TensorBoard."""

# Axis of a run on stored data, which has no agent steps.
_UPDATES = "learner_steps"

DEFAULT_LOGGERS = ("csv", "tensorboard")


def _make_csv(workdir: Path, label: str, steps_key: str) -> Logger:
    return CsvLogger(workdir / "logs" / f"{label}.csv", steps_key)


def _make_tensorboard(workdir: Path, label: str, steps_key: str) -> Logger:
    del steps_key  # All nodes share one horizontal axis.
    directory = workdir / "tensorboard"
    if label == "learner" and (workdir / CONFIG_FILE).exists():
        config = dict(flatten(stored_config(workdir)))
        write_hyper_parameters(directory, config)
    return TensorBoardLogger(
        directory / label,
        ENVIRONMENT_STEPS,
        functools.partial(grouped_name, label),
        other_key=_UPDATES,
    )


def _make_tracker(name: str, workdir: Path, label: str, steps_key: str) -> Logger:
    """Returns the sender of all nodes for the learner, of which a run has one."""
    del steps_key  # All nodes share one horizontal axis.
    return TrackerProcess(workdir, name) if label == "learner" else Dispatcher([])


LOGGERS: Registry[LoggerFactory] = Registry(
    "logger",
    {
        "csv": _make_csv,
        "tensorboard": _make_tensorboard,
        **{name: functools.partial(_make_tracker, name) for name in TRACKERS},
    },
)


def make_logger(
    workdir: str | os.PathLike[str],
    label: str,
    steps_key: str,
    seconds: float = 0.0,
    loggers: Sequence[str] = DEFAULT_LOGGERS,
) -> Logger:
    """Makes the logger of one node of a run.

    `csv` writes WORKDIR/logs/LABEL.csv and `tensorboard` writes WORKDIR/tensorboard/LABEL; both
    append to existing files. In TensorBoard, tags have the groups of `grouped_name`, and the
    axis is `actor_steps`, or `learner_steps` in a run without actors. The trackers `wandb`,
    `mlflow` and `trackio` send what `csv` writes, from a process that the learner's logger starts.
    Every entry gets a `wall_time`.

    Args:
      workdir: directory of the run.
      label: name of the node, such as `learner`.
      steps_key: entry that counts the steps of the node, such as `learner_steps`.
      seconds: minimum time between two entries; entries in between are dropped.
      loggers: names in `LOGGERS`, or import paths `package.module:attribute` of a
        `LoggerFactory`.

    Raises:
      UserError: a logger is unknown.
    """
    workdir = Path(workdir)
    factories = [LOGGERS[name] for name in loggers]
    logger: Logger = Dispatcher([factory(workdir, label, steps_key) for factory in factories])
    logger = WallTime(logger, offset=elapsed_wall_time(workdir / "logs"))
    return TimeFilter(logger, seconds) if seconds > 0 else logger
