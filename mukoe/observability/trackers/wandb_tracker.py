"""Weights & Biases: `WANDB_MODE=offline` keeps the run in WORKDIR/wandb for `wandb sync`."""

import os
from collections.abc import Mapping
from pathlib import Path

from mukoe.errors import UserError
from mukoe.observability.trackers.service import PROJECT, RunDescription, log_model

_STEPS = "steps"
_LOCAL_MODES = ("offline", "dryrun", "disabled")

# Seconds for which the end of a run waits for its upload.
_FINISH_SECONDS = 20.0


def check_access() -> None:
    """Raises a `UserError` if an API key is needed and missing."""
    if os.environ.get("WANDB_MODE") in _LOCAL_MODES:
        return
    import wandb

    try:
        has_key = wandb.login(prompt=False)
    except wandb.Error:
        has_key = False
    if not has_key:
        raise UserError(
            "the logger 'wandb' has no API key: run 'wandb login', set WANDB_API_KEY, or set "
            "WANDB_MODE=offline and send the run later with 'wandb sync'"
        )


class WandbRun:
    """Run of Weights & Biases."""

    def __init__(self, description: RunDescription):
        """Opens the run, with the steps of the run as the axis of all metrics."""
        import wandb

        self._client = wandb
        self._id = description.run_id
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            id=description.run_id,
            name=description.name,
            resume="allow",
            dir=description.workdir,
            config=dict(description.config),
            settings=wandb.Settings(
                silent=True, console="off", save_code=False, finish_timeout=_FINISH_SECONDS
            ),
        )
        self._run.define_metric(_STEPS)
        self._run.define_metric("*", step_metric=_STEPS)

    def log(self, metrics: Mapping[str, float], steps: int) -> None:
        """Logs the metrics with their steps."""
        self._run.log({**metrics, _STEPS: steps})

    def log_video(self, name: str, file: Path, steps: int) -> None:
        """Logs the GIF as a `wandb.Video`."""
        self._run.log({name: self._client.Video(str(file), format="gif"), _STEPS: steps})

    def log_checkpoint(self, folder: Path) -> None:
        """Logs the folder as an artifact of type `model`."""
        log_model(self._client, self._run, self._id, folder)

    def finish(self) -> None:
        """Finishes the run."""
        self._run.finish()


open_run = WandbRun
