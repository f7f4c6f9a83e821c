"""Small trained runs that several tests look at."""

import functools
from pathlib import Path

from mukoe.configuration import load_config_file, prepare_workdir
from mukoe.layouts import local


@functools.cache
def train(name: str, directory: Path) -> Path:
    """Trains `tiny_NAME.py` in the directory, once in this process, and returns the workdir."""
    config_file = Path(__file__).with_name(f"tiny_{name}.py")
    config = load_config_file(str(config_file))
    workdir = prepare_workdir(directory / name, config, config_file, resume=False)
    assert local.train(config.make_experiment(), workdir) == 0
    return workdir
