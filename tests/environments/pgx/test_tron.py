"""Tron for three players against rules in Python; searches against max^n of a small board."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("pgx")

from mukoe.environments.pgx.config import PgxConfig
from mukoe.environments.pgx.multiplayer.tron import SIZE, STARTS, Tron
from mukoe.search.base import SearchModel
from mukoe.search.config import SearchConfig
from mukoe.search.plan import plan
from mukoe.search.players import PlayersOutput, PlayersRoot
from mukoe.search.q_normalization import BOARD_GAMES
from mukoe.search.root import mask_logits

MOVES = ((0, -1), (-1, 0), (0, 1), (1, 0))


def free(walls, head, size):
    cells = [(head[0] + dy, head[1] + dx) for dy, dx in MOVES]
    board = {(y, x) for y in range(size) for x in range(size)}
    return [action for action, cell in enumerate(cells) if cell in board - walls]


def moved(state, action, size):
    """Returns the state after a move and the rewards: (walls, heads, mover, active)."""
    walls, heads, mover, active = state
    head = tuple(np.add(heads[mover], MOVES[action]))
    walls, heads = walls | {head}, (*heads[:mover], head, *heads[mover + 1 :])
    rewards = [0.0, 0.0, 0.0]
    player = mover
    while True:
        player = (player + 1) % 3
        if player not in active:
            continue
        if len(active) == 1:
            rewards[player] += 1
            break
        if free(walls, heads[player], size):
            break
        rewards[player] -= len(active) == 3
        active = active - {player}
    return (walls, heads, player, active), rewards


def test_random_games_have_the_rules_of_tron():
    environment = PgxConfig("tron_3p").make_factory()(0, 1, False)
    random, timestep = np.random.default_rng(0), environment.reset()
    outs, winners = set(), set()
    for _ in range(12):
        state, totals = (frozenset(STARTS), STARTS, 0, frozenset(range(3))), np.zeros(3)
        while not timestep.last()[0]:
            walls, heads, mover, active = state
            observation = timestep.observation
            legal = free(walls, heads[mover], SIZE)
            assert observation.player[0] == mover
            assert set(np.flatnonzero(observation.active[0])) == active
            assert np.flatnonzero(observation.legal_actions[0]).tolist() == legal
            features = observation.features[0]
            assert set(map(tuple, np.argwhere(features[..., :3].any(-1)))) == walls
            for seat in active:
                assert np.argwhere(features[..., 3 + seat]).tolist() == [list(heads[seat])]
            action = int(random.choice(legal))
            timestep = environment.step(np.array([action]))
            state, rewards = moved(state, action, SIZE)
            np.testing.assert_array_equal(timestep.reward[0], rewards)
            totals += rewards
            outs.add(len(state[3]))
        assert sorted(totals) == [-1, 0, 1]
        winners.add(int(totals.argmax()))
        assert environment.result_text() == f"{'ABC'[totals.argmax()]} won"
        timestep = environment.step(np.zeros(1, int))
    assert outs == {1, 2, 3}
    assert winners == {0, 1, 2}


def test_text_and_picture_show_walls_and_heads():
    environment = PgxConfig("tron_3p").make_factory()(0, 1, False)
    environment.reset()
    environment.step(np.array([3]))
    rows = environment.render_text().splitlines()
    assert rows[1:3] == [". a . . . B .", ". A . . . . ."]
    assert rows[5:] == [". . . C . . .", ". . . . . . .", "B to move"]
    picture = environment.render()
    side = picture.shape[0] // SIZE
    wall, head, free_cell = (
        picture[row * side + side // 2, column * side + side // 2]
        for row, column in ((1, 1), (2, 1), (3, 3))
    )
    assert len({tuple(color) for color in (wall, head, free_cell)}) == 3


def test_a_match_is_over_when_the_agent_is_out():
    environment = PgxConfig("tron_3p").make_factory()(3, 6, True)
    timestep, results, random = environment.reset(), [], np.random.default_rng(1)
    while len(results) < 12:
        running = ~timestep.last()
        assert (timestep.observation.player == environment._streams.seat)[running].all()
        legal = timestep.observation.legal_actions
        timestep = environment.step(np.array([random.choice(np.flatnonzero(m)) for m in legal]))
        results += environment.finished_episodes()
    assert {result.episode_return for result in results} == {-1, 0, 1}
    assert {result.seat for result in results} == {0, 1, 2}


def max_n(state, size):
    """Returns the values `[3]` of a position, and the best moves of the player to move.

    None for values that depend on the choice among moves that are equal for their player.
    """
    outcomes = {}
    for action in free(state[0], state[1][state[2]], size):
        after, rewards = moved(state, action, size)
        values = np.zeros(3) if len(after[3]) == 1 else max_n(after, size)[0]
        if values is None:
            return None, ()
        outcomes[action] = np.array(rewards) + values
    best = max(values[state[2]] for values in outcomes.values())
    moves = [action for action, values in outcomes.items() if values[state[2]] == best]
    reached = {tuple(outcomes[action]) for action in moves}
    return (outcomes[moves[0]] if len(reached) == 1 else None), tuple(moves)


def test_a_search_of_the_rules_reaches_the_values_of_max_n():
    """Positions of a board of 4x4, before and after a player is out."""
    size, starts = 4, ((0, 0), (0, 3), (3, 1))
    game, random = Tron(size, starts), np.random.default_rng(0)
    step, key = jax.jit(game.step), jax.random.PRNGKey(0)
    positions, states = [], []
    while len(states) < 24:
        position, state = game.init(key), (frozenset(starts), starts, 0, frozenset(range(3)))
        for _ in range(random.integers(4, 9)):
            legal = free(state[0], state[1][state[2]], size)
            action = int(random.choice(legal))
            following, _ = moved(state, action, size)
            if len(following[3]) == 1:
                break
            position, state = step(position, jnp.int32(action), key), following
        if max_n(state, size)[0] is not None:
            positions.append(position)
            states.append(state)
    batch = jax.tree.map(lambda *leaves: jnp.stack(leaves), *positions)

    def root(params, position):
        del params
        count = position.current_player.shape[0]
        return PlayersRoot(
            prior_logits=jnp.zeros((count, 4)),
            value=jnp.zeros((count, 3)),
            embedding=position,
            player=position.current_player,
        )

    def recurrent(params, key, action, position):
        del params, key
        after = jax.vmap(lambda one, move: game.step(one, move, None))(position, action)
        output = PlayersOutput(
            reward=after.rewards,
            discount=jnp.where(after.terminated, 0.0, 1.0),
            prior_logits=mask_logits(jnp.zeros((len(action), 4)), after.legal_action_mask),
            value=jnp.zeros((len(action), 3)),
            player=after.current_player,
        )
        return output, after

    config = SearchConfig(num_simulations=400, pb_c_init=0.5, q_normalization=BOARD_GAMES)
    model = SearchModel(root, recurrent)

    def search(position):
        legal = position.legal_action_mask
        return plan(
            config, model, None, key, model.root(None, position), legal, 0, evaluation=True
        )[0]

    output = jax.device_get(jax.jit(search)(batch))
    solved = [max_n(state, size) for state in states]
    assert {len(state[3]) for state in states} == {2, 3}
    assert {values[state[2]] for state, (values, _) in zip(states, solved, strict=True)} > {-1, 1}
    for state, (values, moves), action, found in zip(
        states, solved, output.action, output.search_value, strict=True
    ):
        assert action in moves
        np.testing.assert_array_equal(np.round(found), values, err_msg=str(state))
