"""Loggers by name, and the logger of one node of a run."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from mukoe.configuration.registry import Registry
from mukoe.observability.loggers.base import Logger
from mukoe.observability.loggers.csv_logger import CsvLogger
from mukoe.observability.loggers.dispatcher import Dispatcher
from mukoe.observability.loggers.tensorboard_logger import TensorBoardLogger
from mukoe.observability.loggers.time_filter import TimeFilter
from mukoe.observability.loggers.wall_time import WallTime, elapsed_wall_time

LoggerFactory = Callable[[Path, str, str], Logger]
"""`(workdir, label, steps_key) -> Logger`; arguments as in `make_logger`."""

DEFAULT_LOGGERS = ("csv", "tensorboard")


def _make_csv(workdir: Path, label: str, steps_key: str) -> Logger:
    return CsvLogger(workdir / "logs" / f"{label}.csv", steps_key)


def _make_tensorboard(workdir: Path, label: str, steps_key: str) -> Logger:
    return TensorBoardLogger(workdir / "tensorboard" / label, steps_key)


LOGGERS: Registry[LoggerFactory] = Registry(
    "logger", {"csv": _make_csv, "tensorboard": _make_tensorboard}
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
    append to existing files. Every entry gets a `wall_time`.

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
