"""Trains an agent on an Atari game, as a Launchpad program or on the devices of this machine.

python programs/launch_atari.py --lp_launch_type=local_mp --game=MsPacman --workdir=runs/pacman
python programs/launch_atari.py --layout=sebulba --agent=ppo --game=Pong --workdir=runs/pong
"""

import dataclasses
import enum
from pathlib import Path
from typing import NoReturn

from absl import flags

from mukoe.configuration import DEFINE_config, prepare_workdir, run_main
from mukoe.errors import UserError
from mukoe.layouts.experiment import TrainingConfig
from mukoe.layouts.resources import process_environment, set_process_environment


class Agent(enum.Enum):
    """An agent, and its config file."""

    MUZERO = "configs/atari.py"
    MUESLI = "configs/muesli_atari.py"
    PPO = "configs/ppo_atari.py"


CONFIG = DEFINE_config(Agent.MUZERO.value)
LAYOUT = flags.DEFINE_enum(
    "layout",
    "distributed",
    ["distributed", "sebulba"],
    "A Launchpad program, or the devices of this machine.",
)
AGENT = flags.DEFINE_enum_class("agent", None, Agent, "Takes the config file of this agent.")
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
MAY_DIFFER = ("run", "distributed", "sebulba")


def make_config() -> TrainingConfig:
    """The config file with its overrides, and the flags on top of it."""
    if AGENT.value is not None:
        if not flags.FLAGS["config"].using_default_value:
            raise UserError("--agent stands for a config file: give it, or --config, not both")
        flags.FLAGS["config"].parse(AGENT.value.value)
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


def main() -> int:
    """Trains, and returns the exit status or leaves with it."""
    if not WORKDIR.value:
        raise UserError("--workdir is missing; give a folder, such as --workdir=runs/pacman")
    config = make_config()
    set_process_environment(process_environment())
    if LAYOUT.value == "distributed":
        _launch(config)

    from mukoe.layouts import sebulba

    experiment = config.make_experiment()
    environment_spec = sebulba.check(experiment)
    return sebulba.train(experiment, environment_spec, _prepare(config), RESUME.value)


def _launch(config: TrainingConfig) -> NoReturn:
    try:
        from mukoe.layouts import distributed
    except ImportError as error:
        raise UserError(
            "--layout=distributed needs the extra 'distributed' (Linux, Python 3.10): "
            f"pip install 'mukoe[distributed]' ({error})"
        ) from error
    launch_type = flags.FLAGS.lp_launch_type
    experiment = config.make_experiment()
    environment_spec = distributed.check(experiment)
    workdir = _prepare(config)
    program, counter = distributed.make_program(
        experiment, environment_spec, workdir, resume=RESUME.value
    )
    status = distributed.launch(program, counter, experiment, workdir, launch_type)
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
