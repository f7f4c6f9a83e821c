"""Configurations that are chosen for an environment."""

import dm_env
import numpy as np
import pytest
from dm_env import specs

from mukoe.agents.muzero.config import MuZeroConfig
from mukoe.agents.ppo.config import PPOConfig
from mukoe.environments.atari.config import AtariConfig
from mukoe.environments.gymnasium.config import GymnasiumConfig
from mukoe.environments.pgx.config import PgxConfig
from mukoe.layouts.common.default_config import (
    RewardStatistics,
    default_config,
    describe,
    random_rewards,
)
from mukoe.layouts.common.experiment import check_experiment
from mukoe.types import EnvironmentSpec, ProductArray
from tests.environments.gymnasium import workshop


@pytest.mark.parametrize(
    "environment, torso",
    [
        (GymnasiumConfig("MountainCar-v0"), "tanh_mlp"),
        (GymnasiumConfig("Blackjack-v1"), "tanh_mlp"),
        (GymnasiumConfig("Pendulum-v1"), "tanh_mlp"),
        (PgxConfig("2048"), "tanh_mlp"),
        (AtariConfig("Pong"), "impala"),
    ],
)
def test_agent_fits_the_environment(environment, torso):
    config = default_config(environment)
    assert isinstance(config.agent, PPOConfig)
    assert config.agent.network.torso == torso
    assert torso in describe(config, "local") and "layout local" in describe(config, "local")
    check_experiment(config.make_experiment())


@pytest.mark.parametrize("game", ["connect_four", "backgammon"])
def test_two_players_learn_by_self_play(game):
    config = default_config(PgxConfig(game))
    assert isinstance(config.agent, MuZeroConfig)
    check_experiment(config.make_experiment())


def test_environment_without_a_time_limit_gets_one():
    limited = default_config(GymnasiumConfig("CliffWalking-v1")).environment
    assert limited.arguments == {"max_episode_steps": 1000}
    assert limited.action_mask == "none"


def test_mask_is_used_where_there_is_one():
    taxi = default_config(GymnasiumConfig("Taxi-v4")).environment
    assert (taxi.arguments, taxi.action_mask) == ({}, "info")


@pytest.mark.parametrize(
    "mean, largest, scale",
    [
        (0.0, 0.0, 1.0),  # No reward was found.
        (1.0, 1.0, 0.3),  # A reward of -1 per step.
        (0.002, 1.0, 1.0),  # A rare reward of 1.
        (5.0, 10.0, 0.06),
        (2_000.0, 50_000.0, 2e-5),
    ],
)
def test_rewards_are_scaled_by_their_magnitude(mean, largest, scale):
    assert RewardStatistics(mean, largest).scale == scale


def test_rewards_of_random_actions_are_measured():
    vector = GymnasiumConfig("MountainCar-v0").make_factory()(0, 8, False)
    rewards = random_rewards(vector, seed=0)
    vector.close()
    # The step that restarts an episode has no reward.
    assert rewards.largest == 1 and 0.99 < rewards.mean <= 1


class Recorder:
    """A vector of 8 environments that records the actions, with a reward of 1 per step."""

    num_envs = 8

    def __init__(self, actions, discount=1.0):
        self.spec = EnvironmentSpec(
            observations=specs.Array((2,), np.float32),
            actions=actions,
            rewards=specs.Array((), np.float32),
            discounts=specs.BoundedArray((), np.float32, min(discount, 0.0), 1.0),
        )
        self.actions = []

    def make_factory(self):
        return lambda seed, num_envs, evaluation: self

    def reset(self):
        return dm_env.restart(np.zeros((8, 2), np.float32))

    def step(self, action):
        self.actions.append(action)
        return dm_env.transition(np.ones(8), np.zeros((8, 2), np.float32))

    def close(self):
        pass


def test_random_choices_of_several_parts_are_equally_likely():
    recorder = Recorder(ProductArray((3, 0, 2)))
    random_rewards(recorder, seed=0)
    actions = np.concatenate(recorder.actions)
    for entry, count in ((0, 3), (2, 2)):
        choices, counts = np.unique(actions[:, entry], return_counts=True)
        assert choices.tolist() == list(range(count))
        np.testing.assert_allclose(counts / len(actions), 1 / count, atol=0.06)
    assert -1 <= actions[:, 1].min() < -0.9 < 0.9 < actions[:, 1].max() <= 1


@pytest.mark.parametrize("choices, entropy_weight", [((3, 2), 0.01), ((3, 0), 0.0)])
@pytest.mark.parametrize("discount", [1.0, -1.0])
def test_agents_take_actions_of_several_parts(choices, entropy_weight, discount):
    recorder = Recorder(ProductArray(choices), discount)
    config = default_config(recorder)
    networks = config.agent.make_builder().make_networks(recorder.spec)
    assert networks.action_space.choices == choices
    if discount > 0:
        assert config.agent.loss.entropy_weight == entropy_weight


def test_the_default_config_of_a_dict_of_actions_is_that_of_an_agent_that_takes_them():
    check_experiment(default_config(GymnasiumConfig(workshop.NAME)).make_experiment())


def test_random_actions_are_legal():
    vector = PgxConfig("2048").make_factory()(0, 8, False)
    assert np.isfinite(random_rewards(vector, seed=0).mean)
    vector.close()
