"""Muesli with the networks of MuZero (`configs/cartpole.py`), for a comparison."""

import dataclasses
from pathlib import Path

from mukoe.configuration import load_config_file
from mukoe.layouts.common.experiment import TrainingConfig

CONFIGS = Path(__file__).parents[1]


def get_config() -> TrainingConfig:
    """Returns Muesli's config of the task with the networks and the evaluations of MuZero's."""
    muzero = load_config_file(str(CONFIGS / "cartpole.py"))
    muesli = load_config_file(str(CONFIGS / "muesli_cartpole.py"))
    agent = dataclasses.replace(
        muesli.agent, network=muzero.agent.network, history=muzero.agent.history
    )
    run = dataclasses.replace(muzero.run, max_actor_steps=muesli.run.max_actor_steps)
    return dataclasses.replace(muesli, agent=agent, run=run)
