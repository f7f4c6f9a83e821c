"""Generalised advantages against sums written out, at the ends of episodes above all."""

import numpy as np
import pytest

from mukoe.learning.returns import generalized_advantages


def advantages(rewards, discounts, mask, values, gae_lambda=0.5, discount=0.5):
    rows = [np.array([row], np.float32) for row in (rewards, discounts, mask, values)]
    return np.asarray(generalized_advantages(*rows, gae_lambda, discount))[0]


def test_a_rollout_within_an_episode():
    # δ = 1 + 0.5·4 - 2, 2 + 0.5·6 - 4, 3 + 0.5·8 - 6; γλ = 0.25.
    got = advantages([1, 2, 3], [1, 1, 1], [1, 1, 1], [2, 4, 6, 8])
    np.testing.assert_allclose(got, [1 + 0.25 * (1 + 0.25), 1 + 0.25, 1], rtol=1e-6)


def test_termination_is_worth_its_reward_and_the_next_episode_is_its_own():
    # Rows: two steps, the final observation, one step of the next episode.
    got = advantages([1, 2, 0, 5], [1, 0, 0, 1], [1, 1, 0, 1], [2, 4, 99, 6, 8])
    second = 2 - 4
    fourth = 5 + 0.5 * 8 - 6
    np.testing.assert_allclose(got, [1 + 0.5 * 4 - 2 + 0.25 * second, second, 0, fourth], rtol=1e-6)


def test_truncation_bootstraps_from_the_final_observation_alone():
    got = advantages([1, 2, 0, 5], [1, 1, 0, 1], [1, 1, 0, 1], [2, 4, 10, 6, 8])
    second = 2 + 0.5 * 10 - 4
    np.testing.assert_allclose(
        got, [1 + 0.5 * 4 - 2 + 0.25 * second, second, 0, 5 + 0.5 * 8 - 6], rtol=1e-6
    )


def test_an_episode_that_ends_with_the_rollout():
    # The row behind the last is the final observation.
    np.testing.assert_allclose(advantages([1], [1], [1], [2, 4]), [1 + 0.5 * 4 - 2])
    np.testing.assert_allclose(advantages([1], [0], [1], [2, 4]), [1 - 2])
    # The last row is the final observation.
    np.testing.assert_allclose(advantages([0], [0], [0], [2, 4]), [0])


def test_the_opponent_s_advantage_counts_with_the_other_sign():
    got = advantages([0, 1], [-1, 0], [1, 1], [0.5, 0.25, 9])
    second = 1 - 0.25
    np.testing.assert_allclose(got, [-0.5 * 0.25 - 0.5 - 0.25 * second, second], rtol=1e-6)


@pytest.mark.parametrize("gae_lambda", [0.0, 0.7, 1.0])
def test_random_episodes_against_sums_of_errors(gae_lambda):
    """Equation 16 episode by episode: `A_t = Σ_l (γλ)^l δ_{t+l}`."""
    random, discount, length = np.random.default_rng(0), 0.9, 40
    mask = (random.random(length) > 0.2).astype(np.float32)
    ends = np.append(mask[1:] == 0, False)
    discounts = mask * np.where(ends & (random.random(length) > 0.5), 0.0, 1.0)
    rewards = mask * random.normal(size=length)
    values = random.normal(size=length + 1)
    expected = np.zeros(length)
    for t in np.flatnonzero(mask):
        weight = 1.0
        for i in range(t, length):
            if not mask[i]:
                break
            error = rewards[i] + discount * discounts[i] * values[i + 1] - values[i]
            expected[t] += weight * error
            weight *= discount * gae_lambda * discounts[i]
    got = advantages(rewards, discounts, mask, values, gae_lambda, discount)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)
