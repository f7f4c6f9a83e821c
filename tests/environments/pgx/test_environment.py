"""Games of pgx against hand-played games and the rules in NumPy."""

import jax
import numpy as np
import pytest

pytest.importorskip("pgx")

from mukoe.environments.pgx.config import PgxConfig
from mukoe.environments.pgx.games import PGX_GAMES
from mukoe.environments.pgx.opponents import Opponent, make_opponent
from mukoe.errors import UserError
from mukoe.learning.returns import n_step_returns
from mukoe.types import EpisodeResult, MaskedObservation, plays_in_turns

FIRST, MID, LAST = 0, 1, 2


def self_play(game, num_envs=1, seed=0, **kwargs):
    return PgxConfig(game, **kwargs).make_factory()(seed, num_envs, False)


def matches(game, num_envs=1, seed=0, **kwargs):
    return PgxConfig(game, **kwargs).make_factory()(seed, num_envs, True)


def random_actions(random, timestep):
    noise = random.random(timestep.observation.legal_actions.shape)
    return np.where(timestep.observation.legal_actions, noise, -1).argmax(-1)


def lowest_legal(key, game, observation, memory, is_first):
    del key, game, is_first
    return observation.legal_actions.argmax(-1).astype(np.int32), memory


LOWEST = Opponent(lambda batch_size: (), lowest_legal)
"""Plays the legal action of the lowest number."""


def planes(own, other):
    features = np.zeros((9, 2), bool)
    features[own, 0] = True
    features[other, 1] = True
    return features.reshape(3, 3, 2)


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
    ("moves", "first_movers_score"),
    [([0, 3, 1, 4, 2], 1.0), ([0, 3, 1, 4, 8, 5], -1.0)],
)
def test_who_wins_is_rewarded_for_the_winning_move(moves, first_movers_score):
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


def test_the_step_after_the_last_starts_a_game_whatever_the_action():
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


def test_a_match_played_by_hand_from_both_seats():
    env = PgxConfig("tic_tac_toe").make_match_factory(LOWEST)(0, 2, True)
    timestep = env.reset()
    # Stream 0 moves first. Stream 1 moves second and finds the opponent's stone at 0.
    np.testing.assert_array_equal(timestep.observation.features[0], planes([], []))
    np.testing.assert_array_equal(timestep.observation.features[1], planes([], [0]))
    timestep = env.step(np.array([4, 4]))
    np.testing.assert_array_equal(timestep.observation.features[0], planes([4], [0]))
    np.testing.assert_array_equal(timestep.observation.features[1], planes([4], [0, 1]))
    assert timestep.discount.tolist() == [1.0, 1.0]
    timestep = env.step(np.array([8, 8]))  # The opponent of stream 1 completes 0, 1, 2.
    assert timestep.step_type.tolist() == [MID, LAST]
    assert timestep.reward.tolist() == [0.0, -1.0]
    assert timestep.discount.tolist() == [1.0, 0.0]
    assert env.finished_episodes() == [EpisodeResult(-1.0, 2, 2, environment=1, seat=1)]
    timestep = env.step(np.array([2, 0]))
    assert timestep.step_type.tolist() == [MID, FIRST]
    # Now stream 1 moves first.
    np.testing.assert_array_equal(timestep.observation.features[1], planes([], []))
    np.testing.assert_array_equal(timestep.observation.features[0], planes([4, 8, 2], [0, 1, 3]))
    timestep = env.step(np.array([5, 0]))  # 2, 5, 8: stream 0 wins, and nobody answers.
    assert timestep.step_type.tolist() == [LAST, MID]
    assert timestep.reward.tolist() == [1.0, 0.0]
    assert timestep.discount.tolist() == [0.0, 1.0]
    assert env.finished_episodes() == [EpisodeResult(1.0, 4, 4, environment=0, seat=0)]


def finish_games(env, wanted, seed=0):
    random, results, timestep = np.random.default_rng(seed), [], env.reset()
    while len(results) < wanted:
        timestep = env.step(random_actions(random, timestep))
        results += env.finished_episodes()
    return results


def test_seats_alternate_and_every_result_says_its_seat():
    results = finish_games(matches("tic_tac_toe", num_envs=3), 60)
    for stream in range(3):
        seats = [result.seat for result in results if result.environment == stream]
        assert seats == [(stream + game) % 2 for game in range(len(seats))]
    # Random against random: who moves first wins 58.5%, loses 28.8% and draws 12.7%.
    scores = finish_games(matches("tic_tac_toe", num_envs=64, seed=1), 2000)
    first = np.mean([result.episode_return for result in scores if result.seat == 0])
    second = np.mean([result.episode_return for result in scores if result.seat == 1])
    np.testing.assert_allclose([first, second], [0.297, -0.297], atol=0.1)


def test_a_dropped_match_is_played_again_from_the_same_seat():
    env = PgxConfig("tic_tac_toe").make_match_factory(LOWEST)(0, 1, True)
    assert env.reset().observation.features.sum() == 0
    env.step(np.array([4]))
    assert env.reset().observation.features.sum() == 0
    for action in (2, 4, 6):
        timestep = env.step(np.array([action]))
    assert timestep.last()
    assert env.reset().observation.features.sum() == 1


def test_the_opponent_is_told_where_its_games_start_and_keeps_its_memory():
    """An opponent that plays the cell after its last one, from cell 3 on."""

    def act(key, game, observation, memory, is_first):
        del key, game, observation
        action = jax.numpy.where(is_first, 3, memory + 1)
        return action, action

    opponent = Opponent(lambda batch_size: np.zeros(batch_size, np.int32), act)
    env = PgxConfig("tic_tac_toe").make_match_factory(opponent)(0, 2, True)
    env.reset()
    env.step(np.array([0, 0]))
    timestep = env.step(np.array([1, 8]))
    np.testing.assert_array_equal(timestep.observation.features[0], planes([0, 1], [3, 4]))
    assert timestep.step_type.tolist() == [MID, LAST]  # 3, 4, 5 in stream 1.
    timestep = env.step(np.array([8, 0]))
    assert timestep.step_type.tolist() == [LAST, FIRST]  # 3, 4, 5 in stream 0.
    timestep = env.step(np.array([0, 0]))
    np.testing.assert_array_equal(timestep.observation.features[0], planes([], [3]))
    np.testing.assert_array_equal(timestep.observation.features[1], planes([0], [3]))


def play(env, steps, seed=5):
    random, timesteps = np.random.default_rng(seed), [env.reset()]
    for _ in range(steps):
        timesteps.append(env.step(random_actions(random, timesteps[-1])))
    return jax.tree.map(lambda *leaves: np.stack(leaves), *timesteps)


def equal(left, right):
    return all(
        np.array_equal(a, b)
        for a, b in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True)
    )


def test_the_seed_decides_everything():
    recorded = play(matches("tic_tac_toe", 4, seed=1), 30)
    assert equal(recorded, play(matches("tic_tac_toe", 4, seed=1), 30))
    assert not equal(recorded, play(matches("tic_tac_toe", 4, seed=2), 30))
    tiles = play(self_play("2048", 2, seed=1, max_steps=40), 10)
    assert equal(tiles, play(self_play("2048", 2, seed=1, max_steps=40), 10))
    assert not equal(tiles, play(self_play("2048", 2, seed=2, max_steps=40), 10))
    # Evaluation plays other games; so do the streams, however many there are.
    assert not equal(tiles, play(matches("2048", 2, seed=1, max_steps=40), 10))
    start = tiles.observation.features[0]
    assert not (start[0] == start[1]).all()
    longer = self_play("2048", 5, seed=1).reset().observation.features
    np.testing.assert_array_equal(longer[:2], start)


@pytest.mark.parametrize("action", [4, -1, 9])
def test_an_illegal_action_is_an_error_that_names_it(action):
    env = self_play("tic_tac_toe", num_envs=2)
    env.reset()
    env.step(np.array([0, 4]))
    with pytest.raises(
        UserError, match=rf"environment 1 .* action {action} is illegal.*0, 1, 2, 3"
    ):
        env.step(np.array([4, action]) if action == 4 else np.array([1, action]))
    # Nothing happened.
    assert env.step(np.array([4, 0])).observation.features.sum() == 4


def test_actions_must_be_integers_for_every_stream():
    env = self_play("tic_tac_toe", num_envs=2)
    env.reset()
    for actions in (np.array([1]), np.array([1.0, 2.0])):
        with pytest.raises(UserError, match="actions must be 2 integers"):
            env.step(actions)


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


@pytest.mark.parametrize("game", ["tic_tac_toe", "othello", "hex", "minatar-asterix"])
def test_observations_keep_to_the_spec_and_draw(game):
    env = self_play(game, num_envs=2)
    spec, timestep = env.spec, env.reset()
    assert plays_in_turns(spec) == (PGX_GAMES[game].players == 2)
    assert plays_in_turns(spec) == (spec.discounts.minimum == -1)
    assert env.spec == matches(game).spec
    for _ in range(3):
        jax.tree.map(
            lambda leaf_spec, leaf: leaf_spec.validate(leaf[1]),
            spec.observations,
            timestep.observation,
        )
        if isinstance(timestep.observation, MaskedObservation):
            timestep = env.step(timestep.observation.legal_actions.argmax(-1))
        else:
            timestep = env.step(np.zeros(2, np.int32))
    picture = env.render(1)
    assert picture.dtype == np.uint8
    assert picture.ndim == 3
    assert picture.shape[2] == 3
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) >= 2


def test_the_text_and_the_picture_show_who_is_where():
    env = self_play("tic_tac_toe")
    empty = (env.reset(), env.render())[1]
    env.step(np.array([0]))
    assert env.render_text() == "X . .\n. . .\n. . .\nO to move"
    changed = (env.render() != empty).any(-1)
    size = empty.shape[0] // 3
    assert changed[:size, :size].any()
    assert not changed[size + 3 :].any()
    for action in (3, 1, 4):
        env.step(np.array([action]))
    assert env.render_text() == "X X .\nO O .\n. . .\nX to move"
    env.step(np.array([2]))
    assert env.render_text() == "X X X\nO O .\n. . .\nX won"


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


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"game": "conect_four"}, "did you mean connect_four"),
        ({"game": "minatar-brekout"}, "did you mean minatar-breakout"),
        ({"game": "xyz"}, "known: tic_tac_toe, connect_four"),
        ({"game": "connect_four", "opponent": "exact"}, "'exact' plays tic_tac_toe only"),
        ({"game": "hex", "opponent": "perfect"}, "must be one of random, exact, rollout"),
        (
            {"game": "hex", "opponent": "rollout", "rollout_simulations": 0},
            "from 1 to 100000, not 0",
        ),
        ({"game": "hex", "max_steps": 10}, "ends by its rules"),
        ({"game": "2048", "max_steps": 0}, "max_steps must be from 1 to 2147483647, not 0"),
        ({"game": "hex", "random_opening_moves": -1}, "must be from 0 to 1000, not -1"),
        ({"game": "2048", "random_opening_moves": 1}, "has one player"),
    ],
)
def test_a_wrong_config_is_refused(wrong, message):
    with pytest.raises(UserError, match=message):
        PgxConfig(**wrong)


def test_a_wrong_vector_is_refused():
    factory = PgxConfig("tic_tac_toe").make_factory()
    for seed, num_envs, message in [(-1, 1, "negative"), (0, 0, "at least 1")]:
        for evaluation in (False, True):
            with pytest.raises(UserError, match=message):
                factory(seed, num_envs, evaluation)
    with pytest.raises(UserError, match="one player"):
        PgxConfig("2048").make_match_factory(LOWEST)


def test_random_openings_are_of_every_length_and_end_no_game():
    env = self_play("tic_tac_toe", num_envs=600, random_opening_moves=7)
    timestep = env.reset()
    assert timestep.first().all()
    boards = timestep.observation.features.reshape(600, 9, 2)
    lines = [[0, 1, 2], [3, 4, 5], [6, 7, 8], [0, 3, 6], [1, 4, 7], [2, 5, 8], [0, 4, 8], [2, 4, 6]]
    assert not boards[:, lines].all(2).any()
    own, other = boards.sum(1).T
    assert np.isin(other - own, [0, 1]).all()  # Whoever is to move has as many stones, or less.
    counts = np.bincount(own + other, minlength=8)
    assert len(counts) == 8
    # 75 of each length are expected; of the long ones fewer, as their last moves may end games.
    assert (counts[:5] > 45).all()
    assert (counts[:5] < 110).all()
    assert len(np.unique(boards[own + other == 1], axis=0)) == 9


def test_who_moved_first_is_known_after_an_opening():
    env = self_play("tic_tac_toe", num_envs=64, random_opening_moves=5)
    timestep, random = env.reset(), np.random.default_rng(0)
    stones = timestep.observation.features.sum((1, 2, 3))
    results, scores = [], {}
    while len(scores) < 64:
        mover_is_first = stones % 2 == 0
        timestep = env.step(random_actions(random, timestep))
        for index in np.flatnonzero(timestep.last()):
            scores.setdefault(
                index, float(timestep.reward[index] * (1 if mover_is_first[index] else -1))
            )
        results += env.finished_episodes()
        stones = timestep.observation.features.sum((1, 2, 3))
    first = {}
    for result in results:
        first.setdefault(result.environment, result.episode_return)
    assert first == scores
    assert set(scores.values()) >= {-1.0, 1.0}


def test_evaluations_and_matches_begin_at_the_start():
    config = PgxConfig("connect_four", random_opening_moves=6)
    assert config.make_factory()(0, 8, False).reset().observation.features.any()
    stones = config.make_factory()(0, 8, True).reset().observation.features.sum((1, 2, 3))
    assert stones.tolist() == [0, 1] * 4
