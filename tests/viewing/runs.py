"""Tiny trained runs, made once per process."""

import functools
import tempfile
from pathlib import Path

from mukoe.layouts.common.stored_run import open_run
from mukoe.viewing.inspected_agent import InspectedAgent
from tests.trained_runs import train_once

_FOLDER = tempfile.TemporaryDirectory(prefix="mukoe-runs-")


def trained_run(name: str) -> Path:
    """Trains with `tiny_{name}.py` and returns the workdir."""
    return train_once(Path(__file__).with_name(f"tiny_{name}.py"), Path(_FOLDER.name) / name)


@functools.cache
def opened_run(name: str):
    """The run and its agent."""
    run = open_run(trained_run(name))
    return run, InspectedAgent(run.experiment.builder, run.environment_spec, run.params)
