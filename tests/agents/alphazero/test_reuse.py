"""AlphaZero's searches from the trees of previous moves, in real games."""

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
from mukoe.agents.muzero.config import MuZeroConfig
from mukoe.environments.pgx.opponents import Opponent
from mukoe.environments.pgx.rules import load_rules
from mukoe.errors import UserError
from mukoe.evaluation.engines.agent_game import AgentGame
from mukoe.evaluation.players import Player, agent_opponent
from mukoe.networks.config import NetworkConfig
from mukoe.search.config import SearchConfig
from mukoe.search.reuse import KeptTree, PlayState
from mukoe.types import PolicyParams
from tests.networks.tiny import random_params

GAMES, MOVES = 4, 3
SEARCH = SearchConfig(algorithm="muzero", num_simulations=40, evaluation_reuse_tree=True)
NETWORK = AlphaZeroNetworkConfig(width=8, blocks=0, head_channels=2, head_sizes=(8,))


def agent(game):
    """Returns policy, inspector and parameters of an agent with a random network."""
    rules = load_rules(game, None).with_positions()
    builder = AlphaZeroConfig(game=game, network=NETWORK, search=SEARCH).make_builder()
    networks = builder.make_networks(rules.spec)
    params = PolicyParams(random_params(networks.init), jnp.int32(0))
    inspector = builder.make_inspector(networks, rules.spec)
    return builder.make_policy(networks, rules.spec, evaluation=True), inspector, params


def replies_of(tree, position, action):
    """Returns replies: in half of the games that of the tree, in the others a random one."""
    legal = np.asarray(position.legal_action_mask)
    rows = np.arange(GAMES)
    child = np.asarray(tree.children_index)[rows, 0, action]
    expected = np.where(legal, np.asarray(tree.children_visits)[rows, child], -1).argmax(axis=1)
    drawn_at = np.random.default_rng(0).random(legal.shape)
    return np.where(rows % 2 == 0, expected, np.where(legal, drawn_at, -1).argmax(axis=1))


def visits_after(tree, actions):
    """Returns the visits of the nodes that moves lead to; 0 where there is none."""
    visits = []
    for game, moves in enumerate(zip(*actions, strict=True)):
        node = 0
        for action in moves:
            node = -1 if node < 0 else int(tree.children_index[game, node, action])
        visits.append(int(tree.node_visits[game, node]) if node >= 0 else 0)
    return visits


@pytest.mark.parametrize(
    "game",
    ["tic_tac_toe"]
    + [
        pytest.param(game, marks=pytest.mark.slow)
        for game in ("connect_four", "othello", "hex", "go_5x5", "gardner_chess", "chess", "nim_3p")
    ],
)
def test_the_visits_of_the_position_are_kept(game):
    """The states of the tree are those of the game, which follows the actions."""
    rules = load_rules(game, None).with_positions()
    _, inspector, params = agent(game)
    inspect, step = jax.jit(inspector.inspect), jax.jit(rules.step)
    keys = jax.random.split(jax.random.PRNGKey(3), GAMES)
    position, state = rules.init(keys), inspector.initial_state(GAMES)
    expected = [0] * GAMES
    total = 0
    for _ in range(MOVES):
        observation = rules.observe(position)
        output, tree, state = inspect(params, keys[0], observation, state)
        assert output.statistics["search_visits_kept"].tolist() == expected
        np.testing.assert_array_equal(
            tree.node_visits[:, 0], np.maximum(expected, 1) + SEARCH.num_simulations
        )
        state = inspector.update_state(observation, output.action, state)
        position = step(position, output.action, keys)
        reply = replies_of(tree, position, output.action)
        position = step(position, reply, keys)
        expected = visits_after(tree, (output.action, reply))
        total += sum(expected)
    assert total > 0


def test_policy_and_inspector_search_alike_and_games_start_afresh():
    rules = load_rules("tic_tac_toe", None)
    policy, inspector, params = agent("tic_tac_toe")
    opponent = agent_opponent(policy, params)
    act, step = jax.jit(opponent.act_with_value), jax.jit(rules.step)
    inspect = jax.jit(inspector.inspect)
    key = jax.random.PRNGKey(1)
    keys = jax.random.split(key, GAMES)
    position = rules.init(keys)
    memory, state = opponent.initial_state(GAMES), inspector.initial_state(GAMES)
    values = []
    for ply in range(2):
        first = jnp.full(GAMES, ply == 0)
        action, value, memory = act(key, position, rules.observe(position), memory, first)
        observation = rules.with_positions().observe(position)
        output, _, state = inspect(params, key, observation, state)
        np.testing.assert_array_equal(action, output.action)
        np.testing.assert_allclose(value, output.search_value, atol=1e-6)
        values.append(value)
        before = position
        position = step(step(position, action, keys), jnp.arange(4, 4 + GAMES), keys)
    # The same position in a new game has a search of its own.
    _, afresh, _ = act(key, before, rules.observe(before), memory, jnp.arange(GAMES) == 0)
    assert np.any(output.statistics["search_visits_kept"] > 0)
    _, new, _ = act(
        key, before, rules.observe(before), opponent.initial_state(GAMES), jnp.zeros(GAMES, bool)
    )
    np.testing.assert_allclose(afresh[0], new[0], atol=1e-6)
    assert not np.any(np.isclose(afresh[1:], new[1:], atol=1e-6))


def test_agents_with_learned_models_and_chance_are_refused():
    learned = MuZeroConfig(network=NetworkConfig(torso="board"), search=SEARCH)
    chance = AlphaZeroConfig(
        game="2048", network=NETWORK, search=SEARCH, loss=AlphaZeroLossConfig(td_steps=5)
    )
    for config, game in ((learned, "tic_tac_toe"), (chance, "2048")):
        builder, spec = config.make_builder(), load_rules(game, None).with_positions().spec
        with pytest.raises(UserError, match="the rules of a game without chance"):
            builder.make_policy(builder.make_networks(spec), spec)


def counting_player():
    """A player whose actions are 3 times its moves plus the searches in its tree."""

    def initial_state(batch_size):
        nothing = jnp.zeros(batch_size, jnp.int32)
        return PlayState(nothing, KeptTree((), nothing))

    def act(key, game, observation, memory, is_first):
        searches = memory.tree.learner_steps
        action = 3 * memory.observed + searches
        return action, PlayState(memory.observed + 1, KeptTree((), searches + 1))

    return Player("counting", lambda params: Opponent(initial_state, act, None))


def test_trees_of_moves_that_are_taken_back_are_forgotten():
    game = AgentGame(load_rules("tic_tac_toe", None), counting_player(), seed=0)
    assert game.genmove() == 0
    game.play(8)
    assert game.choose() == 3 + 1
    # The move that was chosen is the agent's, any other one is not.
    game.play(4)
    game.play(7)
    assert game.choose() == 6 + 2
    game.undo()
    game.undo()
    assert game.choose() == 3
    game.play(5)
    game.play(7)
    assert game.genmove() == 3
    game.reset()
    assert game.genmove() == 0
