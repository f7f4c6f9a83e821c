"""Compared configs differ in the agent only: same task, same networks, same evaluation."""

import dataclasses
from pathlib import Path

import pytest

from mukoe.configuration import load_config_file

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.mark.parametrize("task", ["cartpole", "lunar_lander"])
def test_muesli_has_muzeros_networks(task):
    muzero = load_config_file(str(CONFIGS / f"{task}.py"))
    muesli = load_config_file(str(CONFIGS / "comparison" / f"muesli_{task}.py"))
    assert type(muzero.agent) is not type(muesli.agent)
    assert muesli.environment == muzero.environment
    assert muesli.agent.network == muzero.agent.network
    assert muesli.agent.history == muzero.agent.history
    same_run = dataclasses.replace(muesli.run, max_actor_steps=muzero.run.max_actor_steps)
    assert same_run == muzero.run


@pytest.mark.parametrize("task", ["cartpole", "lunar_lander"])
def test_it_is_the_muesli_of_that_task_in_all_else(task):
    shipped = load_config_file(str(CONFIGS / f"muesli_{task}.py"))
    compared = load_config_file(str(CONFIGS / "comparison" / f"muesli_{task}.py"))
    network = shipped.agent.network
    assert dataclasses.replace(compared.agent, network=network) == shipped.agent
