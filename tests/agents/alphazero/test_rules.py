"""Searches of true rules: positions of known value, the sign, and carried states."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import mctx
import numpy as np
import pytest

pytest.importorskip("pgx")

from mukoe.agents.alphazero.config import AlphaZeroNetworkConfig
from mukoe.agents.alphazero.model import alphazero_model
from mukoe.agents.alphazero.networks import AlphaZeroNetworks
from mukoe.environments.pgx.openings import with_random_opening
from mukoe.environments.pgx.positions import pack_position
from mukoe.environments.pgx.rules import load_rules
from mukoe.networks.action_space import DiscreteSpace
from mukoe.networks.prediction import Prediction
from mukoe.networks.value_encoding import ValueEncoding
from mukoe.search.base import SearchModel
from mukoe.search.config import SearchConfig
from mukoe.search.plan import plan
from mukoe.search.root import complete_mask, mask_logits


def network(num_actions, weights=0.0):
    """Returns a linear network of the features; without weights a uniform prior and value 0."""
    encoding = ValueEncoding(AlphaZeroNetworkConfig().value_support)
    bins = encoding.config.num_bins

    def prediction(params, state):
        flat = state.reshape(state.shape[0], -1).astype(jnp.float32)
        matrix = jax.random.normal(jax.random.PRNGKey(7), (flat.shape[1], num_actions + bins))
        outputs = weights * flat @ matrix
        return Prediction(outputs[:, :num_actions], outputs[:, num_actions:])

    return AlphaZeroNetworks(
        init=lambda key: {},
        representation=lambda params, features: features,
        prediction=prediction,
        value_encoding=encoding,
        action_space=DiscreteSpace(num_actions),
    )


def search(rules, positions, simulations, algorithm="gumbel", weights=0.0):
    """Returns the output of a search of positions `[B]` without exploration."""
    model = alphazero_model(network(int(rules.spec.actions.num_values), weights), rules, 1.0)
    config = SearchConfig(
        algorithm=algorithm, num_simulations=simulations, max_num_considered_actions=32
    )
    root = model.evaluate_root({}, positions.observation, pack_position(positions))
    run = jax.jit(functools.partial(plan, config, model, evaluation=True))
    return run({}, jax.random.PRNGKey(0), root, positions.legal_action_mask, 0)[0]


def played(rules, moves):
    """Returns the position `[1]` after moves from the initial one."""
    keys = jax.random.split(jax.random.PRNGKey(0), 1)
    position, step = rules.init(keys), jax.jit(rules.step)
    for move in moves:
        assert position.legal_action_mask[0, move], f"move {move} is illegal"
        position = step(position, jnp.array([move]), keys)
    assert not position.terminated[0]
    return position


def rebuilt_model(networks, rules):
    """Returns the model of Connect Four whose embedding is the observation alone."""

    def rebuild(features):
        batch = features.shape[0]
        own, other = features[..., 0], features[..., 1]
        start = rules.init(jnp.zeros((batch, 2), jnp.uint32))
        cells = jnp.where(own, 0, jnp.where(other, 1, -1)).reshape(batch, -1)
        board = start._x._replace(
            board=cells.astype(start._x.board.dtype), color=jnp.zeros_like(start._x.color)
        )
        return start.replace(
            current_player=jnp.zeros_like(start.current_player),
            observation=features,
            legal_action_mask=~jnp.any(features, axis=-1)[:, 0],
            _step_count=jnp.sum(cells >= 0, axis=-1, dtype=start._step_count.dtype),
            _x=board,
        )

    def evaluate(params, features):
        prediction = networks.prediction(params, features)
        value = networks.value_encoding.to_scalar(prediction.value_logits)
        return mctx.RootFnOutput(
            prior_logits=prediction.policy_logits, value=value, embedding=features
        )

    def recurrent(params, key, action, features):
        after = rules.step(rebuild(features), action, jax.random.split(key, action.shape[0]))
        root = evaluate(params, after.observation)
        legal = complete_mask(after.legal_action_mask, root.prior_logits)
        output = mctx.RecurrentFnOutput(
            reward=after.rewards[:, 0],
            discount=jnp.where(after.terminated, 0.0, -1.0),
            prior_logits=mask_logits(root.prior_logits, legal),
            value=jnp.where(after.terminated, 0.0, root.value),
        )
        return output, after.observation

    return SearchModel(evaluate, recurrent)


@pytest.mark.parametrize("algorithm", ["gumbel", pytest.param("muzero", marks=pytest.mark.slow)])
def test_a_carried_state_gives_the_search_of_a_rebuilt_one(algorithm):
    rules = load_rules("connect_four", None).with_positions()
    init = jax.jit(with_random_opening(rules, 40).init)
    positions = init(jax.random.split(jax.random.PRNGKey(0), 128))
    networks = network(7, weights=0.3)
    config = SearchConfig(algorithm=algorithm, num_simulations=24)
    outputs = []
    for model in (alphazero_model(networks, rules, 1.0), rebuilt_model(networks, rules)):
        root = model.evaluate_root({}, positions.observation, pack_position(positions))
        run = jax.jit(functools.partial(plan, config, model, evaluation=False))
        output, _ = run({}, jax.random.PRNGKey(3), root, positions.legal_action_mask, 0)
        outputs.append(output)
    carried, rebuilt = outputs
    for name in ("action", "search_policy", "search_value"):
        np.testing.assert_array_equal(getattr(carried, name), getattr(rebuilt, name))
    assert len(np.unique(carried.search_value)) > 30


def test_the_sign_follows_the_change_of_the_player_to_move():
    """Tic-tac-toe in which the player on the first cell moves again."""
    rules = load_rules("tic_tac_toe", None).with_positions()

    def step(position, action, keys):
        after = rules.step(position, action, keys)
        again = (action == 0) & ~after.terminated
        return after.replace(
            current_player=jnp.where(again, position.current_player, after.current_player)
        )

    model = alphazero_model(network(9, 0.5), dataclasses.replace(rules, step=step), 0.9)
    position = played(rules, [4])
    packed = jnp.repeat(pack_position(position), 2, axis=0)
    output, _ = model.recurrent({}, jax.random.PRNGKey(0), jnp.array([0, 1]), packed)
    np.testing.assert_allclose(output.discount, [0.9, -0.9])


def hex_winner(own, other, size=4):
    """Returns 1 if the player to move wins, else -1, by exhaustion; stones are sets of cells.

    `own` is first the set of the player that joins top and bottom, `other` left and right.
    """

    def joined(stones, vertical):
        reached = [cell for cell in stones if cell[0 if vertical else 1] == 0]
        seen = set(reached)
        for row, column in reached:
            for dy, dx in ((0, -1), (1, -1), (-1, 0), (1, 0), (-1, 1), (0, 1)):
                cell = (row + dy, column + dx)
                if cell in stones and cell not in seen:
                    seen.add(cell)
                    reached.append(cell)
        return any(cell[0 if vertical else 1] == size - 1 for cell in seen)

    cells = {(row, column) for row in range(size) for column in range(size)}

    @functools.cache
    def wins(mover, waiting, vertical):
        for cell in cells - mover - waiting:
            after = mover | {cell}
            if joined(after, vertical) or not wins(waiting, after, not vertical):
                return True
        return False

    return lambda vertical: 1 if wins(frozenset(own), frozenset(other), vertical) else -1


def test_hex_4x4_is_played_like_its_solution():
    rules = load_rules("hex_4x4", None).with_positions()
    init = with_random_opening(rules, 8, min_moves=8).init
    positions = jax.jit(init)(jax.random.split(jax.random.PRNGKey(0), 16))
    positions = jax.tree.map(lambda leaf: leaf[positions._step_count == 8], positions)
    output = search(rules, positions, 1_500, algorithm="muzero")
    solved, reached = [], []
    for features, action in zip(np.asarray(positions.observation), output.action, strict=True):
        own, other = (set(map(tuple, np.argwhere(features[..., i]))) for i in range(2))
        vertical = not features[0, 0, 2]
        after = own | {divmod(int(action), 4)}
        solved.append(hex_winner(own, other)(vertical))
        reached.append(-hex_winner(other, after)(not vertical))
    assert set(solved) == {-1, 1}
    np.testing.assert_array_equal(reached, solved)
    np.testing.assert_array_equal(np.sign(output.search_value), solved)
