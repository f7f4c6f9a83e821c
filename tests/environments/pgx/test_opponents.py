"""Opponents against all of tic-tac-toe, and against each other."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("pgx")

from mukoe.environments.pgx.config import PgxConfig
from mukoe.environments.pgx.exact_solver import NUM_BOARDS, board_index, solve_tic_tac_toe
from mukoe.environments.pgx.opponents import make_opponent
from mukoe.errors import UserError
from mukoe.types import MaskedObservation

LINES = [(0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8), (0, 4, 8), (2, 4, 6)]


def cells(text):
    """Own and opponent's cells of a board such as 'XX. OO. ...', X to move."""
    flat = np.array(list(text.replace(" ", "")))
    return (flat == "X").astype(int), (flat == "O").astype(int)


def solution(text):
    index, solved = board_index(*cells(text)), solve_tic_tac_toe()
    return int(solved.values[index]), set(np.flatnonzero(solved.best_actions[index]))


def test_known_values():
    assert solution("... ... ...") == (0, set(range(9)))
    assert solution("XX. OO. ...") == (1, {2})  # Win at once; blocking does not.
    assert solution("O.. .X. ..O") == (0, {1, 3, 5, 7})  # A corner would lose to a fork.
    assert solution("X.. .O. ...")[1] == {1, 2, 3, 5, 6, 7, 8}
    assert solution("... .O. ...") == (0, {0, 2, 6, 8})  # An edge against the centre loses.
    assert solution("OO. O.. X.X")[0] == 1
    assert solution("OO. .X. O.X")[0] == -1  # 2 and 3 are both open.
    assert solution("OOO XX. ..X") == (-1, set())
    assert solution("XOX XOO OXX")[1] == set()


def won(board, player):
    return any(all(board[cell] == player for cell in line) for line in LINES)


def minimax(board, player):
    """The value for player 1, by definition, on a board of 0, 1 and 2."""
    for winner, value in ((1, 1), (2, -1)):
        if won(board, winner):
            return value
    if 0 not in board:
        return 0
    children = [
        minimax((*board[:cell], player, *board[cell + 1 :]), 3 - player)
        for cell in range(9)
        if board[cell] == 0
    ]
    return max(children) if player == 1 else min(children)


def test_values_are_those_of_a_plain_minimax():
    solved, compared = solve_tic_tac_toe(), 0
    assert solved.values.shape == (NUM_BOARDS,)
    for board in itertools.product(range(3), repeat=9):
        if board.count(1) == board.count(2) in (2, 3):  # X to move, four or six stones.
            if won(board, 1):
                continue
            own, other = (np.array(board) == player for player in (1, 2))
            index = board_index(own.astype(int), other.astype(int))
            assert solved.values[index] == minimax(board, 1)
            compared += 1
    assert compared > 1000


def exact_moves(boards):
    """The moves that the opponent makes on boards `[N, 9]` of own 1 and other 2, over 64 keys.

    Returns `[N, 9]` bool.
    """
    opponent = make_opponent("exact", "tic_tac_toe", 0)
    features = np.stack([boards == 1, boards == 2], -1).reshape(-1, 3, 3, 2)
    observation = MaskedObservation(jnp.asarray(features), jnp.asarray(boards == 0))

    def act(key):
        return opponent.act(key, None, observation, (), None)[0]

    actions = jax.jit(jax.vmap(act))(jax.random.split(jax.random.PRNGKey(0), 64))
    return np.asarray((actions[..., None] == np.arange(9)).any(0))


@pytest.mark.parametrize("seat", [0, 1])
def test_exact_never_loses_whatever_is_replied(seat):
    """Every reply against every move that the opponent may make, ply by ply."""
    me, you = 1, 2
    positions = {(0,) * 9}
    outcomes = {"won": 0, "drawn": 0}
    for ply in range(9):
        mine = ply % 2 == seat
        if mine:
            boards = np.array(sorted(positions))
            choices = exact_moves(boards)
            assert choices.any(1).all()
            assert not (choices & (boards > 0)).any()
        else:
            boards = np.array(sorted(positions))
            choices = boards == 0
        positions = set()
        for board, cell in np.argwhere(choices):
            following = tuple(np.where(np.arange(9) == cell, me if mine else you, boards[board]))
            assert not won(following, you)
            if won(following, me):
                outcomes["won"] += 1
            elif 0 not in following:
                outcomes["drawn"] += 1
            else:
                positions.add(following)
    assert not positions
    assert min(outcomes.values()) > 0


def test_exact_chooses_at_random_among_equals():
    assert exact_moves(np.zeros((1, 9), int)).all()  # Every first move draws.
    own, other = cells("... .O. ...")
    assert set(np.flatnonzero(exact_moves((own + 2 * other)[None])[0])) == {0, 2, 6, 8}


def test_random_is_uniform_over_the_legal_moves():
    legal = np.tile([True, False, True, True, False, False, False], (6000, 1))
    observation = MaskedObservation(None, jnp.asarray(legal))
    opponent = make_opponent("random", "connect_four", 0)
    actions, memory = opponent.act(jax.random.PRNGKey(0), None, observation, (), None)
    assert memory == ()
    counts = np.bincount(np.asarray(actions), minlength=7) / 6000
    np.testing.assert_allclose(counts, [1 / 3, 0, 1 / 3, 1 / 3, 0, 0, 0], atol=0.03)


def agent_scores(config, agent, num_envs):
    """The results of an opponent as the agent, in the first match of each stream, by seat."""
    env = config.make_factory()(0, num_envs, True)
    act = jax.jit(agent.act)
    timestep, results, key = env.reset(), {}, jax.random.PRNGKey(9)
    while len(results) < num_envs:
        key, act_key = jax.random.split(key)
        actions, _ = act(act_key, None, timestep.observation, (), np.zeros(num_envs, bool))
        timestep = env.step(np.asarray(actions))
        for result in env.finished_episodes():
            results.setdefault(result.environment, result)
    return [
        np.array([r.episode_return for r in results.values() if r.seat == seat]) for seat in (0, 1)
    ]


@pytest.mark.slow
def test_rollout_beats_random_from_both_seats():
    config = PgxConfig("connect_four", opponent="rollout", rollout_simulations=24)
    random = make_opponent("random", "connect_four", 0)
    for scores in agent_scores(config, random, num_envs=32):
        assert len(scores) == 16
        assert scores.mean() < -0.6


@pytest.mark.slow
def test_rollout_cannot_beat_exact():
    config = PgxConfig("tic_tac_toe", opponent="rollout", rollout_simulations=24)
    for scores in agent_scores(config, make_opponent("exact", "tic_tac_toe", 0), num_envs=32):
        assert (scores >= 0).all()


def test_rollout_wins_at_once_and_blocks():
    functions = PgxConfig("tic_tac_toe").make_factory()(0, 2, False).functions
    streams, step = functions.jitted_init(jax.random.PRNGKey(0))
    advance = jax.jit(functions.step)
    # X X .    X . O
    # O O .    . O .    X is to move: it wins with 2 in stream 0, and must block with 6 in
    # . . .    . X .    stream 1.
    for actions in ([0, 0], [3, 4], [1, 7], [4, 2]):
        streams, step = advance(streams, jnp.array(actions), jax.random.PRNGKey(0))
    act = jax.jit(make_opponent("rollout", "tic_tac_toe", 64).act)
    actions, _ = act(jax.random.PRNGKey(0), streams.game, step.observation, (), None)
    assert actions.tolist() == [2, 6]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("exact", "hex", 1), "'exact' plays tic_tac_toe, nim_3p only, not 'hex'"),
        (("rollout", "hex", 0), "from 1 to 100000 simulations, not 0"),
        (("strong", "hex", 1), "unknown opponent 'strong'"),
        (("random", "2048", 1), "one player"),
    ],
)
def test_wrong_opponents_are_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        make_opponent(*arguments)
