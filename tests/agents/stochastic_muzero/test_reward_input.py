"""Codes carry the reward of the action where the reward is read behind them, and only there."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mukoe.agents.stochastic_muzero.losses import make_loss
from tests.agents.stochastic_muzero.test_losses import CONFIG, M, build, make_sample

NO_LOSS = {"afterstate_value_weight": 0.0, "chance_weight": 0.0, "commitment_weight": 0.0}


def config_with(reward_input, **chance):
    chance = dataclasses.replace(CONFIG.chance, reward_input=reward_input, **chance)
    return dataclasses.replace(CONFIG, chance=chance)


def reward_logits_by_code(reward_input):
    """Logits `[M, bins]` of one afterstate followed by each code, whose states differ."""
    networks, params = build(config_with(reward_input))
    size = CONFIG.history.frames * make_sample().rows.observation.shape[-1]
    state = networks.representation(params, np.ones((1, size), np.float32))
    afterstate = networks.afterstate_dynamics(params, state, np.array([1]))
    repeated = jnp.repeat(afterstate, M, axis=0)
    states, logits = networks.dynamics(params, repeated, np.eye(M, dtype=np.float32))
    assert np.ptp(states, axis=0).max() > 0.1
    return np.asarray(logits)


def test_reward_of_an_afterstate_is_the_same_for_all_codes():
    np.testing.assert_allclose(np.ptp(reward_logits_by_code("afterstate"), axis=0), 0, atol=1e-5)
    assert np.ptp(reward_logits_by_code("state"), axis=0).max() > 0.1


@pytest.mark.parametrize(("reward_input", "moves"), [("afterstate", False), ("state", True)])
def test_reward_loss_moves_the_encoder_only_behind_the_code(reward_input, moves):
    config = config_with(reward_input, **NO_LOSS)
    networks, params = build(config)
    # One step: the second reward is behind the code of the first outcome in either form.
    reward_alone = dataclasses.replace(
        config.loss, unroll_steps=1, policy_weight=0.0, value_weight=0.0
    )
    loss = make_loss(networks, dataclasses.replace(config, loss=reward_alone))
    gradients = jax.grad(lambda p: loss(p, p, make_sample(), jax.random.PRNGKey(0))[0])(params)
    sizes = {
        name: max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(layer))
        for name, layer in gradients.items()
    }
    of_encoder = max(size for name, size in sizes.items() if name.split("/")[0] == "encoder")
    assert max(sizes.values()) > 1e-3
    assert (of_encoder > 1e-6) == moves
