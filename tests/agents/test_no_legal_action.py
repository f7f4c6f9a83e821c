"""Rows without a legal action, such as final positions and padding, in acting and in learning."""

import functools

import jax
import numpy as np
import pytest
from dm_env import specs

from mukoe.agents.alphazero.config import AlphaZeroConfig, AlphaZeroNetworkConfig
from mukoe.agents.extensions import rollout_of
from mukoe.agents.muesli.config import MuesliConfig, MuesliLossConfig
from mukoe.agents.muzero.config import MuZeroConfig
from mukoe.agents.planning.config import UnrollLossConfig
from mukoe.agents.ppo.config import PPOConfig, PPONetworkConfig
from mukoe.agents.ppo.losses import make_prepare
from mukoe.agents.stochastic_muzero.config import ChanceConfig, StochasticMuZeroConfig
from mukoe.networks.config import NetworkConfig
from mukoe.search.config import SearchConfig
from mukoe.types import EnvironmentSpec, MaskedObservation, PolicyParams, Row, Sample

B, A = 4, 9
# That of tic-tac-toe.
SPEC = EnvironmentSpec(
    observations=MaskedObservation(
        specs.Array((3, 3, 2), np.bool_), specs.Array((A,), np.bool_, "legal_actions")
    ),
    actions=specs.DiscreteArray(A, np.int32),
    rewards=specs.Array((), np.float32),
    discounts=specs.BoundedArray((), np.float32, -1.0, 1.0),
)
NETWORK = NetworkConfig(torso="flat", hidden_sizes=(8,), width=8, head_sizes=(8,))
LOSS = UnrollLossConfig(unroll_steps=2, td_steps=2)


def search(algorithm, simulations=2):
    return SearchConfig(algorithm=algorithm, num_simulations=simulations)


AGENTS = {
    "muzero": MuZeroConfig(network=NETWORK, search=search("muzero"), loss=LOSS),
    "gumbel": MuZeroConfig(network=NETWORK, search=search("gumbel"), loss=LOSS),
    "prior alone": MuZeroConfig(network=NETWORK, search=search("muzero", 0), loss=LOSS),
    "stochastic": StochasticMuZeroConfig(
        network=NETWORK, search=search("muzero"), loss=LOSS, chance=ChanceConfig(codebook_size=2)
    ),
    "alphazero": AlphaZeroConfig(
        game="tic_tac_toe",
        network=AlphaZeroNetworkConfig(width=4, blocks=0, head_sizes=()),
        search=search("muzero"),
    ),
    "muesli": MuesliConfig(
        network=NETWORK, loss=MuesliLossConfig(sequence_length=4, unroll_steps=2, num_samples=0)
    ),
    "muesli, sampled": MuesliConfig(
        network=NETWORK, loss=MuesliLossConfig(sequence_length=4, unroll_steps=2, num_samples=4)
    ),
    "ppo": PPOConfig(network=PPONetworkConfig(torso="flat", hidden_sizes=(8,)), rollout_steps=4),
}


# Their programs take long to compile, and their normalisations are those of the others.
SLOW = ("stochastic", "alphazero", "muesli, sampled")


def cases(names):
    return [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in names]


def is_finite(tree):
    return all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(tree))


def observations(legal):
    features = np.random.default_rng(0).random((*legal.shape[:-1], 3, 3, 2)) < 0.5
    return MaskedObservation(features, legal)


@functools.cache
def act(name):
    """Acts in positions with all, one and no legal actions.

    Returns:
      Builder, networks, parameters, and `(action, extras)` of acting and of evaluation.
    """
    builder = AGENTS[name].make_builder()
    networks = builder.make_networks(SPEC)
    params = networks.init(jax.random.PRNGKey(0))
    policies = [builder.make_policy(networks, SPEC, evaluation) for evaluation in (False, True)]
    legal = np.zeros((B, A), bool)
    legal[0] = True
    legal[1, 4] = True

    @jax.jit
    def both(params, key, observation):
        memory = policies[0].initial_state(B)
        return [policy.apply(params, key, observation, memory)[:2] for policy in policies]

    inputs = PolicyParams(params, np.int32(0)), jax.random.PRNGKey(1), observations(legal)
    return builder, networks, params, both(*inputs)


@pytest.mark.parametrize("name", cases(AGENTS))
def test_policies_are_finite(name):
    *_, results = act(name)
    for action, extras in results:
        assert np.all((action >= 0) & (action < A)) and action[1] == 4
        assert is_finite(extras)
        for stored in {"search_policy", "behavior_policy"} & set(extras):
            np.testing.assert_allclose(np.sum(extras[stored], -1), 1, rtol=1e-5)
            np.testing.assert_array_equal(extras[stored][1], np.eye(A)[4])


def make_rows(length, extras):
    """Returns rows of games that end after 1, 2, ... actions, then a final row, then padding."""
    rng, ends = np.random.default_rng(1), np.arange(1, B + 1)[:, None]
    step = np.arange(length)
    mask = (step < ends).astype(np.float32)
    legal = (mask > 0)[..., None] & (rng.random((B, length, A)) < 0.7)
    legal[..., 3] |= mask > 0

    def stored(value):
        # The final row has the policy's extras, padding has zeros.
        rows = np.repeat(np.asarray(value)[:, None], length, axis=1)
        rows[step > ends] = 0
        return rows

    return Row(
        observation=observations(legal),
        action=np.full((B, length), 3, np.int32),
        reward=mask * (step == ends - 1),
        discount=-mask * (step < ends - 1),
        mask=mask,
        extras={name: stored(value) for name, value in extras.items()},
    )


# The others have the loss of "muzero".
@pytest.mark.parametrize(
    "name", cases([name for name in AGENTS if name not in ("gumbel", "prior alone")])
)
def test_losses_and_their_gradients_are_finite(name):
    builder, networks, params, ((_, extras), _) = act(name)
    rollout = rollout_of(builder)
    length = rollout.length + 1 if rollout else builder.replay.item_length
    names = builder.make_policy(networks, SPEC).extras_spec
    rows = make_rows(length, {name: extras[name] for name in names})
    batch = Sample((), np.full(B, 1 / B, np.float32), rows)
    if rollout:
        batch = make_prepare(networks, AGENTS[name])(params, batch)
    memory = builder.learner_settings(networks).loss_state
    inputs = (params, params, batch, jax.random.PRNGKey(0)) + ((memory,) if memory else ())
    loss = jax.value_and_grad(builder.make_loss(networks, SPEC), has_aux=True)
    (_, extra), gradient = jax.jit(loss)(*inputs)
    assert is_finite((extra, gradient))
