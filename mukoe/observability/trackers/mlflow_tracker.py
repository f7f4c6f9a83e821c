"""MLflow: on the server or file of `MLFLOW_TRACKING_URI`, by default WORKDIR/mlflow.db."""

import importlib.util
import os
import time
from collections.abc import Mapping
from pathlib import Path

from mukoe.errors import UserError
from mukoe.observability.trackers.service import PROJECT, RunDescription

_RUN_ID = "mukoe_run_id"
_SQL_PACKAGES = ("sqlalchemy", "alembic")

# Limit of the server for one request.
_MAX_PARAMS = 100


def check_access() -> None:
    """Raises a `UserError` if the database of the workdir needs a missing package."""
    import mlflow

    if mlflow.is_tracking_uri_set():
        return
    missing = [name for name in _SQL_PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"the logger 'mlflow' needs {' and '.join(missing)} to write WORKDIR/mlflow.db: "
            f"pip install {' '.join(missing)}, or set MLFLOW_TRACKING_URI to a server"
        )


class MlflowRun:
    """Run of MLflow, found again by a tag."""

    def __init__(self, description: RunDescription):
        """Opens the run."""
        import mlflow
        from mlflow.entities import Param
        from mlflow.tracking import MlflowClient

        workdir, is_remote = description.workdir, mlflow.is_tracking_uri_set()
        self._client = MlflowClient(None if is_remote else f"sqlite:///{workdir / 'mlflow.db'}")
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        experiment = self._client.get_experiment_by_name(name)
        if experiment is None:
            folder = None if is_remote else (workdir / "mlflow_artifacts").as_uri()
            experiment_id = self._client.create_experiment(name, artifact_location=folder)
        else:
            experiment_id = experiment.experiment_id
        query = f"tags.{_RUN_ID} = '{description.run_id}'"
        found = self._client.search_runs([experiment_id], query, max_results=1)
        if found:
            self._id = found[0].info.run_id
            self._client.update_run(self._id, status="RUNNING")
        else:
            tags = {_RUN_ID: description.run_id}
            run = self._client.create_run(experiment_id, tags=tags, run_name=description.name)
            self._id = run.info.run_id
        known = found[0].data.params if found else {}
        params = [Param(key, str(value)) for key, value in description.config.items()]
        new = [param for param in params if param.key not in known]
        for start in range(0, len(new), _MAX_PARAMS):
            self._client.log_batch(self._id, params=new[start : start + _MAX_PARAMS])

    def log(self, metrics: Mapping[str, float], steps: int) -> None:
        """Logs the metrics in one request."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        batch = [Metric(name, value, now, steps) for name, value in metrics.items()]
        self._client.log_batch(self._id, metrics=batch)

    def log_video(self, name: str, file: Path, steps: int) -> None:
        """Logs the GIF as an artifact, whose file is named after the steps."""
        self._client.log_artifact(self._id, str(file), name)

    def log_checkpoint(self, folder: Path) -> None:
        """Logs the folder as artifacts in `checkpoints`."""
        self._client.log_artifacts(self._id, str(folder), f"checkpoints/{folder.name}")

    def finish(self) -> None:
        """Marks the run as finished."""
        self._client.set_terminated(self._id)


open_run = MlflowRun
