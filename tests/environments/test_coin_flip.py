"""Observations, payoffs and probabilities of the coin flip."""

import numpy as np
import pytest

from mukoe.environments.coin_flip import END, HEADS, START, TAILS, CoinFlipConfig

CONFIG = CoinFlipConfig()


def play(environment, *actions):
    """Returns the observed states, rewards and discounts of one episode."""
    timestep = environment.reset()
    seen, rewards, discounts = [int(timestep.observation[0].argmax())], [], []
    for action in actions:
        timestep = environment.step(np.array([action], np.int32))
        seen.append(int(timestep.observation[0].argmax()))
        rewards.append(float(timestep.reward[0]))
        discounts.append(float(timestep.discount[0]))
    return seen, rewards, discounts


def test_the_sure_payoff_ends_the_episode():
    environment = CONFIG.make_factory()(0, 1, False)
    assert play(environment, 0) == ([START, END], [1.75], [0.0])


@pytest.mark.parametrize("call", [0, 1])
def test_a_coin_is_paid_where_it_is_called_rightly(call):
    environment = CONFIG.make_factory()(0, 1, False)
    sides = []
    for _ in range(400):
        seen, rewards, discounts = play(environment, 1, call)
        side = seen[1]
        sides.append(side)
        payoff = {(HEADS, 0): 3.0, (TAILS, 1): 1.0}.get((side, call), 0.0)
        assert (seen, rewards, discounts) == ([START, side, END], [0.0, payoff], [1.0, 0.0])
    # 400 fair flips: four standard deviations are 40.
    assert abs(sides.count(HEADS) - 200) < 40 and set(sides) == {HEADS, TAILS}


def test_other_seeds_flip_otherwise():
    def flips(seed):
        environment = CONFIG.make_factory()(seed, 1, False)
        return [play(environment, 1, 0)[0][1] for _ in range(30)]

    assert flips(1) == flips(1) != flips(2)
