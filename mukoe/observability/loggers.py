"""Loggers: where numbers go that people look at later.

The interface is Acme's: `write(mapping)` and `close()`. A log that cannot be written (a full
disk) says so once and is tried again with the next write; it never ends a run.
"""

import csv
import io
import itertools
import os
import socket
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from mukoe.observability import progress

_WALL_TIME = "wall_time"


class Logger(Protocol):
    """Takes a mapping of names to scalars per call."""

    def write(self, data: Mapping[str, Any]) -> None:
        """Writes one entry."""

    def close(self) -> None:
        """Writes what is left and lets go of the files."""


def to_scalar(value: Any) -> Any:
    """Returns a Python scalar for a number or an array of one element; others unchanged.

    Raises:
      TypeError: an array with several elements.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    array = np.asarray(value)
    if array.size != 1:
        raise TypeError(f"a logger takes scalars, got an array of shape {array.shape}")
    return float(array) if array.dtype.kind not in "iubU" else array.item()


class CsvLogger:
    """Rows of a CSV file, one per write.

    An existing file is gone on with: a torn last line is cut, and, given `steps_key`, rows
    beyond the first new step are dropped, since a run that was resumed from a checkpoint
    does that work again. A new column rewrites the file with the longer header.
    """

    def __init__(self, path: str | os.PathLike[str], steps_key: str | None = None):
        """Prepares the logger; the file is opened by the first write.

        Args:
          path: the file; its directory is made.
          steps_key: the column that counts the steps.
        """
        self._path = Path(path)
        self._steps_key = steps_key
        self._columns: list[str] = []
        self._file: io.TextIOWrapper | None = None
        self._resuming = True
        self._guard = _Guard(str(self._path))

    def write(self, data: Mapping[str, Any]) -> None:
        """Appends a row and flushes it."""
        row = {name: to_scalar(value) for name, value in data.items()}
        if not self._guard.run(lambda: self._append(row)):
            self._guard.run(self._let_go)

    def close(self) -> None:
        """Closes the file."""
        self._guard.run(self._let_go)

    def _let_go(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _append(self, row: Mapping[str, Any]) -> None:
        if self._file is None or not row.keys() <= set(self._columns):
            self._open(row)
        assert self._file is not None
        csv.DictWriter(self._file, self._columns, lineterminator="\n").writerow(row)
        self._file.flush()

    def _open(self, row: Mapping[str, Any]) -> None:
        """Opens the file for appending, rewritten first if it is not fit for the row."""
        self._let_go()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        stored, columns, sound = read_rows(self._path)
        kept = stored
        if self._resuming and self._steps_key in row:
            kept = [old for old in stored if _is_before(old, row, str(self._steps_key))]
        self._columns = columns + [name for name in row if name not in columns]
        if not sound or len(kept) != len(stored) or self._columns != columns:
            _write_rows(self._path, self._columns, kept)
        self._resuming = False
        self._file = open(self._path, "a", newline="")  # noqa: SIM115


def read_rows(path: Path) -> tuple[list[dict[str, str]], list[str], bool]:
    """Returns the whole rows, the columns, and whether that is all that the file holds."""
    if not path.exists():
        return [], [], False
    text = path.read_text(errors="replace").replace("\0", "")
    whole = text[: text.rfind("\n") + 1]
    lines = list(csv.reader(io.StringIO(whole)))
    columns = lines[0] if lines else []
    rows = [
        dict(zip(columns, line, strict=True)) for line in lines[1:] if len(line) == len(columns)
    ]
    return rows, columns, whole == text and len(rows) == len(lines) - 1


def _write_rows(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, str]]) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(beside, "w", newline="") as file:
            writer = csv.DictWriter(file, columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def _is_before(old: Mapping[str, str], new: Mapping[str, Any], steps_key: str) -> bool:
    try:
        return float(old.get(steps_key, "")) < float(new[steps_key])
    except ValueError:
        return True


class TensorBoardLogger:
    """Scalars in TensorBoard's event files, written without TensorFlow.

    Each logger starts a new event file, as TensorBoard expects. The first event of a
    resumed directory says at which step the run goes on, and TensorBoard then hides what
    was written beyond it.
    """

    def __init__(self, directory: str | os.PathLike[str], steps_key: str = "steps"):
        """Prepares the logger; the file is made by the first write.

        Args:
          directory: where the event files lie; made if missing.
          steps_key: the entry that is the horizontal axis.
        """
        self._directory = Path(directory)
        self._steps_key = steps_key
        self._writer: Any = None
        self._step = 0
        self._guard = _Guard(str(self._directory))

    def write(self, data: Mapping[str, Any]) -> None:
        """Writes the numbers among the data as one event and flushes it.

        Without the entry `steps_key` the event gets the step of the one before.
        """
        scalars = {name: to_scalar(value) for name, value in data.items()}
        self._step = int(scalars.get(self._steps_key, self._step))
        if not self._guard.run(lambda: self._append(scalars)):
            self._guard.run(self._let_go)

    def close(self) -> None:
        """Closes the event file."""
        self._guard.run(self._let_go)

    def _let_go(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    def _append(self, scalars: Mapping[str, Any]) -> None:
        from tensorboard.compat.proto import event_pb2, summary_pb2

        if self._writer is None:
            self._open()
        values = [
            summary_pb2.Summary.Value(tag=name, simple_value=float(value))
            for name, value in scalars.items()
            if isinstance(value, bool | int | float) and name != self._steps_key
        ]
        summary = summary_pb2.Summary(value=values)
        self._record(event_pb2.Event(wall_time=time.time(), step=self._step, summary=summary))

    def _open(self) -> None:
        from tensorboard.compat.proto import event_pb2
        from tensorboard.summary.writer.record_writer import RecordWriter

        self._directory.mkdir(parents=True, exist_ok=True)
        resumed = any(self._directory.glob("events.out.tfevents.*"))
        name = _event_file_name(self._directory)
        file = open(self._directory / name, "xb")  # noqa: SIM115
        self._writer = RecordWriter(file)
        self._record(event_pb2.Event(wall_time=time.time(), file_version="brain.Event:2"))
        if resumed:
            start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
            self._record(event_pb2.Event(wall_time=time.time(), step=self._step, session_log=start))

    def _record(self, event: Any) -> None:
        self._writer.write(event.SerializeToString())
        self._writer.flush()


def _event_file_name(directory: Path) -> str:
    """Returns a free name; TensorBoard reads the files of a directory in their order."""
    stem = f"events.out.tfevents.{int(time.time()):010d}"
    end = f"{socket.gethostname()}.{os.getpid()}"
    names = (f"{stem}.{number:04d}.{end}" for number in itertools.count())
    taken = {path.name for path in directory.iterdir()}
    earlier = sum(name.startswith(stem) for name in taken)
    return next(name for name in itertools.islice(names, earlier, None) if name not in taken)


class Dispatcher:
    """Writes to several loggers."""

    def __init__(self, loggers: Sequence[Logger]):
        self._loggers = tuple(loggers)

    def write(self, data: Mapping[str, Any]) -> None:
        """Writes the entry to each."""
        for logger in self._loggers:
            logger.write(data)

    def close(self) -> None:
        """Closes each."""
        for logger in self._loggers:
            logger.close()


class TimeFilter:
    """Passes on at most one entry per so many seconds, and the first one at once."""

    def __init__(self, logger: Logger, seconds: float, clock: Callable[[], float] = time.monotonic):
        self._logger = logger
        self._seconds = seconds
        self._clock = clock
        self._last = float("-inf")

    def write(self, data: Mapping[str, Any]) -> None:
        """Passes the entry on if it is time to; drops it otherwise."""
        now = self._clock()
        if now - self._last >= self._seconds:
            self._last = now
            self._logger.write(data)

    def close(self) -> None:
        """Closes the logger."""
        self._logger.close()


class WallTime:
    """Adds `wall_time`, the seconds that the run has taken, pauses between resumes left out."""

    def __init__(
        self, logger: Logger, offset: float = 0.0, clock: Callable[[], float] = time.monotonic
    ):
        """Starts the clock.

        Args:
          logger: takes the entries.
          offset: seconds that the run had taken before.
          clock: gives seconds.
        """
        self._logger = logger
        self._clock = clock
        self._start = clock() - offset

    def write(self, data: Mapping[str, Any]) -> None:
        """Passes the entry on with its time."""
        self._logger.write({**data, _WALL_TIME: round(self._clock() - self._start, 3)})

    def close(self) -> None:
        """Closes the logger."""
        self._logger.close()


def make_logger(
    workdir: str | os.PathLike[str],
    label: str,
    steps_key: str,
    seconds: float = 0.0,
) -> Logger:
    """Returns the logger of one part of a program.

    Writes WORKDIR/logs/LABEL.csv and WORKDIR/tensorboard/LABEL; both are gone on with when
    they exist. Every entry gets a `wall_time`.

    Args:
      workdir: the run's directory.
      label: the part's name, such as `learner`.
      steps_key: the entry that counts the part's steps, such as `learner_steps`.
      seconds: the shortest time between two entries; those in between are dropped.
    """
    workdir = Path(workdir)
    logs = workdir / "logs"
    logger: Logger = Dispatcher(
        [
            CsvLogger(logs / f"{label}.csv", steps_key),
            TensorBoardLogger(workdir / "tensorboard" / label, steps_key),
        ]
    )
    logger = WallTime(logger, offset=_time_taken(logs))
    return TimeFilter(logger, seconds) if seconds > 0 else logger


def _time_taken(logs: Path) -> float:
    """Returns the latest `wall_time` in any of the run's CSV files, 0 without one."""
    times = [0.0]
    for path in logs.glob("*.csv"):
        try:
            rows, _, _ = read_rows(path)
            times.append(float(rows[-1][_WALL_TIME]))
        except (OSError, ValueError, KeyError, IndexError):
            continue
    return max(times)


class _Guard:
    """Runs writes; warns at the first that fails and lets the run go on."""

    def __init__(self, name: str):
        self._name = name
        self._warned = False

    def run(self, write: Callable[[], None]) -> bool:
        """Returns whether the write succeeded."""
        try:
            write()
        except OSError as error:
            if not self._warned:
                self._warned = True
                progress.warn(f"cannot write {self._name}: {error}; the run goes on without it")
            return False
        return True
