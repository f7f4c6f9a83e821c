"""Value prefixes of a hand-made episode at every reset, in loss and search."""

import dataclasses
from types import SimpleNamespace

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mukoe.agents.planning.deterministic_model.builder import DeterministicModelBuilder
from mukoe.agents.planning.deterministic_model.losses import RewardPredictions
from mukoe.agents.planning.deterministic_model.model import prefix_model
from mukoe.networks.action_space import DiscreteSpace
from mukoe.networks.prediction import Prediction
from mukoe.networks.value_prefix import VALUE_PREFIX, ValuePrefix, ValuePrefixConfig
from tests.agents.planning.test_losses import CONFIG, SPEC, make_sample

B, A = 2, 3
KEY = jax.random.PRNGKey(0)
REWARDS = np.array([[1.0, 0.0, 2.0, 4.0, -1.0, 3.0, 0.5], [0.0, 1.0, 1.0, 0.0, 2.0, 0.0, -2.0]])


def counting_networks(period):
    """Networks whose state is the number of actions, and whose memory sums true rewards.

    A prefix is `hidden + reward of the state`: with the wrong memory, or a reset at another
    step, differences of prefixes are not the rewards.
    """
    rewards = jnp.asarray(np.pad(REWARDS, ((0, 0), (1, 0))))

    def reward_at(state):
        return rewards[jnp.arange(B), state[:, 0].astype(jnp.int32)]

    def step(params, memory, state):
        hidden = memory.hidden + reward_at(state)[:, None]
        return hk.LSTMState(hidden, memory.cell), hidden

    identity = SimpleNamespace(to_scalar=lambda logits: logits[:, 0])
    return SimpleNamespace(
        representation=lambda params, inputs: jnp.zeros((inputs.shape[0], 1)),
        prediction=lambda params, state: Prediction(jnp.zeros((B, A)), jnp.zeros((B, 1))),
        dynamics=lambda params, state, action: (state + 1, jnp.full((B, 1), np.nan)),
        value_encoding=identity,
        reward_encoding=identity,
        action_space=DiscreteSpace(A),
        memory=None,
        num_players=None,
        value_prefix=ValuePrefix(
            step, lambda batch: hk.LSTMState(jnp.zeros((batch, 1)), jnp.zeros((batch, 1))), period
        ),
    )


@pytest.mark.parametrize("period", [1, 2, 3, 7, 9])
def test_search_and_loss_agree_with_the_rewards(period):
    networks = counting_networks(period)
    model = prefix_model(networks, SPEC, 0.9)
    embedding = model.root(None, jnp.zeros((B, 2))).embedding
    rewards = RewardPredictions(networks, None, B)
    targets = rewards.targets(jnp.asarray(REWARDS))
    state, action = jnp.zeros((B, 1)), jnp.zeros(B, jnp.int32)
    recurrent = jax.jit(model.recurrent)
    for k in range(REWARDS.shape[1]):
        output, embedding = recurrent(None, KEY, action, embedding)
        np.testing.assert_allclose(output.reward, REWARDS[:, k], atol=1e-6)
        state, predicted = rewards.step(state, action)
        since_reset = REWARDS[:, k - k % period : k + 1].sum(axis=1)
        np.testing.assert_allclose(predicted[:, 0], since_reset, atol=1e-6)
        np.testing.assert_allclose(targets[:, k], since_reset, atol=1e-6)


def test_an_agent_learns_the_prefix_and_no_reward():
    config = dataclasses.replace(CONFIG, value_prefix=ValuePrefixConfig(lstm_size=4, period=2))
    builder = DeterministicModelBuilder(config)
    networks = builder.make_networks(SPEC)
    params = jax.jit(networks.init)(KEY)
    loss = builder.make_loss(networks, SPEC)
    gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))
    (total, extra), gradients = gradient(params, params, make_sample(), KEY)
    assert np.isfinite(total) and extra.metrics["reward_loss"] > 0
    own = [name for name in params if name.split("/")[0] == VALUE_PREFIX]
    assert own and all(name in builder._search_params(params) for name in own)
    assert any(np.any(leaf) for leaf in jax.tree.leaves([gradients[name] for name in own]))
    # Half a bin above the highest is 11.2: every second sum is greater, and no reward.
    rows = make_sample().rows
    rewarded = rows._replace(reward=np.full_like(rows.reward, 7.0), mask=np.ones_like(rows.mask))
    (_, extra), _ = gradient(params, params, make_sample()._replace(rows=rewarded), KEY)
    outside = np.arange(config.loss.unroll_steps) % 2
    assert extra.metrics["rewards_outside_bins"] == pytest.approx(outside.mean())
    unused = [name for name in params if "reward_head" in name]
    assert not any(np.any(leaf) for leaf in jax.tree.leaves([gradients[n] for n in unused]))
    model = builder.make_model(networks, SPEC)
    root = jax.jit(model.root)(params, jnp.zeros((B, 2)))
    recurrent = jax.jit(model.recurrent)
    output, embedding = recurrent(params, KEY, jnp.zeros(B, jnp.int32), root.embedding)
    assert output.reward.shape == (B,)
    assert jax.tree.structure(embedding) == jax.tree.structure(root.embedding)
