"""Games with engines, on the host: seats, results, records and errors."""

import jax
import numpy as np
import pytest

from mukoe.errors import UserError
from mukoe.evaluation.engine_episodes import play_engine
from mukoe.evaluation.engine_matches import EngineMatches
from mukoe.evaluation.engines.perfect_connect_four import move_scores
from mukoe.evaluation.players import Player, make_fixed_player

KEY = jax.random.PRNGKey(3)


class Scripted:
    """Engine that answers by a function of the moves, and counts its contexts."""

    def __init__(self, choose):
        self.choose = choose
        self.open = self.closed = 0

    def __enter__(self):
        self.open += 1
        return self

    def __exit__(self, *unused):
        self.closed += 1


def scripted(name, choose):
    return Player(name, None, engine=Scripted(choose))


def first_free(moves):
    return next(cell for cell in range(9) if cell not in moves)


@pytest.fixture(scope="module")
def random():
    return make_fixed_player("random", "tic_tac_toe", 0)


@pytest.fixture(scope="module")
def exact():
    return make_fixed_player("exact", "tic_tac_toe", 0)


def winner(moves):
    """Seat that has a line in the final position, None for a draw."""
    lines = ("012", "345", "678", "036", "147", "258", "048", "246")
    for seat in (0, 1):
        if any(set(map(int, line)) <= set(moves[seat::2]) for line in lines):
            return seat
    return None


def test_scores_follow_from_the_moves(random):
    games = EngineMatches("tic_tac_toe", 4, 1).play(random, scripted("first", first_free), KEY)
    seen = set()
    for seat in (0, 1):
        for index, moves in enumerate(games.moves[seat]):
            won = winner(moves)
            score = 0 if won is None else 1 if won == seat else -1
            assert games.scores[seat, index] == score
            result = games.result(seat, index)
            assert result.episode_return == score and result.seat == seat
            assert result.length == len(moves[2 + seat :: 2]), "moves after the opening"
            # The engine's moves, behind the opening.
            for ply in range(3 - seat, len(moves), 2):
                assert moves[ply] == first_free(moves[:ply])
            seen.add(tuple(moves[:2]))
    assert len(seen) > 3 and np.all(games.openings == 2)


def test_perfect_play_loses_to_no_engine(exact):
    engine = scripted("first", first_free)
    games = EngineMatches("tic_tac_toe", 4, 0).play(exact, engine, KEY)
    assert np.all(games.scores >= 0) and games.scores[0].mean() > 0.5
    assert engine.engine.open == engine.engine.closed == 1
    swapped = EngineMatches("tic_tac_toe", 4, 0).play(engine, exact, KEY)
    assert np.all(swapped.scores <= 0)


def test_games_are_reproducible(random):
    matches, engine = EngineMatches("tic_tac_toe", 4, 1), scripted("first", first_free)
    assert matches.play(random, engine, KEY).moves == matches.play(random, engine, KEY).moves


def test_resignations_lose(random):
    """An engine that resigns its third move; the other games are finished."""
    engine = scripted("meek", lambda moves: None if len(moves) >= 4 else first_free(moves))
    reported = []
    games = EngineMatches("tic_tac_toe", 4, 0).play(random, engine, KEY, reported.append)
    assert np.all(games.scores == 1)
    assert len(reported) == 8 and all(result.episode_return == 1 for result in reported)
    lost = EngineMatches("tic_tac_toe", 4, 0).play(engine, random, KEY)
    assert np.all(lost.scores == -1)


def test_an_illegal_move_is_an_error(random):
    engine = scripted("cheat", lambda moves: 0)
    with pytest.raises(UserError, match="cheat plays the action 0, which is illegal after "):
        EngineMatches("tic_tac_toe", 4, 0).play(random, engine, KEY)
    assert engine.engine.closed == 1


def test_two_engines_play_each_other():
    first, last = (
        scripted("a", first_free),
        scripted("b", lambda m: 8 - first_free([8 - i for i in m])),
    )
    games = EngineMatches("tic_tac_toe", 4, 0).play(first, last, KEY)
    assert games.moves[0] == 4 * [[0, 8, 1, 7, 2]] and games.moves[1] == 4 * [[8, 0, 7, 1, 6]]
    np.testing.assert_array_equal(games.scores, [4 * [1], 4 * [-1]])


def test_repeated_games_count_once(exact, caplog):
    first, last = (
        scripted("a", first_free),
        scripted("b", lambda m: 8 - first_free([8 - i for i in m])),
    )
    results = play_engine(EngineMatches("tic_tac_toe", 4, 0), first, last, 5, 0, lambda _: None)
    assert [(result.seat, result.episode_return) for result in results] == [(0, 1), (1, -1)]
    assert "the 5 games of an evaluation are all the same" in caplog.text
    varied = play_engine(EngineMatches("tic_tac_toe", 4, 1), exact, last, 5, 0, lambda _: None)
    assert [result.seat for result in varied] == [0, 1, 0, 1, 0]


def test_the_solver_beats_random_play():
    solver = make_fixed_player("bitbully", "connect_four", 0, seed=1)
    random = make_fixed_player("random", "connect_four", 0)
    games = EngineMatches("connect_four", 3, 0).play(solver, random, KEY)
    assert np.all(games.scores == 1)
    for moves in games.moves[0]:
        for ply in range(0, len(moves), 2):
            scores = move_scores(moves[:ply])
            assert scores[moves[ply]] == max(scores.values())


def test_scores_of_known_positions():
    empty = move_scores([])
    assert {column: np.sign(score) for column, score in empty.items()} == {
        0: -1, 1: -1, 2: 0, 3: 1, 4: 0, 5: -1, 6: -1,
    }  # fmt: skip
    # Three in a row with both ends free; then the own fourth, before the other's.
    assert max(move_scores([1, 1, 2, 2, 3]).values()) < 0
    win = move_scores([1, 1, 2, 2, 3, 3])
    assert win[0] == win[4] == max(win.values()) > 0


@pytest.mark.parametrize(
    ("name", "game", "message"),
    [
        ("bitbully", "tic_tac_toe", "bitbully plays connect_four, not tic_tac_toe"),
        ("gtp:gnugo --mode gtp", "connect_four", "protocol of Go, Hex and Othello, not of connect"),
        ("uci:stockfish", "connect_four", "protocol of chess, not of connect_four"),
    ],
)
def test_engines_of_other_games(name, game, message):
    with pytest.raises(UserError, match=message):
        make_fixed_player(name, game, 0)
