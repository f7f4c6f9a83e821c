"""Trains an agent in one process, on the devices of one machine, or as a distributed program.

mukoe train --config=configs/cartpole.py --workdir=runs/cartpole
mukoe train --config=configs/ppo_cartpole.py --workdir=runs/ppo
mukoe train --env=LunarLander-v3 --workdir=runs/lunar_lander
"""

from typing import NoReturn

from absl import flags

from mukoe.commands import training
from mukoe.configuration import DEFINE_config
from mukoe.layouts.common.experiment import TrainingConfig

flags.adopt_module_key_flags(training)

CONFIG = DEFINE_config("configs/cartpole.py")
LAYOUT = flags.DEFINE_enum(
    "layout",
    None,
    ["local", "sebulba", "distributed"],
    "One process and thread, the devices of this machine, or a distributed program. By default "
    "'sebulba' for an agent that learns from rollouts, such as PPO, and 'local' for others.",
)
OFFLINE = flags.DEFINE_string(
    "offline",
    None,
    "Data to learn from without actors (local): the workdir of a run with a stored replay, "
    "minari:NAME for a Minari data set, or several with shares of the batches, such as "
    "runs/a:0.7,minari:cartpole/random-v0:0.3. Periods of the run then count learner steps.",
)
DEMONSTRATIONS = flags.DEFINE_string(
    "demonstrations",
    None,
    "Data that are sampled beside those of the actors (local, distributed), with "
    "--config.agent.replay.demonstration_fraction; sources as of --offline.",
)
ENV = flags.DEFINE_string(
    "env",
    None,
    "Name of an environment, such as Acrobot-v1, 2048 or dm_env_rpc://HOST:PORT, instead of the "
    "config's environment; mukoe environments lists all names. Without --config, a "
    "configuration is chosen for the environment.",
)


def make_config() -> TrainingConfig:
    """Returns the configuration of the file or of the environment, with overrides and flags."""
    return training.load_config(CONFIG, ENV.value)


def main() -> int:
    """Trains and returns the exit status; the distributed layout exits the process."""
    training.require_workdir("runs/cartpole")
    config = make_config()
    return training.train(config, CONFIG, LAYOUT.value, OFFLINE.value, DEMONSTRATIONS.value)


def run() -> NoReturn:
    """Runs `main` as the program."""
    training.run(main, make_config)
