"""Trains an agent on any environment: in one process, on its devices, or as a Launchpad program.

python programs/launch.py --config=configs/cartpole.py --workdir=runs/cartpole
python programs/launch.py --config=configs/ppo_cartpole.py --layout=sebulba --workdir=runs/ppo
"""

import dataclasses

import training
from absl import flags

from mukoe.configuration import DEFINE_config
from mukoe.environments.game_functions import PGX_GAMES
from mukoe.environments.pgx_games import PgxConfig
from mukoe.errors import UserError
from mukoe.layouts.experiment import TrainingConfig

flags.adopt_module_key_flags(training)

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


def make_config() -> TrainingConfig:
    """The config file with its overrides, and the flags on top of it."""
    config = training.load_config(CONFIG)
    return dataclasses.replace(config, environment=_with_env(config.environment, ENV.value))


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
    return dataclasses.replace(environment, env=env)


def main() -> int:
    """Trains, and returns the exit status or leaves with it."""
    training.require_workdir("runs/cartpole")
    return training.train(make_config(), CONFIG.filename, LAYOUT.value)


if __name__ == "__main__":
    training.run(main)
