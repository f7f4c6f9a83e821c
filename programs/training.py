"""What the programs that train have in common: flags, layouts, how a run starts."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from absl import flags

from mukoe.configuration import prepare_workdir, run_main
from mukoe.errors import UserError
from mukoe.layouts.experiment import TrainingConfig
from mukoe.layouts.resources import process_environment, set_process_environment

WORKDIR = flags.DEFINE_string("workdir", None, "Where logs and checkpoints go.")
RESUME = flags.DEFINE_bool("resume", False, "Go on with the run in --workdir.")
NUM_ACTORS = flags.DEFINE_integer("num_actors", None, "Actor processes (distributed).")
INFERENCE = flags.DEFINE_enum(
    "inference",
    None,
    ["auto", "local", "server", "split"],
    "Where actors' policies run (distributed).",
)
MAX_ACTOR_STEPS = flags.DEFINE_integer("max_actor_steps", None, "Agent steps of the whole run.")
SEED = flags.DEFINE_integer("seed", None, "Everything that can be seeded follows from it.")

# What a resumed run may change.
MAY_DIFFER = ("run", "distributed", "sebulba")


def load_config(config_file: Any) -> TrainingConfig:
    """The config file with its overrides, and the flags of this module on top of it.

    Args:
      config_file: of `DEFINE_config`.
    """
    config = config_file.load()
    if not isinstance(config, TrainingConfig):
        raise UserError(f"get_config() in {config_file.filename!r} gives no TrainingConfig")
    return dataclasses.replace(
        config,
        run=replace_given(config.run, max_actor_steps=MAX_ACTOR_STEPS.value, seed=SEED.value),
        distributed=replace_given(
            config.distributed, num_actors=NUM_ACTORS.value, inference=INFERENCE.value
        ),
    )


def replace_given(config: Any, **values: Any) -> Any:
    """Replaces the fields for which there is a value other than None."""
    return dataclasses.replace(config, **{k: v for k, v in values.items() if v is not None})


def require_workdir(example: str) -> None:
    """Raises a `UserError` where no --workdir is given."""
    if not WORKDIR.value:
        raise UserError(f"--workdir is missing; give a folder, such as --workdir={example}")


def train(config: TrainingConfig, config_filename: str, layout: str) -> int:
    """Trains, and returns the exit status or leaves with it.

    Args:
      config: of the run.
      config_filename: the file that it comes from, which is kept in the workdir.
      layout: 'local', 'sebulba' or 'distributed'.
    """
    set_process_environment(process_environment())
    if layout == "distributed":
        _launch(config, config_filename)

    from mukoe.layouts import local, sebulba

    chosen = sebulba if layout == "sebulba" else local
    experiment = config.make_experiment()
    spec = chosen.check(experiment)
    return chosen.train(experiment, spec, _prepare(config, config_filename), RESUME.value)


def run(main: Callable[[], int]) -> NoReturn:
    """Runs `main` as the program, with --lp_launch_type where Launchpad is installed."""
    try:
        import launchpad  # noqa: F401  defines --lp_launch_type
    except ImportError:
        flags.DEFINE_string("lp_launch_type", None, "Needs the extra 'distributed'.")
    run_main(main)


def _launch(config: TrainingConfig, config_filename: str) -> NoReturn:
    try:
        from mukoe.layouts import distributed
    except ImportError as error:
        raise UserError(
            "--layout=distributed needs the extra 'distributed' (Linux, Python 3.10): "
            f"pip install 'mukoe[distributed]' ({error})"
        ) from error
    experiment = config.make_experiment()
    spec = distributed.check(experiment)
    workdir = _prepare(config, config_filename)
    program, counter = distributed.make_program(experiment, spec, workdir, RESUME.value)
    status = distributed.launch(program, counter, experiment, workdir, flags.FLAGS.lp_launch_type)
    distributed.leave(status)


def _prepare(config: TrainingConfig, config_filename: str) -> Path:
    workdir = Path(WORKDIR.value or "")
    return prepare_workdir(workdir, config, config_filename, RESUME.value, MAY_DIFFER)
