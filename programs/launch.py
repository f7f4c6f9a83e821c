"""Trains an agent on any environment: in one process, on its devices, or as a Launchpad program.

python programs/launch.py --config=configs/cartpole.py --workdir=runs/cartpole
python programs/launch.py --config=configs/ppo_cartpole.py --layout=sebulba --workdir=runs/ppo
"""

import dataclasses
from pathlib import Path
from typing import NoReturn

from absl import flags

from mukoe.configuration import DEFINE_config, prepare_workdir, run_main
from mukoe.environments.game_functions import PGX_GAMES
from mukoe.environments.pgx_games import PgxConfig
from mukoe.errors import UserError
from mukoe.layouts.experiment import TrainingConfig
from mukoe.layouts.resources import process_environment, set_process_environment

CONFIG = DEFINE_config("configs/cartpole.py")
LAYOUT = flags.DEFINE_enum(
    "layout",
    "local",
    ["local", "sebulba", "distributed"],
    "One thread, the devices of this machine, or a Launchpad program.",
)
ENV = flags.DEFINE_string(
    "env", None, "Gymnasium environment, or game of pgx such as 2048, instead of the config's."
)
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


def make_config() -> TrainingConfig:
    """The config file with its overrides, and the flags on top of it."""
    config = CONFIG.load()
    if not isinstance(config, TrainingConfig):
        raise UserError(f"get_config() in {CONFIG.filename!r} gives no TrainingConfig")
    return dataclasses.replace(
        config,
        environment=_with_env(config.environment, ENV.value),
        run=_replace(config.run, max_actor_steps=MAX_ACTOR_STEPS.value, seed=SEED.value),
        distributed=_replace(
            config.distributed, num_actors=NUM_ACTORS.value, inference=INFERENCE.value
        ),
    )


def _with_env(environment, env: str | None):
    if env is None:
        return environment
    if env in PGX_GAMES:
        if isinstance(environment, PgxConfig):
            return dataclasses.replace(environment, game=env)
        return PgxConfig(env)
    if not hasattr(environment, "env"):
        raise UserError(
            f"--env={env} names a Gymnasium environment, but {CONFIG.filename} is about "
            f"{type(environment).__name__}; use a Gymnasium config, such as configs/cartpole.py"
        )
    return _replace(environment, env=env)


def _replace(config, **values):
    return dataclasses.replace(config, **{k: v for k, v in values.items() if v is not None})


def main() -> int:
    """Trains, and returns the exit status."""
    if not WORKDIR.value:
        raise UserError("--workdir is missing; give a folder, such as --workdir=runs/cartpole")
    config = make_config()
    set_process_environment(process_environment())
    if LAYOUT.value == "distributed":
        _launch(config)

    from mukoe.layouts import local, sebulba

    layout = sebulba if LAYOUT.value == "sebulba" else local
    experiment = config.make_experiment()
    spec = layout.check(experiment)
    return layout.train(experiment, spec, _prepare(config), RESUME.value)


def _launch(config: TrainingConfig) -> NoReturn:
    try:
        from mukoe.layouts import distributed
    except ImportError as error:
        raise UserError(
            "--layout=distributed needs the extra 'distributed' (Linux, Python 3.10): "
            f"pip install 'mukoe[distributed]' ({error})"
        ) from error
    experiment = config.make_experiment()
    spec = distributed.check(experiment)
    workdir = _prepare(config)
    program, counter = distributed.make_program(experiment, spec, workdir, RESUME.value)
    status = distributed.launch(program, counter, experiment, workdir, flags.FLAGS.lp_launch_type)
    distributed.leave(status)


def _prepare(config: TrainingConfig) -> Path:
    workdir = Path(WORKDIR.value or "")
    return prepare_workdir(workdir, config, CONFIG.filename, RESUME.value, MAY_DIFFER)


if __name__ == "__main__":
    try:
        import launchpad  # noqa: F401  defines --lp_launch_type
    except ImportError:
        flags.DEFINE_string("lp_launch_type", None, "Needs the extra 'distributed'.")

    run_main(main)
