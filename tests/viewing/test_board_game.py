"""Games between the user and the agent of a trained run."""

import json

import numpy as np
import pytest

pytest.importorskip("pgx")

from mukoe.environments.pgx.config import PgxConfig
from mukoe.environments.pgx.resignation import Resignation
from mukoe.errors import UserError
from mukoe.viewing.board_game import BoardGame
from mukoe.viewing.game_json import describe_game
from tests.viewing.games import check_end, new_game, winner
from tests.viewing.stub_agent import StubAgent


@pytest.mark.parametrize("seat", [0, 1])
def test_a_game_to_its_end(seat):
    random = np.random.default_rng(seat)
    game = new_game(seat)
    while not game.over:
        taken = {action for _, action in game.moves}
        assert game.legal_actions == sorted(set(range(9)) - taken)
        expected = np.zeros(9, int)
        for mover, action in game.moves:
            expected[action] = 1 + mover
        assert game.stones.ravel().tolist() == expected.tolist()
        assert game.decision.tree.two_players
        check_line(game.moves, game.decision.line)
        if game.agent_to_move:
            assert game.play_agent_move().action == game.moves[-1][1]
        else:
            game.play(int(random.choice(game.legal_actions)))
    check_end(game)
    with pytest.raises(UserError, match="the game is over"):
        game.play(0)


def check_line(moves, line):
    """Checks that an expected line is legal, and ends with the game."""
    assert line
    for action in line:
        assert winner(moves) is None and action not in {taken for _, taken in moves}
        moves = [*moves, (len(moves) % 2, action)]


def test_an_opening_is_a_list_of_moves():
    openings = set()
    for seed in range(4):
        game = new_game(0, seed, opening_moves=4)
        assert game.opening_moves == len(game.moves) == 4 and game.user_to_move
        expected = np.zeros(9, int)
        for count, (mover, action) in enumerate(game.moves):
            assert mover == count % 2
            expected[action] = 1 + mover
        assert game.stones.ravel().tolist() == expected.tolist()
        openings.add(tuple(game.moves))
    assert len(openings) > 1
    # No move of an opening ends the game, so that it may be shorter than asked for.
    game = new_game(0, opening_moves=9)
    assert not game.over and 4 < game.opening_moves < 9


def test_backgammon_lists_no_passes_of_a_waiting_player():
    environment = PgxConfig("backgammon").make_factory()(0, 1, False)
    agent = StubAgent(int(environment.spec.actions.num_values))
    game = BoardGame(agent, environment, None, 1, seed=3, opening_moves=5)
    assert 0 < game.opening_moves == len(game.moves) < 5
    for _ in range(30):
        assert not environment.waits()
        text = game.text.splitlines()[-1]
        assert text.startswith(f"{'XO'[game.seat_to_move]} to move: ")
        names = [game.names[action] for action in game.legal_actions]
        assert len(names) == len(set(names))
        if game.agent_to_move:
            game.play_agent_move()
        else:
            game.play(game.legal_actions[0])
    dice = [action % 6 + 1 for _, action in game.moves]
    assert len(dice) == game.opening_moves + 30 and set(dice) <= set(range(1, 7))
    turns = [seat for seat, _ in game.moves]
    assert any(a == b for a, b in zip(turns, turns[1:], strict=False))
    page = describe_game("1", game)
    assert json.loads(json.dumps(page)) == page
    assert page["picture"].startswith("data:image/png;base64,") and "stones" not in page
    assert [move["name"] for move in page["moves"]] == [game.names[a] for _, a in game.moves]


def test_the_agent_resigns():
    environment = PgxConfig("connect_four").make_factory()(0, 1, False)
    agent = StubAgent(int(environment.spec.actions.num_values))
    # The values of this agent are -1e-9.
    game = BoardGame(agent, environment, None, 1, seed=0, resignation=Resignation(1e-10, 2))
    game.play_agent_move()
    game.play(0)
    assert not game.over and len(game.moves) == 2
    game.play_agent_move()
    assert game.over and game.resigned and len(game.moves) == 2 and game.score == 1
    assert game.legal_actions == [] and game.decision is None
    assert game.result == describe_game("1", game)["result"] == "you won: the agent resigned"
    patient = BoardGame(agent, environment, None, 1, seed=0, resignation=Resignation(0.5, 1))
    patient.play_agent_move()
    assert not patient.over


def test_illegal_moves_change_nothing():
    game = new_game(1)
    with pytest.raises(UserError, match="agent's turn"):
        game.play(0)
    taken = game.play_agent_move().action
    for action, message in ((taken, "is not legal here"), (77, "action 77 is not legal")):
        with pytest.raises(UserError, match=message):
            game.play(action)
    assert len(game.moves) == 1
    with pytest.raises(UserError, match="seat must be 0"):
        new_game(2)
