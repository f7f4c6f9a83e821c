"""Trains an agent on an Atari game, as a distributed program or on the devices of one machine.

mukoe train_atari --lp_launch_type=local_mp --game=MsPacman --workdir=runs/pacman
mukoe train_atari --layout=sebulba --agent=ppo --game=Pong --workdir=runs/pong
"""

import enum
from typing import NoReturn

from absl import flags

from mukoe.commands import training
from mukoe.configuration import DEFINE_config
from mukoe.errors import UserError
from mukoe.layouts.common.experiment import TrainingConfig

flags.adopt_module_key_flags(training)


class Agent(enum.Enum):
    """Config file of each agent."""

    MUZERO = "configs/atari.py"
    MUESLI = "configs/muesli_atari.py"
    PPO = "configs/ppo_atari.py"


CONFIG = DEFINE_config(Agent.MUZERO.value)
LAYOUT = flags.DEFINE_enum(
    "layout",
    "distributed",
    ["distributed", "sebulba"],
    "A distributed program, or the devices of this machine.",
)
AGENT = flags.DEFINE_enum_class("agent", None, Agent, "Agent, which selects the config file.")
GAME = flags.DEFINE_string("game", None, "Name of the game in ALE's spelling, such as MsPacman.")


def make_config() -> TrainingConfig:
    """Returns the configuration of the file, the overrides and the flags."""
    if AGENT.value is not None:
        if not flags.FLAGS["config"].using_default_value:
            raise UserError("--agent selects a config file: give either --agent or --config")
        flags.FLAGS["config"].parse(AGENT.value.value)
        flags.FLAGS["config"].using_default_value = False
    config = training.load_config(CONFIG)
    return training.replace_given(config, {"environment": {"game": GAME.value}})


def main() -> int:
    """Trains and returns the exit status; the distributed layout exits the process."""
    training.require_workdir("runs/pacman")
    config = make_config()
    return training.train(config, CONFIG, LAYOUT.value)


def run() -> NoReturn:
    """Runs `main` as the program."""
    training.run(main, make_config)
