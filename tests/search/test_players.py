"""Searches with value vectors, against max^n and the PUCT formula by hand."""

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import mctx
import numpy as np
import pytest

from mukoe.errors import UserError
from mukoe.search.base import SearchModel
from mukoe.search.config import SearchConfig
from mukoe.search.plan import plan
from mukoe.search.players import PlayersOutput, PlayersRoot
from mukoe.search.q_normalization import QNormalizationConfig

PLAYERS, ACTIONS, DEPTH, GAMES, DISCOUNT = 3, 3, 3, 6, 0.9
NODES = sum(ACTIONS**depth for depth in range(DEPTH + 1))
FIRST_LEAF = NODES - ACTIONS**DEPTH
_RANDOM = np.random.default_rng(11)


def children(node):
    return [ACTIONS * node + 1 + action for action in range(ACTIONS)]


def max_n(reward, player, node=0):
    """Returns values `[P]`, best action and least margin of the choices below a node."""
    if node >= FIRST_LEAF:
        return np.zeros(PLAYERS), 0, np.inf
    below = {child: max_n(reward, player, child) for child in children(node)}
    qvalues = [reward[child] + DISCOUNT * values for child, (values, *_) in below.items()]
    own = [q[player[node]] for q in qvalues]
    best, (second, first) = int(np.argmax(own)), sorted(own)[-2:]
    return qvalues[best], best, min(first - second, *(margin for *_, margin in below.values()))


def _draw():
    """Draws rewards of the edge to each node, in breadth-first order, and the players to move."""
    while True:
        reward = _RANDOM.uniform(-1, 1, (NODES, PLAYERS)).astype(np.float32)
        player = _RANDOM.integers(0, PLAYERS, NODES)
        # Where two choices are almost equal for one player, they may not be so for the others.
        if max_n(reward, player)[2] > 0.15:
            return reward, player


REWARD, PLAYER = map(np.stack, zip(*(_draw() for _ in range(GAMES)), strict=True))
PRIOR = _RANDOM.normal(size=(GAMES, NODES, ACTIONS)).astype(np.float32)
GUESS = _RANDOM.uniform(-1, 1, (GAMES, NODES, PLAYERS)).astype(np.float32)


def tree_model(guess=GUESS, prior=PRIOR) -> SearchModel:
    """The trees; an embedding is the game and the node, -1 behind the end."""
    reward, player = jnp.asarray(REWARD), jnp.asarray(PLAYER, jnp.int32)
    guess, prior = jnp.asarray(guess), jnp.asarray(prior)

    def root(params, games):
        del params
        return PlayersRoot(
            prior_logits=prior[games, 0],
            value=guess[games, 0],
            embedding=jnp.stack([games, jnp.zeros_like(games)], axis=-1),
            player=player[games, 0],
        )

    def recurrent(params, key, action, embedding):
        del params, key
        game, before = embedding[:, 0], embedding[:, 1]
        after = ACTIONS * before + 1 + action
        over = (before < 0) | (before >= FIRST_LEAF)
        after = jnp.where(over, -1, after)
        ends = over | (after >= FIRST_LEAF)
        output = PlayersOutput(
            reward=jnp.where(over[:, None], 0.0, reward[game, after]),
            discount=jnp.where(ends, 0.0, DISCOUNT),
            prior_logits=prior[game, after],
            value=jnp.where(ends[:, None], 0.0, guess[game, after]),
            player=player[game, after],
        )
        return output, jnp.stack([game, after], axis=-1)

    return SearchModel(root, recurrent)


def searched(model, **settings):
    config = SearchConfig(**settings)

    def run(games):
        root = model.root(None, games)
        return plan(config, model, None, jax.random.PRNGKey(0), root, None, 0, evaluation=True)

    return jax.device_get(jax.jit(run)(jnp.arange(GAMES)))


KNOWN = QNormalizationConfig(scope="known", known_range=(-3.0, 3.0), value_scale=1.0)


@pytest.mark.parametrize(
    ("algorithm", "informed", "simulations", "tolerance"),
    [
        # Blind: everything is found by planning to the end.
        ("muzero", False, 600, 0.3),
        # Below the root Gumbel MuZero is greedy from the first visit on, and relies on values.
        ("gumbel", True, 100, 0.1),
    ],
)
def test_the_true_model_reaches_the_values_of_max_n(algorithm, informed, simulations, tolerance):
    games = list(zip(REWARD, PLAYER, strict=True))
    known = np.array([[max_n(*game, node)[0] for node in range(NODES)] for game in games])
    output, _ = searched(
        tree_model(known if informed else 0 * GUESS, 0 * PRIOR),
        algorithm=algorithm,
        num_simulations=simulations,
        pb_c_init=0.5,
        q_normalization=KNOWN,
    )
    values, actions, _ = zip(*(max_n(*game) for game in games), strict=True)
    assert len(set(actions)) == ACTIONS
    np.testing.assert_array_equal(output.action, actions)
    # Paths that explore pull single values further away.
    assert np.mean(np.abs(output.search_value - np.stack(values))) < tolerance


class Node:
    """Node of the PUCT search by hand."""

    def __init__(self, game, node, over):
        self.game, self.node, self.over = game, node, over
        self.visits, self.children = 0, {}
        self.total, self.reward, self.discount = np.zeros(PLAYERS), np.zeros(PLAYERS), 0.0

    @property
    def q(self):
        return self.reward + self.discount * self.total / self.visits


def puct_by_hand(game, simulations, scope):
    """Returns visit counts `[A]` and values `[P]` of the root."""
    low, high = KNOWN.known_range
    root = Node(game, 0, over=False)
    root.total, root.visits = GUESS[game, 0].astype(float), 1
    nodes = []
    for _ in range(simulations):
        path, node = [root], root
        while True:
            player = PLAYER[game, node.node]
            scores = []
            logits = PRIOR[game, node.node].astype(float)
            probs = np.exp(logits) / np.exp(logits).sum()
            if scope == "tree":
                seen = [other.q[player] for other in nodes]
                low, high = (min(seen), max(seen)) if seen else (0.0, 0.0)
            for action in range(ACTIONS):
                child = node.children.get(action)
                visits = child.visits if child else 0
                q = (child.q[player] - low) / max(high - low, 1e-8) if child else 0.0
                c = 1.25 + np.log((node.visits + 19653) / 19652)
                scores.append(q + probs[action] * np.sqrt(node.visits) / (1 + visits) * c)
            action = int(np.argmax(scores))
            if action not in node.children:
                break
            node = node.children[action]
            path.append(node)
        # Behind the end of a game lines go on, in a state without rewards and values.
        over = node.over or node.node >= FIRST_LEAF
        after = NODES - 1 if over else children(node.node)[action]
        ends = over or after >= FIRST_LEAF
        new = Node(game, after, over)
        new.reward = np.zeros(PLAYERS) if over else REWARD[game, after].astype(float)
        new.discount = 0.0 if ends else DISCOUNT
        node.children[action] = new
        nodes.append(new)
        value = np.zeros(PLAYERS) if ends else GUESS[game, after].astype(float)
        for visited in reversed([*path, new]):
            visited.total, visited.visits = visited.total + value, visited.visits + 1
            value = visited.reward + visited.discount * value
    counts = [root.children[a].visits if a in root.children else 0 for a in range(ACTIONS)]
    return counts, root.total / root.visits


@pytest.mark.parametrize("scope", ["known", "tree"])
def test_selection_and_backup_are_those_by_hand(scope):
    simulations = 40
    output, tree = searched(
        tree_model(),
        algorithm="muzero",
        num_simulations=simulations,
        q_normalization=dataclasses.replace(KNOWN, scope=scope),
    )
    for game in range(GAMES):
        counts, values = puct_by_hand(game, simulations, scope)
        np.testing.assert_array_equal(tree.children_visits[game, 0], counts)
        np.testing.assert_allclose(output.search_value[game], values, rtol=1e-4, atol=1e-5)


def test_a_node_has_the_mean_of_the_returns_below_it():
    _, tree = searched(tree_model(), algorithm="gumbel", num_simulations=25)
    for game, node in itertools.product(range(GAMES), range(5)):
        below = []
        for leaf in range(26):
            discount, value = tree.children_discounts[game], tree.raw_vectors[game, leaf]
            ancestor = leaf
            while ancestor not in (node, -1):
                parent, action = (
                    tree.parents[game, ancestor],
                    tree.action_from_parent[game, ancestor],
                )
                value = tree.reward_vectors[game, ancestor] + discount[parent, action] * value
                ancestor = parent
            if ancestor == node:
                below.append(value)
        np.testing.assert_allclose(
            tree.value_vectors[game, node], np.mean(below, axis=0), atol=1e-5
        )
        own = np.mean(below, axis=0)[tree.player[game, node]]
        np.testing.assert_allclose(tree.node_values[game, node], own, atol=1e-5)


def zero_sum_model(vectors) -> SearchModel:
    """Two players in turn, with vectors `(v, -v)`, or numbers of the player to move."""
    random = np.random.default_rng(3)
    move, prior = random.normal(size=(ACTIONS, 4, 4)), random.normal(size=(4, ACTIONS))
    weights = random.normal(size=(2, 4))

    def both(number, player):
        sign = jnp.where(player == 0, 1.0, -1.0)
        return jnp.stack([sign * number, -sign * number], axis=-1)

    def root(params, state):
        del params
        fields = {"prior_logits": state @ prior, "value": jnp.tanh(state @ weights[0])}
        player = jnp.zeros(state.shape[0], jnp.int32)
        embedding = {"state": state, "player": player}
        if not vectors:
            return mctx.RootFnOutput(**fields, embedding=embedding)
        fields["value"] = both(fields["value"], player)
        return PlayersRoot(**fields, embedding=embedding, player=player)

    def recurrent(params, key, action, embedding):
        del params, key
        before = embedding["player"]
        state = jnp.tanh(jnp.einsum("bi,bij->bj", embedding["state"], jnp.asarray(move)[action]))
        ongoing = jnp.where(jnp.abs(state[:, 0]) > 0.97, 0.0, DISCOUNT)
        reward, value = state @ weights[1], jnp.tanh(state @ weights[0])
        player = 1 - before
        embedding = {"state": state, "player": player}
        if not vectors:
            return mctx.RecurrentFnOutput(
                reward=reward, discount=-ongoing, prior_logits=state @ prior, value=value
            ), embedding
        return PlayersOutput(
            reward=both(reward, before),
            discount=ongoing,
            prior_logits=state @ prior,
            value=both(value, player),
            player=player,
        ), embedding

    return SearchModel(root, recurrent)


@pytest.mark.parametrize("algorithm", ["muzero", "gumbel"])
def test_two_players_of_opposite_interest_have_the_scalar_tree(algorithm):
    config = SearchConfig(
        algorithm=algorithm,
        num_simulations=20,
        max_depth=4,
        q_normalization=dataclasses.replace(KNOWN, scope="known"),
    )

    def run(model, state):
        root = model.root(None, state)
        return plan(config, model, None, jax.random.PRNGKey(1), root, None, 0)

    state = jnp.float32(np.random.default_rng(5).normal(size=(8, 4)))
    (one, by_sign), (two, by_vector) = (
        jax.jit(functools.partial(run, zero_sum_model(vectors)))(state) for vectors in (False, True)
    )
    np.testing.assert_array_equal(one.action, two.action)
    for name in ("children_index", "children_visits", "parents"):
        np.testing.assert_array_equal(getattr(by_sign, name), getattr(by_vector, name))
    np.testing.assert_allclose(by_sign.node_values, by_vector.node_values, atol=1e-5)
    np.testing.assert_allclose(one.search_policy, two.search_policy, atol=1e-5)
    np.testing.assert_allclose(two.search_value[:, 0], one.search_value, atol=1e-5)
    np.testing.assert_allclose(two.search_value[:, 1], -one.search_value, atol=1e-5)


def test_one_game_alone_has_the_tree_of_a_batch():
    model, config = tree_model(), SearchConfig(num_simulations=8)

    def run(games):
        root = model.root(None, games)
        return plan(config, model, None, jax.random.PRNGKey(0), root, None, 0, evaluation=True)[0]

    run = jax.jit(run)
    alone, batch = run(jnp.array([2])), run(jnp.arange(GAMES))
    np.testing.assert_allclose(alone.search_value[0], batch.search_value[2], atol=1e-6)


def test_a_value_without_an_axis_of_players_is_refused():
    model = tree_model()
    root = dataclasses.replace(model.root(None, jnp.arange(2)), value=jnp.zeros(2))
    with pytest.raises(UserError, match=r"value \[B, P\] must have 2 axes, not shape \(2,\)"):
        plan(SearchConfig(), model, None, jax.random.PRNGKey(0), root, None, 0)
