"""Training from Python, which writes the same workdir as the command `mukoe train`."""

import os
import threading
from collections.abc import Mapping
from typing import Any, Literal

from mukoe.api.agent import TrainedAgent, load
from mukoe.configuration import load_config_file, prepare_workdir, with_values
from mukoe.configuration.cli import find_config_file
from mukoe.configuration.plain import is_importable
from mukoe.errors import UserError
from mukoe.layouts import local, sebulba
from mukoe.layouts.common.experiment import TrainingConfig
from mukoe.system import process_environment, set_process_environment
from mukoe.terminal.interruption import STATUS_INTERRUPTED

_LAYOUTS = {"local": local, "sebulba": sebulba}


def train(
    config: str | os.PathLike[str] | TrainingConfig,
    workdir: str | os.PathLike[str],
    *,
    layout: Literal["local", "sebulba"] = "local",
    overrides: Mapping[str, Any] | None = None,
) -> TrainedAgent:
    """Trains to the end of the run and returns the agent of the newest checkpoint.

    Args:
      config: name of a shipped config, path of a config file, or a configuration.
      workdir: directory of logs and checkpoints, without a run.
      layout: `local` for one process and thread, `sebulba` for the devices of this machine.
      overrides: values by dotted field name, such as `{"run.max_actor_steps": 2_000}`.

    Raises:
      UserError: the configuration is invalid, the workdir holds a run, or this is not the main
        thread, which alone receives Ctrl-C.
      KeyboardInterrupt: Ctrl-C ended the run; its newest checkpoint can be loaded.
    """
    if layout not in _LAYOUTS:
        raise UserError(f"layout is one of {', '.join(_LAYOUTS)}, not {layout!r}")
    if threading.current_thread() is not threading.main_thread():
        raise UserError("train() runs in the main thread, which alone receives Ctrl-C")
    set_process_environment(process_environment())
    file = None
    if not isinstance(config, TrainingConfig):
        file = find_config_file(os.fspath(config))
        config = _load(file)
    config = with_values(config, _nested(overrides or {}))
    if file is None:
        _require_importable(config)
    chosen = _LAYOUTS[layout]
    experiment = config.make_experiment()
    spec = chosen.check(experiment)
    prepared = prepare_workdir(workdir, config, file, resume=False, launch={"layout": layout})
    if chosen.train(experiment, spec, prepared) == STATUS_INTERRUPTED:
        raise KeyboardInterrupt
    return load(prepared)


def _load(file: str) -> TrainingConfig:
    config = load_config_file(file)
    if not isinstance(config, TrainingConfig):
        raise UserError(f"get_config() in {file!r} returns no TrainingConfig")
    return config


def _require_importable(config: TrainingConfig) -> None:
    """Raises a `UserError` if no other process could load a configuration without config file."""
    for part in (config.environment, config.agent, config):
        if not is_importable(part):
            raise UserError(
                f"{type(part).__name__} is defined in a notebook or a script, where the commands "
                "cannot import it: move it to a module, or to a config file"
            )


def _nested(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Returns nested dicts of values by dotted name."""
    nested: dict[str, Any] = {}
    for name, value in overrides.items():
        *groups, field = name.split(".")
        inner = nested
        for group in groups:
            inner = inner.setdefault(group, {})
        inner[field] = value
    return nested
