"""Logger that writes TensorBoard event files."""

import itertools
import os
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mukoe.observability.loggers.base import WriteGuard, to_scalar

_EVENT_FILES = "events.out.tfevents.*"
_FILE_VERSION = "brain.Event:2"


class TensorBoardLogger:
    """Writes scalars to TensorBoard's event files, without TensorFlow.

    Each logger starts a new event file, as TensorBoard expects. In a directory that has event
    files, the first event marks the step at which the run resumes; TensorBoard then hides
    earlier events beyond that step.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        steps_key: str = "steps",
        tag: Callable[[str], str] = str,
        other_key: str | None = None,
    ):
        """Makes a logger; the first write makes the file.

        Args:
          directory: directory of the event files; it is made if missing.
          steps_key: entry that is the horizontal axis.
          tag: function that returns the tag of an entry.
          other_key: entry that is the axis where `steps_key` is missing.
        """
        self._directory = Path(directory)
        self._steps_key = steps_key
        self._steps_keys = (steps_key,) if other_key is None else (steps_key, other_key)
        self._tag = tag
        self._writer: Any = None
        self._step = 0
        self._guard = WriteGuard(str(self._directory))

    def write(self, data: Mapping[str, Any]) -> None:
        """Writes the numbers of the entry as one event and flushes it.

        An entry without a count of steps gets the step of the previous entry.
        """
        scalars = {name: to_scalar(value) for name, value in data.items()}
        keys = [key for key in self._steps_keys if key in scalars]
        self._step = int(scalars[keys[0]]) if keys else self._step
        if not self._guard.run(lambda: self._append(scalars)):
            self._guard.run(self._release)

    def close(self) -> None:
        """Closes the event file."""
        self._guard.run(self._release)

    def _release(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    def _append(self, scalars: Mapping[str, Any]) -> None:
        from tensorboard.compat.proto import event_pb2, summary_pb2

        if self._writer is None:
            self._open()
        values = [
            summary_pb2.Summary.Value(tag=self._tag(name), simple_value=float(value))
            for name, value in scalars.items()
            if isinstance(value, bool | int | float) and name != self._steps_key
        ]
        summary = summary_pb2.Summary(value=values)
        self._record(event_pb2.Event(wall_time=time.time(), step=self._step, summary=summary))

    def _open(self) -> None:
        from tensorboard.compat.proto import event_pb2
        from tensorboard.summary.writer.record_writer import RecordWriter

        self._directory.mkdir(parents=True, exist_ok=True)
        resumed = any(self._directory.glob(_EVENT_FILES))
        name = _event_file_name(self._directory)
        file = open(self._directory / name, "xb")
        self._writer = RecordWriter(file)
        self._record(event_pb2.Event(wall_time=time.time(), file_version=_FILE_VERSION))
        if resumed:
            start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
            self._record(event_pb2.Event(wall_time=time.time(), step=self._step, session_log=start))

    def _record(self, event: Any) -> None:
        self._writer.write(event.SerializeToString())
        self._writer.flush()


def write_hyper_parameters(directory: str | os.PathLike[str], values: Mapping[str, Any]) -> None:
    """Writes hyper-parameters to an event file, for TensorBoard's HParams tab.

    Metrics of the tab are the scalars of the directories inside. An event file that the
    directory has is kept instead.

    Args:
      directory: directory of the event file; it is made if missing.
      values: hyper-parameters; values other than numbers, booleans and strings become text.
    """
    from tensorboard.plugins.hparams.summary_v2 import hparams_pb

    plain = {
        key: value if isinstance(value, bool | int | float | str) else str(value)
        for key, value in values.items()
    }

    def write() -> None:
        if not any(Path(directory).glob(_EVENT_FILES)):
            write_event_file(directory, 0, hparams_pb(plain))

    WriteGuard(str(directory)).run(write)


def write_event_file(directory: str | os.PathLike[str], step: int, summary: Any) -> None:
    """Writes one event to a new event file, which is complete afterwards.

    Args:
      directory: directory of the event files; it is made if missing.
      step: position on the horizontal axis.
      summary: summary of the event, a protobuf message.

    Raises:
      OSError: the file cannot be written.
    """
    from tensorboard.compat.proto import event_pb2
    from tensorboard.summary.writer.record_writer import RecordWriter

    path, now = Path(directory), time.time()
    path.mkdir(parents=True, exist_ok=True)
    with open(path / _event_file_name(path), "xb") as file:
        writer = RecordWriter(file)
        for event in (
            event_pb2.Event(wall_time=now, file_version=_FILE_VERSION),
            event_pb2.Event(wall_time=now, step=step, summary=summary),
        ):
            writer.write(event.SerializeToString())
        writer.flush()


def _event_file_name(directory: Path) -> str:
    """Returns an unused name that sorts last; TensorBoard reads files in the order of names."""
    stem = f"events.out.tfevents.{int(time.time()):010d}"
    end = f"{socket.gethostname()}.{os.getpid()}"
    names = (f"{stem}.{number:04d}.{end}" for number in itertools.count())
    taken = {path.name for path in directory.iterdir()}
    earlier = sum(name.startswith(stem) for name in taken)
    return next(name for name in itertools.islice(names, earlier, None) if name not in taken)
