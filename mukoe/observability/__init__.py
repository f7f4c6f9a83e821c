"""What people look at: logs, the living line on the terminal."""

from mukoe.observability.loggers import (
    CsvLogger,
    Dispatcher,
    Logger,
    TensorBoardLogger,
    TimeFilter,
    WallTime,
    make_logger,
)
from mukoe.observability.progress import Progress, ProgressLine, warn

__all__ = [
    "CsvLogger",
    "Dispatcher",
    "Logger",
    "Progress",
    "ProgressLine",
    "TensorBoardLogger",
    "TimeFilter",
    "WallTime",
    "make_logger",
    "warn",
]
