"""Trains an agent on an Atari game, as a Launchpad program or on the devices of this machine.

python programs/launch_atari.py --lp_launch_type=local_mp --game=MsPacman --workdir=runs/pacman
python programs/launch_atari.py --layout=sebulba --agent=ppo --game=Pong --workdir=runs/pong
"""

import enum

import training
from absl import flags

from mukoe.configuration import DEFINE_config
from mukoe.errors import UserError
from mukoe.layouts.common.experiment import TrainingConfig

flags.adopt_module_key_flags(training)


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


def make_config() -> TrainingConfig:
    """The config file with its overrides, and the flags on top of it."""
    if AGENT.value is not None:
        if not flags.FLAGS["config"].using_default_value:
            raise UserError("--agent stands for a config file: give it, or --config, not both")
        flags.FLAGS["config"].parse(AGENT.value.value)
    config = training.load_config(CONFIG)
    return training.replace_given(config, {"environment": {"game": GAME.value}})


def main() -> int:
    """Trains, and returns the exit status or leaves with it."""
    training.require_workdir("runs/pacman")
    return training.train(make_config(), CONFIG.filename, LAYOUT.value)


if __name__ == "__main__":
    training.run(main, make_config)
