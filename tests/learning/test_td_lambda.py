"""λ-returns against their definition, and by hand."""

import numpy as np
import pytest

from mukoe.agents.muzero.config import MuZeroConfig
from mukoe.agents.planning.config import UnrollLossConfig
from mukoe.errors import UserError
from mukoe.learning.returns import n_step_returns, td_lambda_returns

DISCOUNT = 0.5


def test_returns_of_a_hand_written_episode():
    # Rewards 1 2 4, values 10 20 40 80, λ = 1/2, n = 2, discount 1/2; the third action ends it.
    rewards = np.array([1.0, 2.0, 4.0, 0.0, 0.0])
    values = np.array([10.0, 20.0, 40.0, 80.0, 0.0])
    mask = np.array([1.0, 1.0, 1.0, 0.0, 0.0])
    # One step: 1 + 20/2 = 11; 2 + 40/2 = 22; 4. Two: 1 + 2/2 + 40/4 = 12; 2 + 4/2 = 4; 4.
    terminated = td_lambda_returns(
        rewards, np.array([1.0, 1.0, 0.0, 0.0, 0.0]), mask, values, 2, DISCOUNT, 0.5
    )
    np.testing.assert_allclose(terminated, [(11 + 12) / 2, (22 + 4) / 2, 4.0])
    # Truncated: the value of the final observation, 80. One step: 4 + 80/2 = 44, however many
    # there could be; two from the second row: 2 + 4/2 + 80/4 = 24.
    truncated = td_lambda_returns(
        rewards, np.array([1.0, 1.0, 1.0, 0.0, 0.0]), mask, values, 2, DISCOUNT, 0.5
    )
    np.testing.assert_allclose(truncated, [(11 + 12) / 2, (22 + 24) / 2, 44.0])


def episodes(seed, length=12):
    random = np.random.default_rng(seed)
    batch = 40
    mask, discounts = np.zeros((2, batch, length))
    for b in range(batch):
        end = random.integers(1, length + 6)
        mask[b, :end] = 1
        discounts[b, :end] = random.choice([1.0, -1.0], min(end, length))
        if end <= length and b % 2:
            discounts[b, end - 1] = 0
    rewards = random.normal(size=(batch, length)) * mask
    values = random.normal(size=(batch, length))
    return rewards, discounts, mask, values


@pytest.mark.parametrize("td_lambda", [0.0, 0.3, 0.5, 0.95, 1.0])
@pytest.mark.parametrize("n", [1, 3, 5])
def test_it_is_the_weighted_mean_of_returns(n, td_lambda):
    rewards, discounts, mask, values = episodes(n)
    found = td_lambda_returns(rewards, discounts, mask, values, n, DISCOUNT, td_lambda)
    length = rewards.shape[1] - n
    assert found.shape == (len(rewards), length)
    for b in range(len(rewards)):
        for t in np.flatnonzero(mask[b, :length]):
            expected = 0.0
            for steps in range(1, n + 1):
                total, weight, at = 0.0, 1.0, t
                while at < t + steps and mask[b, at]:
                    total += weight * rewards[b, at]
                    weight *= DISCOUNT * discounts[b, at]
                    at += 1
                share = td_lambda ** (steps - 1) * (1.0 if steps == n else 1 - td_lambda)
                expected += share * (total + weight * values[b, at])
            np.testing.assert_allclose(found[b, t], expected, rtol=1e-9, atol=1e-9)


def test_lambda_1_is_the_n_step_return():
    rewards, discounts, mask, values = episodes(9)
    almost = td_lambda_returns(rewards, discounts, mask, values, 4, DISCOUNT, 1.0 - 1e-12)
    exact = n_step_returns(rewards, discounts, mask, values, 4, DISCOUNT)
    np.testing.assert_allclose(almost * mask[:, :8], exact * mask[:, :8], atol=1e-9)


def test_lambda_is_a_share():
    with pytest.raises(UserError, match="td_lambda must be from 0 to 1, not 1.5"):
        MuZeroConfig(loss=UnrollLossConfig(td_lambda=1.5))
