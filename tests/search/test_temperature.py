import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mukoe.search.temperature import sample_action, scheduled_temperature

SCHEDULE = ((0, 1.0), (100, 0.5), (150, 0.25))


@pytest.mark.parametrize(
    "step, temperature",
    [(0, 1.0), (99, 1.0), (100, 0.5), (149, 0.5), (150, 0.25), (10**9, 0.25)],
)
def test_schedule_at_its_boundaries(step, temperature):
    scheduled = jax.jit(lambda s: scheduled_temperature(SCHEDULE, s))
    assert float(scheduled(jnp.int32(step))) == temperature
    assert float(scheduled_temperature(SCHEDULE, step)) == temperature


@pytest.mark.parametrize("temperature", [0.25, 1.0, 4.0])
def test_sampling_follows_the_temperature(temperature):
    probs = np.array([0.6, 0.3, 0.1, 0.0])
    batch = jnp.broadcast_to(jnp.asarray(probs), (20_000, 4))
    actions = jax.jit(sample_action)(jax.random.PRNGKey(0), batch, temperature)
    expected = probs ** (1 / temperature)
    frequencies = np.bincount(actions, minlength=4) / 20_000
    np.testing.assert_allclose(frequencies, expected / expected.sum(), atol=0.012)
    assert frequencies[3] == 0.0


def test_zero_temperature_is_greedy_among_the_best():
    batch = jnp.broadcast_to(jnp.array([0.4, 0.2, 0.4]), (500, 3))
    actions = np.asarray(sample_action(jax.random.PRNGKey(0), batch, 0.0))
    assert set(actions) == {0, 2}


def test_a_hot_temperature_does_not_revive_impossible_actions():
    batch = jnp.broadcast_to(jnp.array([0.9, 0.1, 0.0]), (5000, 3))
    assert 2 not in np.asarray(sample_action(jax.random.PRNGKey(0), batch, 1000.0))
