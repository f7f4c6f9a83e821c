"""Interface of experiment trackers, and the tracker of a name."""

import importlib
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from mukoe.errors import UserError

PROJECT = "mukoe"
"""Name of the project that holds the runs, unless the service's own variable names another."""

TRACKERS = ("wandb", "mlflow", "trackio")
"""Names of the trackers, which are those of the packages of their clients."""


class RunDescription(NamedTuple):
    """Description of a run, the same whenever the run is resumed.

    run_id: identifier that selects the run of the service.
    name: name for the user.
    workdir: directory of the run.
    config: configuration by dotted field name.
    """

    run_id: str
    name: str
    workdir: Path
    config: Mapping[str, Any]


class TrackedRun(Protocol):
    """Open run of a service. Methods may raise any error, or block."""

    def log(self, metrics: Mapping[str, float], steps: int) -> None:
        """Sends metrics.

        Args:
          metrics: values by name, such as `loss/value_loss`.
          steps: position on the axis of the run, in agent steps of all actors.
        """

    def log_video(self, name: str, file: Path, steps: int) -> None:
        """Sends a GIF.

        Args:
          name: name, such as `evaluation/episode`.
          file: GIF, which exists until `finish` returns.
          steps: position on the axis of the run.
        """

    def log_checkpoint(self, folder: Path) -> None:
        """Sends a folder with a checkpoint as an artifact."""

    def finish(self) -> None:
        """Sends all that is pending and closes the run."""


class Service(Protocol):
    """Module of a tracker, named `NAME_tracker` in this package."""

    def check_access(self) -> None:
        """Raises a `UserError` if an API key or a part of the client is missing."""

    def open_run(self, description: RunDescription) -> TrackedRun:
        """Opens a new run, or the existing one of the same identifier."""


def load_service(name: str) -> Service:
    """Returns the service of a name in `TRACKERS`, which imports its client when it is used.

    Raises:
      UserError: the client is not installed.
    """
    if importlib.util.find_spec(name) is None:
        raise UserError(
            f"the logger '{name}' needs the package {name}: pip install 'mukoe[trackers]', which "
            "has wandb and trackio on CPython 3.11 and newer"
        )
    module: Any = importlib.import_module(f"mukoe.observability.trackers.{name}_tracker")
    return module


def check_trackers(loggers: tuple[str, ...]) -> None:
    """Checks the trackers among the loggers of a run before it starts.

    Raises:
      UserError: a package or an API key is missing.
    """
    for name in loggers:
        if name in TRACKERS:
            load_service(name).check_access()


def log_model(client: Any, run: Any, run_id: str, folder: Path) -> None:
    """Logs a folder as an artifact of type `model`, by the interface that wandb and trackio share.

    Args:
      client: module of the client.
      run: open run of the client.
      run_id: identifier that begins the name of the artifact.
      folder: folder of a checkpoint.
    """
    artifact = client.Artifact(f"{run_id}-{folder.name}", type="model")
    artifact.add_dir(str(folder))
    run.log_artifact(artifact)
