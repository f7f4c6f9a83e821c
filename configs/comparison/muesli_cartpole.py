"""Muesli on CartPole-v1 with the networks of `configs/cartpole.py`, to be compared with MuZero."""

import dataclasses
from pathlib import Path

from mukoe.configuration import load_config_file
from mukoe.layouts.experiment import TrainingConfig

CONFIGS = Path(__file__).parents[1]


def get_config() -> TrainingConfig:
    """The settings of `configs/muesli_cartpole.py` with MuZero's networks and evaluations."""
    muesli = load_config_file(str(CONFIGS / "muesli_cartpole.py"))
    muzero = load_config_file(str(CONFIGS / "cartpole.py"))
    return dataclasses.replace(
        muesli,
        agent=dataclasses.replace(muesli.agent, network=muzero.agent.network),
        run=dataclasses.replace(muzero.run, max_actor_steps=muesli.run.max_actor_steps),
    )
