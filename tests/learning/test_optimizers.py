"""The learning rate by its closed forms, and updates by hand."""

import math

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mukoe.learning.optimizers import (
    OptimizerConfig,
    anneal_over_agent_steps,
    learning_rate_schedule,
    make_optimizer,
)

CLOSED_FORMS = {
    "constant": lambda step: 1.0,
    "cosine": lambda step: (1 + math.cos(math.pi * min(step, 100) / 100)) / 2,
    "linear": lambda step: 1 - min(step, 100) / 100,
    "staircase": lambda step: 0.5 ** (step // 100),
}


@pytest.mark.parametrize("warmup", [0, 20])
@pytest.mark.parametrize("schedule", CLOSED_FORMS)
def test_the_learning_rate_follows_its_schedule_behind_the_warmup(schedule, warmup):
    config = OptimizerConfig(
        learning_rate=3.0, schedule=schedule, decay_steps=100, decay_rate=0.5, warmup_steps=warmup
    )
    rate = learning_rate_schedule(config)
    for step in (0, 5, 19):
        if step < warmup:
            assert float(rate(step)) == pytest.approx(3.0 * step / warmup)
    for step in (0, 1, 50, 99, 100, 101, 250):
        expected = 3.0 * CLOSED_FORMS[schedule](step)
        assert float(rate(warmup + step)) == pytest.approx(expected, abs=1e-6), step


def test_sgd_has_momentum_an_l2_loss_and_a_bound_on_the_gradient():
    """Two updates of one number: v <- 0.9 v + (g + wd p), p <- p - rate v; |g| is at most 1."""
    config = OptimizerConfig(
        name="sgd", learning_rate=0.1, weight_decay=0.5, momentum=0.9, max_gradient_norm=1.0
    )
    optimizer = make_optimizer(config)
    parameter, velocity = 2.0, 0.0
    params = jnp.array(parameter)
    state = optimizer.init(params)
    for gradient, clipped in ((4.0, 1.0), (-0.5, -0.5)):
        updates, state = optimizer.update(jnp.array(gradient), state, params)
        params = optax.apply_updates(params, updates)
        velocity = 0.9 * velocity + clipped + 0.5 * parameter
        parameter -= 0.1 * velocity
        np.testing.assert_allclose(params, parameter, rtol=1e-6)


def test_annealing_counts_agent_steps_and_never_scales_below_0():
    optimizer = optax.chain(optax.sgd(0.5), anneal_over_agent_steps(10))
    state = optimizer.init(jnp.zeros(2))
    for agent_steps, scale in ((3, 1.0), (4, 0.7), (4, 0.3), (0, 0.0), (7, 0.0)):
        updates, state = optimizer.update(jnp.ones(2), state, agent_steps=agent_steps)
        np.testing.assert_allclose(updates, -0.5 * scale, rtol=1e-6)
