"""Searches for settings of an agent with Optuna.

mukoe sweep --sweep=configs/sweep_cartpole.py --workdir=runs/sweep
mukoe sweep --resume --workdir=runs/sweep
mukoe sweep --sweep=configs/sweep_cartpole.py --workdir=/shared/sweep --launcher=ray
"""

import dataclasses
from pathlib import Path
from typing import NoReturn

from absl import flags

from mukoe.configuration import apply_overrides, load_config_file, run_main
from mukoe.configuration.cli import find_config_file
from mukoe.errors import UserError
from mukoe.layouts.common.config_choice import default_layout
from mukoe.layouts.common.experiment import TrainingConfig
from mukoe.layouts.common.reporting import typed_program
from mukoe.sweeps.config import SweepConfig
from mukoe.sweeps.side_by_side import environment_of, runs_at_once
from mukoe.system import (
    available_cores,
    process_environment,
    set_process_environment,
    write_atomically,
)

SWEEP = flags.DEFINE_string(
    "sweep", None, "File whose get_config() returns a SweepConfig: fields, budget, sampler, pruner."
)
WORKDIR = flags.DEFINE_string("workdir", None, "Directory of the sweep; trial N is in trial_N.")
RESUME = flags.DEFINE_bool("resume", False, "Continue the sweep in --workdir.")
TRIALS = flags.DEFINE_integer(
    "trials", None, "Number of trials, instead of that of the file.", lower_bound=1
)
WORKERS = flags.DEFINE_integer(
    "workers", None, "Trials that train at a time; by default as the cores allow.", lower_bound=1
)
LAUNCHER = flags.DEFINE_enum(
    "launcher",
    "local",
    ["local", "ray"],
    "Trials train on this machine, or on a Ray cluster by Ray Tune.",
)
RAY_ADDRESS = flags.DEFINE_string(
    "ray_address",
    None,
    "HOST:PORT of the head of a Ray cluster, or 'local' to start one; by default the running "
    "cluster of this machine.",
)

_COPY = "sweep.py"


def main() -> int:
    """Runs the trials and returns the exit status."""
    if not WORKDIR.value:
        raise UserError("--workdir is missing; give a directory, such as --workdir=runs/sweep")
    workdir = Path(WORKDIR.value).expanduser().resolve()
    file = _sweep_file(workdir)
    sweep = _load(file)
    config = _check_space(sweep)
    if LAUNCHER.value == "local" and RAY_ADDRESS.value is not None:
        raise UserError("--ray_address is for --launcher=ray: add it, or leave --ray_address out")
    set_process_environment(process_environment())
    if LAUNCHER.value == "ray":
        return _train_on_ray(workdir, file, sweep, config)
    try:
        from mukoe.sweeps.local_sweep import LocalSweep
    except ImportError as error:
        raise UserError(
            f"a sweep needs the extra 'sweeps': pip install 'mukoe[sweeps]' ({error})"
        ) from error
    cores = available_cores()
    most = runs_at_once(config, default_layout(config), cores)
    at_once = min(WORKERS.value or most, sweep.num_trials)
    _prepare_workdir(workdir, file)
    trials = LocalSweep(workdir, sweep, config, at_once, environment_of(cores, at_once))
    return trials.train(f"{typed_program()} --resume --workdir={workdir}")


def _train_on_ray(workdir: Path, file: Path, sweep: SweepConfig, config: TrainingConfig) -> int:
    """Runs the trials on a Ray cluster and returns the exit status."""
    try:
        from mukoe.layouts.distributed.ray import connection
        from mukoe.sweeps.ray_sweep import RaySweep, resources_of_trial
    except ImportError as error:
        reason = " ".join(str(error).split())
        raise UserError(
            "a sweep with --launcher=ray needs the extras 'ray' and 'sweeps' on Python 3.11 or "
            f"later: pip install 'mukoe[ray,sweeps]' ({reason})"
        ) from error
    with connection.connected(RAY_ADDRESS.value):
        resources = resources_of_trial(config, default_layout(config), connection.machines())
        _prepare_workdir(workdir, file)
        connection.check_workdir(workdir, connection.machines())
        trials = RaySweep(workdir, sweep, config, resources, WORKERS.value)
        flags = "--launcher=ray"
        if RAY_ADDRESS.value is not None:
            flags += f" --ray_address={RAY_ADDRESS.value}"
        return trials.train(f"{typed_program()} --resume {flags} --workdir={workdir}")


def _sweep_file(workdir: Path) -> Path:
    """Returns the file of the sweep: that of the command, or its copy in the workdir."""
    copy = workdir / _COPY
    if RESUME.value:
        if not copy.exists():
            raise UserError(f"there is no sweep to resume in {workdir}: start it without --resume")
        if SWEEP.value is not None:
            raise UserError("--resume takes the sweep of the workdir: leave --sweep out")
        return copy
    if SWEEP.value is None:
        raise UserError("--sweep is missing; give a file, such as configs/sweep_cartpole.py")
    if workdir.exists() and any(workdir.iterdir()):
        raise UserError(
            f"workdir {workdir} is not empty: continue its sweep with --resume, or give another "
            "--workdir"
        )
    return Path(find_config_file(SWEEP.value))


def _prepare_workdir(workdir: Path, file: Path) -> None:
    """Makes the workdir of a new sweep, with a copy of its file."""
    if RESUME.value:
        return
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        write_atomically(workdir / _COPY, file.read_text())
    except OSError as error:
        raise UserError(f"cannot write to workdir {workdir}: {error.strerror}") from error


def _load(file: Path) -> SweepConfig:
    sweep = load_config_file(str(file))
    if not isinstance(sweep, SweepConfig):
        raise UserError(f"get_config() in {str(file)!r} returns no SweepConfig")
    if TRIALS.value is not None:
        return dataclasses.replace(sweep, num_trials=TRIALS.value)
    return sweep


def _check_space(sweep: SweepConfig) -> TrainingConfig:
    """Returns the configuration that is varied.

    Raises:
      UserError: it is no training config, or an extreme of the space is no value of its field.
    """
    config = load_config_file(sweep.config)
    if not isinstance(config, TrainingConfig):
        raise UserError(f"get_config() in {sweep.config!r} returns no TrainingConfig")
    config = apply_overrides(config, sweep.overrides)
    for values in sweep.corners():
        apply_overrides(config, {name: str(value) for name, value in values.items()})
    return config


def run() -> NoReturn:
    """Runs `main` as the program."""
    run_main(main)
