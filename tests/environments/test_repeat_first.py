"""Observations and rewards of the test of memory."""

import dm_env
import numpy as np
import pytest

from mukoe.environments.repeat_first import RepeatFirstConfig


def play(environment, choose):
    """Returns the observations, rewards and discounts of one episode."""
    timestep = environment.reset()
    seen, rewards, discounts = [timestep.observation[0]], [], []
    while timestep.step_type[0] != dm_env.StepType.LAST:
        timestep = environment.step(np.array([choose(seen)], np.int32))
        seen.append(timestep.observation[0])
        rewards.append(float(timestep.reward[0]))
        discounts.append(float(timestep.discount[0]))
    return np.stack(seen), rewards, discounts


@pytest.mark.parametrize(("symbols", "length"), [(2, 1), (4, 5)])
def test_the_first_symbol_is_rewarded_at_every_later_step(symbols, length):
    environment = RepeatFirstConfig(symbols, length).make_factory()(0, 1, False)
    seen, rewards, discounts = play(environment, lambda seen: int(seen[0][:-1].argmax()))
    assert seen.shape == (length + 2, symbols + 1)
    np.testing.assert_array_equal(seen[:, :-1].sum(1), 1)
    np.testing.assert_array_equal(seen[:, -1], [1] + [0] * (length + 1))
    np.testing.assert_allclose(rewards, [0] + [1 / length] * length)
    assert discounts == [1] * length + [0]
    _, rewards, _ = play(environment, lambda seen: (int(seen[0][:-1].argmax()) + 1) % symbols)
    assert not any(rewards)


def test_later_observations_say_nothing_of_the_first():
    environment = RepeatFirstConfig(4, 8).make_factory()(0, 1, False)
    counts = np.zeros((4, 4))
    for _ in range(400):
        seen, _, _ = play(environment, lambda seen: 0)
        symbols = seen[:, :-1].argmax(1)
        np.add.at(counts, (symbols[0], symbols[1:]), 1)
    # 3,600 symbols: each of the 16 pairs is expected 225 times, four deviations are 60.
    np.testing.assert_allclose(counts, 225, atol=70)
