"""Games between the user and the agent of a trained run."""

import numpy as np
import pytest

pytest.importorskip("pgx")

from mukoe.errors import UserError
from tests.viewing.games import check_end, new_game


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
        if game.agent_to_move:
            assert game.play_agent_move().action == game.moves[-1][1]
        else:
            game.play(int(random.choice(game.legal_actions)))
    check_end(game)
    with pytest.raises(UserError, match="the game is over"):
        game.play(0)


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
