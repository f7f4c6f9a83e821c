"""Configurations whose environment is replaced by --env."""

import dataclasses

from mukoe.configuration import load_config_file
from mukoe.environments.gymnasium.config import GymnasiumConfig
from mukoe.environments.pgx.config import PgxConfig
from mukoe.layouts.common.config_choice import default_layout, with_environment
from mukoe.networks.value_encoding import SupportConfig


def test_bins_that_fit_another_environment_are_replaced(capsys):
    cartpole = load_config_file("configs/cartpole.py")
    config = with_environment(cartpole, GymnasiumConfig("Acrobot-v1"))
    assert config.environment.env == "Acrobot-v1"
    assert config.agent.network.value_support == SupportConfig()
    assert config.agent.network.reward_support == SupportConfig()
    assert "agent.network.value_support" in capsys.readouterr().out
    network = cartpole.agent.network
    bins = {"value_support": network.value_support, "reward_support": network.reward_support}
    assert dataclasses.replace(config.agent.network, **bins) == network


def test_bins_are_kept_for_the_same_environment_and_for_outcomes_of_games(capsys):
    cartpole = load_config_file("configs/cartpole.py")
    assert with_environment(cartpole, GymnasiumConfig("CartPole-v1")) == cartpole
    game = load_config_file("configs/muzero_connect_four.py")
    assert with_environment(game, PgxConfig("othello")).agent == game.agent
    ppo = load_config_file("configs/ppo_cartpole.py")
    assert with_environment(ppo, GymnasiumConfig("Acrobot-v1")).agent == ppo.agent
    assert not capsys.readouterr().out


def test_layout_follows_the_agent():
    assert default_layout(load_config_file("configs/ppo_cartpole.py")) == "sebulba"
    assert default_layout(load_config_file("configs/cartpole.py")) == "local"
