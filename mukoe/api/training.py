"""Training from Python, which writes the same workdir as the command `mukoe train`."""

import os
import threading
from collections.abc import Mapping
from typing import Any, Literal

from mukoe.api.agent import TrainedAgent, load
from mukoe.configuration import load_config_file, prepare_workdir, with_values
from mukoe.configuration.cli import find_config_file
from mukoe.configuration.plain import is_importable
from mukoe.configuration.workdir import CONFIG_FILE, nest
from mukoe.environments.registry import named_environment
from mukoe.errors import UserError
from mukoe.layouts import local, sebulba
from mukoe.layouts.common.config_choice import default_layout, with_environment
from mukoe.layouts.common.default_config import default_config
from mukoe.layouts.common.experiment import TrainingConfig
from mukoe.observability.trackers.service import check_trackers
from mukoe.system import process_environment, set_process_environment
from mukoe.terminal.interruption import STATUS_INTERRUPTED
from mukoe.viewing.tensorboard_episodes import drawn_experiment

_LAYOUTS = {"local": local, "sebulba": sebulba}


def train(
    config: str | os.PathLike[str] | TrainingConfig | None,
    workdir: str | os.PathLike[str],
    *,
    env: str | None = None,
    layout: Literal["local", "sebulba"] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> TrainedAgent:
    """Trains to the end of the run and returns the agent of the newest checkpoint.

    Args:
      config: name of a shipped config, path of a config file, a configuration, or None for the
        configuration that is chosen for `env`.
      workdir: directory of logs and checkpoints, without a run.
      env: name of an environment, instead of that of `config`.
      layout: `local` for one process and thread, `sebulba` for the devices of this machine; None
        for that of the agent.
      overrides: values by dotted field name, such as `{"run.max_actor_steps": 2_000}`.

    Raises:
      UserError: the configuration is invalid, the workdir holds a run, or this is not the main
        thread, which alone receives Ctrl-C.
      KeyboardInterrupt: Ctrl-C ended the run; its newest checkpoint can be loaded.
    """
    if layout not in (*_LAYOUTS, None):
        raise UserError(f"layout is one of {', '.join(_LAYOUTS)}, not {layout!r}")
    if threading.current_thread() is not threading.main_thread():
        raise UserError("train() runs in the main thread, which alone receives Ctrl-C")
    if os.path.exists(os.path.join(workdir, CONFIG_FILE)):
        raise UserError(
            f"{workdir} already holds an experiment: open it with load(), or give another workdir"
        )
    set_process_environment(process_environment())
    file = find_config_file(os.fspath(config)) if isinstance(config, str | os.PathLike) else None
    found = with_values(_make_config(file or config, env), nest(overrides or {}))
    if file is None:
        _require_importable(found)
    check_trackers(found.run.loggers)
    name = layout or default_layout(found)
    chosen, experiment = _LAYOUTS[name], drawn_experiment(found)
    spec = chosen.check(experiment)
    prepared = prepare_workdir(workdir, found, file, resume=False, launch={"layout": name})
    if chosen.train(experiment, spec, prepared) == STATUS_INTERRUPTED:
        raise KeyboardInterrupt
    return load(prepared)


def _make_config(config: Any, env: str | None) -> TrainingConfig:
    """Returns the configuration of a file or of an environment, or one with the environment."""
    if config is None:
        if env is None:
            raise UserError('give a config, such as "cartpole", or env, such as env="Acrobot-v1"')
        return default_config(named_environment(env))
    if isinstance(config, str):
        config = load_config_file(config)
    if not isinstance(config, TrainingConfig):
        raise UserError(f"config is no TrainingConfig, but a {type(config).__name__}")
    return (
        config
        if env is None
        else with_environment(config, named_environment(env, config.environment))
    )


def _require_importable(config: TrainingConfig) -> None:
    """Raises a `UserError` if no other process could load a configuration without config file."""
    for part in (config.environment, config.agent, config):
        if not is_importable(part):
            raise UserError(
                f"{type(part).__name__} is defined in a notebook or a script, where the commands "
                "cannot import it: move it to a module, or to a config file"
            )
