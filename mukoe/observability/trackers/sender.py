"""Sending of the new metrics, videos and checkpoints of a workdir to a tracker."""

import contextlib
import json
import math
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mukoe.configuration.workdir import flatten, stored_config
from mukoe.observability.loggers.csv_logger import read_rows
from mukoe.observability.loggers.metric_groups import grouped_name
from mukoe.observability.trackers.service import RunDescription, Service, TrackedRun
from mukoe.system import write_atomically

FOLDER = "trackers"
"""Folder of the workdir with the state and the output of each tracker."""

# Entries that are the axis: agent steps, or updates in a run on stored data.
_AXES = ("actor_steps", "learner_steps")
_WALL_TIME = "wall_time"
_BEST = Path("checkpoints", "best")

# Groups whose metrics have one node as their source.
_GROUPS_OF_ONE_NODE = ("loss", "evaluation")


class _Position(NamedTuple):
    """Last row that was sent: its wall time in seconds, and its steps."""

    wall_time: float = -math.inf
    steps: float = -math.inf


class Sender:
    """Sends what has been added to a workdir since the last call, also in earlier processes.

    WORKDIR/trackers/NAME.json holds the identifier of the service's run and what was sent. Rows
    that a resumed run repeats are sent once.
    """

    def __init__(self, workdir: Path, name: str, service: Service, videos: Path):
        """Reads the state; the first `send` opens the run.

        Args:
          workdir: directory of the run.
          name: name of the tracker.
          service: client of the tracker.
          videos: empty folder for GIFs, which exists until `finish` returns.
        """
        self._workdir = workdir
        self._service = service
        self._videos = videos
        self._file = workdir / FOLDER / f"{name}.json"
        self._run: TrackedRun | None = None
        self._state: dict[str, Any] = {"id": uuid.uuid4().hex[:12], "rows": {}, "videos": []}
        with contextlib.suppress(OSError, ValueError):
            self._state |= json.loads(self._file.read_text())
        self._sizes: dict[Path, int] = {}

    def send(self) -> None:
        """Sends new rows and videos. After an error, the next call opens the run again."""
        try:
            run = self._opened()
            for path in sorted((self._workdir / "logs").glob("*.csv")):
                self._send_rows(run, path)
            self._send_videos(run)
        except BaseException:
            self._run = None
            raise
        finally:
            self._store()

    def finish(self) -> None:
        """Sends what is new and the best checkpoint, and closes the run."""
        self.send()
        run = self._opened()
        steps = sorted(path.name for path in (self._workdir / _BEST).glob("[0-9]*"))
        if steps and steps != self._state.get("best"):
            run.log_checkpoint(self._workdir / _BEST)
            self._state["best"] = steps
        run.finish()
        self._run = None
        self._store()

    def _opened(self) -> TrackedRun:
        if self._run is None:
            self._store()  # A run of the service is found again after any end of this process.
            run_id, name = self._state["id"], self._workdir.name
            config = dict(flatten(stored_config(self._workdir)))
            self._run = self._service.open_run(RunDescription(run_id, name, self._workdir, config))
        return self._run

    def _store(self) -> None:
        self._file.parent.mkdir(exist_ok=True)
        write_atomically(self._file, json.dumps(self._state) + "\n")

    def _send_rows(self, run: TrackedRun, path: Path) -> None:
        size = path.stat().st_size
        if self._sizes.get(path) == size:
            return
        sent = self._state["rows"]
        position = _Position(*sent.get(path.name, ()))
        rows, _, _ = read_rows(path)
        for row in rows:
            numbers = dict(_numbers(row))
            steps = next((numbers[key] for key in _AXES if key in numbers), None)
            if steps is None or numbers.get(_WALL_TIME, 0.0) <= position.wall_time:
                continue
            if steps >= position.steps:
                run.log(_metrics(path.stem, numbers), int(steps))
            steps = max(steps, position.steps)
            position = _Position(numbers.get(_WALL_TIME, 0.0), steps)
            sent[path.name] = list(position)
        self._sizes[path] = size

    def _send_videos(self, run: TrackedRun) -> None:
        for path in sorted((self._workdir / "tensorboard" / "pictures").glob("events.*")):
            if path.name not in self._state["videos"]:
                for name, steps, data in _read_gifs(path):
                    file = self._videos / f"{steps:09d}.gif"
                    file.write_bytes(data)
                    run.log_video(name, file, steps)
                self._state["videos"].append(path.name)


def _numbers(row: Mapping[str, str]) -> Iterator[tuple[str, float]]:
    for name, text in row.items():
        with contextlib.suppress(ValueError):
            yield name, float(text)


def _metrics(label: str, numbers: Mapping[str, float]) -> dict[str, float]:
    """Returns the metrics of a row by name: `loss/NAME`, or `search/actor_0/NAME` with the node."""
    metrics = {}
    for name, value in numbers.items():
        if name == _AXES[0]:
            continue
        group, _, metric = grouped_name(label, name).partition("/")
        node = "" if group in _GROUPS_OF_ONE_NODE else f"{label}/"
        metrics[f"{group}/{node}{metric}"] = value
    return metrics


def _read_gifs(path: Path) -> Iterator[tuple[str, int, bytes]]:
    """Yields name, steps and content of the GIFs in an event file of TensorBoard."""
    from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

    for event in LegacyEventFileLoader(str(path)).Load():
        for value in event.summary.value:
            data = value.image.encoded_image_string
            if data.startswith(b"GIF"):
                yield value.tag, event.step, data
