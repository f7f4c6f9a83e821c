"""Games of tic-tac-toe between the user and the agent of a trained run."""

from mukoe.viewing.board import find_board
from mukoe.viewing.board_game import BoardGame
from tests.viewing.runs import opened_run

LINES = [
    *([3 * r, 3 * r + 1, 3 * r + 2] for r in range(3)),
    *([c, c + 3, c + 6] for c in range(3)),
    [0, 4, 8],
    [2, 4, 6],
]


def new_game(seat, seed=0, opening_moves=0):
    run, agent = opened_run("tic_tac_toe")
    board = find_board(run.environment_spec, "tic_tac_toe")
    environment = run.config.environment.without_openings().make_factory()(seed, 1, False)
    return BoardGame(agent, environment, board, seat, seed, opening_moves)


def winner(moves):
    """Returns the seat with three in a row, from the moves alone, or None."""
    for seat in (0, 1):
        own = {action for mover, action in moves if mover == seat}
        if any(own.issuperset(line) for line in LINES):
            return seat
    return None


def check_end(game):
    won_by = winner(game.moves)
    assert game.score == {None: 0, game.seat: 1, 1 - game.seat: -1}[won_by]
    assert won_by is not None or len(game.moves) == 9
    assert game.result == {0: "a draw", 1: "you won", -1: "the agent won"}[game.score]
