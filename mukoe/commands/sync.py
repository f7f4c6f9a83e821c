"""Sends what a run has not yet sent to its experiment trackers.

mukoe sync --workdir=runs/cartpole
mukoe sync --workdir=runs/cartpole --log=mlflow

Takes the metrics from the CSV files of the workdir, so that it also sends a run that was trained
without a tracker.
"""

import tempfile
from pathlib import Path
from typing import NoReturn

from absl import flags

from mukoe.commands.required_workdir import required_workdir
from mukoe.configuration import run_main
from mukoe.configuration.workdir import stored_config
from mukoe.errors import UserError
from mukoe.observability.trackers.follow import describe, exclusive_sender
from mukoe.observability.trackers.sender import Sender
from mukoe.observability.trackers.service import TRACKERS, load_service
from mukoe.terminal.progress_line import show_phase

WORKDIR = flags.DEFINE_string("workdir", None, "Workdir of the run.")
LOG = flags.DEFINE_list(
    "log", None, f"Trackers: {', '.join(TRACKERS)}. By default those of the run."
)


def main() -> None:
    """Sends the run to each tracker.

    Raises:
      UserError: there is no run or no tracker, or a tracker failed.
    """
    workdir = required_workdir(WORKDIR, "runs/cartpole").resolve()
    loggers = stored_config(workdir).get("run", {}).get("loggers", ())
    names = LOG.value or [name for name in loggers if name in TRACKERS]
    if not names:
        raise UserError(f"{workdir} was trained without a tracker: name one, such as --log=wandb")
    for name in names:
        if name not in TRACKERS:
            raise UserError(f"--log={name} is no tracker; known are {', '.join(TRACKERS)}")
    for name in names:
        _sync(workdir, name)


def _sync(workdir: Path, name: str) -> None:
    show_phase(f"sending to {name}")
    service = load_service(name)
    service.check_access()
    with exclusive_sender(workdir, name, wait=False), tempfile.TemporaryDirectory() as videos:
        try:
            Sender(workdir, name, service, Path(videos)).finish()
        except Exception as error:  # any error of the client
            raise UserError(f"{describe(name, error)}; the next call sends the rest") from error


def run() -> NoReturn:
    """Runs `main` as the program."""
    run_main(main)
