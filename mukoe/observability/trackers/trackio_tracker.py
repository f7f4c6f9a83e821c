"""trackio: SQLite files in `TRACKIO_DIR`, or a Space or server that trackio's variables name."""

import os
from collections.abc import Mapping
from pathlib import Path

from mukoe.observability.trackers.service import PROJECT, RunDescription, log_model


def check_access() -> None:
    """Does nothing: local files need no key."""


class TrackioRun:
    """Run of trackio."""

    def __init__(self, description: RunDescription):
        """Opens the run; trackio identifies it by its name."""
        import trackio

        self._client = trackio
        self._run = trackio.init(
            project=os.environ.get("TRACKIO_PROJECT", PROJECT),
            name=f"{description.name}-{description.run_id}",
            resume="allow",
            config=dict(description.config),
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )
        self._id = description.run_id

    def log(self, metrics: Mapping[str, float], steps: int) -> None:
        """Logs the metrics."""
        self._run.log(dict(metrics), step=steps)

    def log_video(self, name: str, file: Path, steps: int) -> None:
        """Logs the GIF as a `trackio.Video`."""
        self._run.log({name: self._client.Video(str(file), format="gif")}, step=steps)

    def log_checkpoint(self, folder: Path) -> None:
        """Logs the folder as an artifact of type `model`."""
        log_model(self._client, self._run, self._id, folder)

    def finish(self) -> None:
        """Waits for the pending entries and closes the run."""
        self._run.finish()


open_run = TrackioRun
