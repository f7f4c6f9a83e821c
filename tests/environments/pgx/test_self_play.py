"""Self-play against hand-played games and the rules in NumPy."""

import jax
import numpy as np
import pytest

pytest.importorskip("pgx")

from mukoe.environments.pgx.config import PgxConfig
from mukoe.environments.pgx.opponents import make_opponent
from mukoe.learning.returns import n_step_returns
from mukoe.types import EpisodeResult, plays_in_turns
from tests.environments.pgx.games import FIRST, LAST, MID, planes, random_actions, self_play


def test_a_game_of_tic_tac_toe_played_by_hand():
    env = self_play("tic_tac_toe")
    timestep = env.reset()
    moves = [4, 0, 2, 6, 3, 5, 8, 1, 7]  # A draw.
    for played in range(9):
        assert timestep.step_type.tolist() == [FIRST if played == 0 else MID]
        assert timestep.reward.tolist() == [0.0]
        assert timestep.discount.tolist() == [1.0 if played == 0 else -1.0]
        own, other = moves[played % 2 : played : 2], moves[(played + 1) % 2 : played : 2]
        np.testing.assert_array_equal(timestep.observation.features[0], planes(own, other))
        legal = [cell not in moves[:played] for cell in range(9)]
        np.testing.assert_array_equal(timestep.observation.legal_actions[0], legal)
        timestep = env.step(np.array([moves[played]]))
    assert (timestep.step_type, timestep.reward, timestep.discount) == (LAST, 0.0, 0.0)
    assert env.finished_episodes() == [EpisodeResult(0.0, 9, 9)]
    assert env.finished_episodes() == []


@pytest.mark.parametrize(
    ("played", "moves", "expected"),
    [
        ([], [0, 3, 1, 4, 2, 5, 6], 5),
        ([0, 3, 1], [4, 2, 5], 2),
        ([0, 3, 1], [4, 4, 2], 1),
        ([0, 3, 1], [0], 0),
        ([0, 3], [1, 4], 2),
        ([0, 3, 1, 4, 2], [5], 0),
    ],
)
def test_moves_are_playable_while_they_are_legal_and_the_game_lasts(played, moves, expected):
    env = self_play("tic_tac_toe")
    env.reset()
    for move in played:
        env.step(np.array([move]))
    before = env.get_state()
    assert env.count_playable(moves) == expected
    for name, array in env.get_state().items():
        np.testing.assert_array_equal(array, before[name])


def test_moves_are_counted_against_an_opponent_too():
    env = PgxConfig("tic_tac_toe").make_factory()(0, 1, True)
    env.reset()
    assert env.count_playable([0, 3, 1, 4, 2, 5]) == 5


@pytest.mark.parametrize(
    ("moves", "first_movers_score"),
    [([0, 3, 1, 4, 2], 1.0), ([0, 3, 1, 4, 8, 5], -1.0)],
)
def test_the_winning_move_is_rewarded(moves, first_movers_score):
    env = self_play("tic_tac_toe")
    env.reset()
    steps = [env.step(np.array([move])) for move in moves]
    assert [float(step.reward[0]) for step in steps] == [0.0] * (len(moves) - 1) + [1.0]
    assert [float(step.discount[0]) for step in steps] == [-1.0] * (len(moves) - 1) + [0.0]
    assert steps[-1].last()
    assert env.finished_episodes() == [EpisodeResult(first_movers_score, len(moves), len(moves))]


def test_returns_of_self_play_change_sign_with_every_turn():
    env = self_play("tic_tac_toe")
    env.reset()
    moves = [0, 3, 1, 4, 2]  # X wins with the fifth move.
    steps = [env.step(np.array([move])) for move in moves]
    rewards = np.array([float(step.reward[0]) for step in steps] + [0.0] * 6, np.float32)
    discounts = np.array([float(step.discount[0]) for step in steps] + [0.0] * 6, np.float32)
    mask = np.array([1.0] * 5 + [0.0] * 6, np.float32)
    values = np.linspace(-0.9, 0.9, 11, dtype=np.float32)

    def returns(n, discount):
        return n_step_returns(rewards, discounts, mask, values, n, discount)[:5]

    # To the end of the game: X won, so X to move is worth 1 and O to move -1.
    np.testing.assert_allclose(returns(6, 1.0), [1, -1, 1, -1, 1])
    np.testing.assert_allclose(returns(6, 0.5), [1 / 16, -1 / 8, 1 / 4, -1 / 2, 1])
    # Bootstrapped: after one move the opponent's value counts against, after two one's own for.
    np.testing.assert_allclose(returns(1, 1.0), [*-values[1:5], 1.0])
    np.testing.assert_allclose(returns(2, 1.0), [*values[2:5], -1.0, 1.0])


def test_the_step_after_last_starts_a_game_and_ignores_its_action():
    env = self_play("tic_tac_toe", num_envs=2)
    env.reset()
    for first, second in zip([0, 3, 1, 4, 2], [0, 1, 2, 4, 3], strict=True):
        timestep = env.step(np.array([first, second]))
    assert timestep.step_type.tolist() == [LAST, MID]
    timestep = env.step(np.array([-7, 5]))
    assert timestep.step_type.tolist() == [FIRST, MID]
    assert timestep.reward.tolist() == [0.0, 0.0]
    assert timestep.discount.tolist() == [1.0, -1.0]
    assert not timestep.observation.features[0].any()
    assert timestep.observation.legal_actions[0].all()
    assert env.step(np.array([8, 7])).step_type.tolist() == [MID, MID]
    assert [result.environment for result in env.finished_episodes()] == [0]


def connect_four_legal(board):
    return board[0] == 0


def connect_four_wins(board, player):
    mine = board == player
    for dy, dx in [(0, 1), (1, 0), (1, 1), (1, -1)]:
        for y in range(6):
            for x in range(7):
                ends = y + 3 * dy < 6 and 0 <= x + 3 * dx < 7
                if ends and all(mine[y + i * dy, x + i * dx] for i in range(4)):
                    return True
    return False


def test_connect_four_follows_its_rules():
    env, random = self_play("connect_four", num_envs=16, seed=3), np.random.default_rng(0)
    timestep = env.reset()
    boards, ended = np.zeros((16, 6, 7), int), np.zeros(16, bool)
    wins = 0
    for _ in range(120):
        actions = random_actions(random, timestep)
        timestep = env.step(actions)
        for i in range(16):
            if ended[i]:
                boards[i], ended[i] = 0, False
                assert timestep.step_type[i] == FIRST
                continue
            player = 1 + (boards[i] > 0).sum() % 2
            row = np.flatnonzero(boards[i][:, actions[i]] == 0).max()
            boards[i][row, actions[i]] = player
            won = connect_four_wins(boards[i], player)
            ended[i] = won or (boards[i] > 0).all()
            wins += won
            assert (timestep.step_type[i] == LAST) == ended[i]
            assert timestep.reward[i] == won
            assert timestep.discount[i] == (0.0 if ended[i] else -1.0)
            to_move = 3 - player
            expected = np.stack([boards[i] == to_move, boards[i] == player], -1)
            np.testing.assert_array_equal(timestep.observation.features[i], expected)
            if not ended[i]:
                legal = timestep.observation.legal_actions[i]
                np.testing.assert_array_equal(legal, connect_four_legal(boards[i]))
    assert wins > 20


def test_minatar_has_one_player_and_can_be_truncated():
    env = self_play("minatar-breakout", num_envs=2, max_steps=5)
    assert env.spec.observations.shape == (10, 10, 4)
    assert not plays_in_turns(env.spec)
    assert env.reset().observation.shape == (2, 10, 10, 4)
    steps = [env.step(np.array([0, 0])) for _ in range(5)]
    assert [step.step_type[0] for step in steps] == [MID] * 4 + [LAST]
    assert [step.discount[0] for step in steps] == [1.0] * 5
    assert env.step(np.array([0, 0])).step_type.tolist() == [FIRST, FIRST]
    assert [result.length for result in env.finished_episodes()] == [5, 5]
    unlimited, lost = self_play("minatar-breakout"), None
    unlimited.reset()
    while lost is None or not lost.last():
        lost = unlimited.step(np.array([1]))  # Always to the left, away from the ball in the end.
    assert lost.discount.tolist() == [0.0]


def test_returns_of_a_single_player_are_the_sum_of_its_rewards():
    env, random = self_play("2048", num_envs=2, max_steps=40), np.random.default_rng(0)
    timestep, total = env.reset(), np.zeros(2)
    for _ in range(40):
        board = np.where(
            (tiles := timestep.observation.features.argmax(-1)) > 0, 2.0**tiles, 0.0
        ).sum((1, 2))
        timestep = env.step(random_actions(random, timestep))
        tiles = timestep.observation.features.argmax(-1)
        # A move adds a tile of 2 or 4, and merging keeps the sum.
        new = np.where(tiles > 0, 2.0**tiles, 0.0).sum((1, 2)) - board
        assert set(new) <= {2.0, 4.0}
        total += timestep.reward
    assert [result.episode_return for result in env.finished_episodes()] == total.tolist()


def test_the_pure_functions_run_in_one_jitted_loop():
    functions = self_play("tic_tac_toe", num_envs=8).functions
    opponent = make_opponent("random", "tic_tac_toe", 0)

    @jax.jit
    def run(key):
        def body(carry, key):
            streams, step = carry
            action, _ = opponent.act(key, None, step.observation, (), None)
            streams, step = functions.step(streams, action, key)
            return (streams, step), (step.step_type, step.reward, step.discount)

        return jax.lax.scan(body, functions.init(key), jax.random.split(key, 40))[1]

    step_type, reward, discount = run(jax.random.PRNGKey(0))
    assert (discount[step_type == MID] == -1).all()
    assert (discount[step_type == LAST] == 0).all()
    assert (reward[step_type != LAST] == 0).all()
    assert (step_type == LAST).sum() > 20
    np.testing.assert_array_equal(step_type[1:][step_type[:-1] == LAST], FIRST)
