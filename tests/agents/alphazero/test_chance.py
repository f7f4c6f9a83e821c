"""AlphaZero on 2048: the search of the true law, and the loss of afterstates."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("pgx")

from mukoe.agents.alphazero.config import (
    AlphaZeroConfig,
    AlphaZeroLossConfig,
    AlphaZeroNetworkConfig,
)
from mukoe.agents.alphazero.losses import make_loss
from mukoe.agents.alphazero.model import chance_model
from mukoe.agents.alphazero.networks import AlphaZeroNetworks
from mukoe.environments.pgx.chance import load_chance_law
from mukoe.environments.pgx.positions import pack_position
from mukoe.environments.pgx.rules import load_rules
from mukoe.errors import UserError
from mukoe.networks.action_space import DiscreteSpace
from mukoe.networks.prediction import Prediction
from mukoe.networks.value_encoding import SupportConfig, ValueEncoding
from mukoe.search.config import SearchConfig
from mukoe.search.plan import plan
from mukoe.types import MaskedObservation, PolicyParams, Row, Sample

DISCOUNT = 0.9
RULES = load_rules("2048", max_steps=None).with_positions()
LAW = load_chance_law("2048")
ENCODING = ValueEncoding(SupportConfig(0.0, 100.0, 101, hyperbolic=False))
FULL_AFTER_MERGE = [[1, 1, 2, 3], [2, 3, 4, 5], [3, 4, 5, 6], [4, 5, 6, 7]]
"""Exponents of a board on which the merge of the two tiles of 2 is the only move left or right."""


def networks(value=0.0):
    """Networks with a uniform prior, one value of all positions, and twice that of afterstates."""

    def logits(number, batch):
        probs = ENCODING.to_probs(jnp.full((batch,), number))
        return jnp.log(jnp.maximum(probs, 1e-30))

    return AlphaZeroNetworks(
        init=lambda key: {},
        representation=lambda params, features: features,
        prediction=lambda params, state: Prediction(
            jnp.zeros((state.shape[0], 4)), logits(value, state.shape[0])
        ),
        value_encoding=ENCODING,
        action_space=DiscreteSpace(4),
        afterstate_value=lambda params, features: logits(2 * value, features.shape[0]),
    )


def position(rows):
    start = RULES.init(jax.random.PRNGKey(0)[None])
    board = jnp.array(rows, jnp.int32).reshape(1, 16)
    features = jax.nn.one_hot(board.reshape(1, 4, 4), 31, dtype=bool)
    return start.replace(_board=board, observation=features)


def follow(model, edges, now):
    """Returns the outputs along edges, from a decision."""
    embedding = model.embed_position(pack_position(now))
    outputs = []
    for edge in edges:
        action = jnp.array([edge])
        output, embedding = model.recurrent({}, jax.random.PRNGKey(0), action, embedding)
        outputs.append(output)
    return outputs


def test_a_move_leads_to_its_afterstate_and_an_outcome_pays_its_reward():
    model = chance_model(networks(7.0), RULES, LAW, DISCOUNT)
    # To the left, a tile of 4 appears in the first row; the 2 in its last cell ends nothing yet.
    moved, happened = follow(model, [0, 4 + 2 * 3], position(FULL_AFTER_MERGE))
    np.testing.assert_allclose(moved.value, [4 + DISCOUNT * 14], rtol=1e-5)
    assert (moved.reward, moved.discount) == (0, 1)
    probs = np.asarray(jax.nn.softmax(moved.prior_logits))[0]
    np.testing.assert_allclose(probs[4:][[6, 7]], [0.9, 0.1], rtol=1e-5)
    np.testing.assert_allclose(happened.reward, [4.0])
    np.testing.assert_allclose(happened.value, [7.0], rtol=1e-5)
    np.testing.assert_allclose(happened.discount, [DISCOUNT])


def test_the_end_of_a_game_is_worth_nothing():
    model = chance_model(networks(7.0), RULES, LAW, DISCOUNT)
    rows = [[1, 1, 3, 4], [3, 4, 5, 6], [4, 5, 6, 7], [5, 6, 7, 8]]
    # 4 8 16 and a new tile: of all neighbours none are equal.
    _, ended = follow(model, [0, 4 + 2 * 3], position(rows))
    assert (ended.value, ended.discount, ended.reward) == (0, 0, 4)


def test_without_any_knowledge_one_move_ahead_takes_the_greatest_reward():
    rows = [[1, 1, 3, 4], [1, 5, 7, 7], [2, 6, 8, 9], [3, 4, 5, 6]]
    now = position(rows)  # up: 4; left and right: 4 + 256
    legal = jnp.array([[True, True, False, True]])  # without right
    model = chance_model(networks(), RULES, LAW, DISCOUNT)
    config = SearchConfig(algorithm="gumbel", num_simulations=32, max_depth=1)
    root = model.evaluate_root({}, now.observation, pack_position(now))
    search = jax.jit(functools.partial(plan, config, model, evaluation=True))
    output, _ = search({}, jax.random.PRNGKey(0), root, legal, 0)
    np.testing.assert_array_equal(output.action, [0])
    assert output.search_policy[0, 0] > 0.9


def test_afterstates_learn_the_return_without_the_reward():
    """Two rows of a game of two moves, 4 and 8: the return is 4 + 0.9 * 8, of the afterstate 8."""
    config = AlphaZeroConfig(
        game="2048",
        discount=DISCOUNT,
        loss=AlphaZeroLossConfig(td_steps=2),
        network=AlphaZeroNetworkConfig(value_support=ENCODING.config),
    )
    value = 5.0
    now = position(FULL_AFTER_MERGE)
    sample = Sample(
        rows=Row(
            observation=MaskedObservation(now.observation[:, None], jnp.ones((1, 1, 4), bool), ()),
            action=jnp.zeros((1, 3), jnp.int32),
            reward=jnp.array([[4.0, 8.0, 0.0]]),
            discount=jnp.array([[1.0, 0.0, 0.0]]),
            mask=jnp.array([[1.0, 1.0, 0.0]]),
            extras={
                "search_policy": jnp.full((1, 3, 4), 0.25),
                "search_value": jnp.zeros((1, 3)),
            },
        ),
        keys=np.zeros((1,), np.uint64),
        probabilities=jnp.ones((1,)),
    )
    seen = []

    def afterstate_value(params, features):
        seen.append(np.asarray(features))
        return networks(value).afterstate_value(params, features)

    agent = dataclasses.replace(networks(value), afterstate_value=afterstate_value)
    loss = make_loss(agent, config, LAW)
    _, extra = loss({}, {}, sample, jax.random.PRNGKey(0))
    np.testing.assert_array_equal(
        np.argmax(seen[0], axis=-1)[0], [[2, 2, 3, 0], *FULL_AFTER_MERGE[1:]]
    )
    logits = np.asarray(networks(value).afterstate_value({}, now.observation))[0]
    log_probs = logits - np.log(np.exp(logits).sum())
    np.testing.assert_allclose(extra.metrics["afterstate_value_loss"], -log_probs[8], rtol=1e-4)
    np.testing.assert_allclose(extra.metrics["value_target"], 4 + DISCOUNT * 8, rtol=1e-5)


def test_a_game_of_chance_needs_a_number_of_steps():
    with pytest.raises(UserError, match=r"'2048' has no longest game: set agent.loss.td_steps"):
        AlphaZeroConfig(game="2048")


def test_an_inspected_tree_has_no_boards_of_chance():
    """`mukoe watch` draws it: the root and one afterstate per move."""
    config = AlphaZeroConfig(
        game="2048",
        network=AlphaZeroNetworkConfig(torso="flat", hidden_sizes=(8,), width=8, blocks=0),
        search=SearchConfig(algorithm="gumbel", num_simulations=24),
        loss=AlphaZeroLossConfig(td_steps=2),
    )
    builder = config.make_builder()
    agent = builder.make_networks(RULES.spec)
    params = PolicyParams(agent.init(jax.random.PRNGKey(0)), np.int32(0))
    inspector = builder.make_inspector(agent, RULES.spec)
    now = RULES.init(jax.random.PRNGKey(1)[None])
    state = inspector.initial_state(1)
    _, tree, _ = jax.jit(inspector.inspect)(
        params, jax.random.PRNGKey(2), RULES.observe(now), state
    )
    visited = np.flatnonzero(tree.node_visits[0])
    assert len(visited) == 1 + now.legal_action_mask.sum()
    assert set(np.asarray(tree.parents)[0, visited]) == {-1, 0}
