"""Trains an agent on an Atari game as a Launchpad program.

python programs/launch_atari.py --lp_launch_type=local_mp --game=MsPacman --workdir=runs/pacman
"""

import dataclasses
from pathlib import Path

from absl import flags

from mukoe.configuration import DEFINE_config, prepare_workdir, run_main
from mukoe.errors import UserError
from mukoe.layouts.experiment import TrainingConfig
from mukoe.layouts.resources import process_environment, set_process_environment

CONFIG = DEFINE_config("configs/atari.py")
GAME = flags.DEFINE_string("game", None, "Name of the game, as ALE spells it, such as MsPacman.")
WORKDIR = flags.DEFINE_string("workdir", None, "Where logs and checkpoints go.")
RESUME = flags.DEFINE_bool("resume", False, "Go on with the run in --workdir.")
NUM_ACTORS = flags.DEFINE_integer("num_actors", None, "Actor processes.")
INFERENCE = flags.DEFINE_enum(
    "inference", None, ["auto", "local", "server", "split"], "Where the policy of the actors runs."
)
MAX_ACTOR_STEPS = flags.DEFINE_integer("max_actor_steps", None, "Agent steps of the whole run.")
SEED = flags.DEFINE_integer("seed", None, "Everything that can be seeded follows from it.")

# What a resumed run may change.
MAY_DIFFER = ("run", "distributed")


def make_config() -> TrainingConfig:
    """The config file with its overrides, and the flags on top of it."""
    config = CONFIG.load()
    if not isinstance(config, TrainingConfig):
        raise UserError(f"get_config() in {CONFIG.filename!r} gives no TrainingConfig")
    return dataclasses.replace(
        config,
        environment=_replace(config.environment, game=GAME.value),
        run=_replace(config.run, max_actor_steps=MAX_ACTOR_STEPS.value, seed=SEED.value),
        distributed=_replace(
            config.distributed, num_actors=NUM_ACTORS.value, inference=INFERENCE.value
        ),
    )


def _replace(config, **values):
    return dataclasses.replace(config, **{k: v for k, v in values.items() if v is not None})


def main() -> None:
    """Builds the program, runs it, and leaves with its status."""
    if not WORKDIR.value:
        raise UserError("--workdir is missing; give a folder, such as --workdir=runs/pacman")
    config = make_config()
    set_process_environment(process_environment())

    from mukoe.layouts import distributed

    launch_type = flags.FLAGS.lp_launch_type
    experiment = config.make_experiment()
    environment_spec = distributed.check(experiment)
    workdir = prepare_workdir(
        Path(WORKDIR.value), config, CONFIG.filename, RESUME.value, MAY_DIFFER
    )
    program, counter = distributed.make_program(
        experiment, environment_spec, workdir, resume=RESUME.value
    )
    status = distributed.launch(program, counter, experiment, workdir, launch_type)
    distributed.leave(status)


if __name__ == "__main__":
    import launchpad  # noqa: F401  defines --lp_launch_type

    run_main(main)
