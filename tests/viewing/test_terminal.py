"""Games in the terminal."""

import contextlib
import io

import pytest

pytest.importorskip("pgx")

from mukoe.viewing.terminal import play_in_terminal
from tests.viewing.games import check_end, new_game


def play_with(monkeypatch, game, answers):
    answers = iter(answers)

    def answer(prompt=""):
        try:
            return next(answers)
        except StopIteration:
            raise EOFError from None

    monkeypatch.setattr("builtins.input", answer)
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        play_in_terminal(game)
    return output.getvalue()


def test_the_terminal_repeats_the_prompt_and_plays_to_the_end(monkeypatch):
    game = new_game(0)
    cells = [f"{c}{r}" for r in (1, 2, 3) for c in "abc"]
    # Illegal moves are read again, so that all cells in turn end every game.
    text = play_with(monkeypatch, game, ["z9", *cells])
    assert "there is no move 'z9'" in text
    check_end(game)
    assert text.strip().endswith(game.result)
    for seat, action in game.moves:
        if seat == 1:
            assert f"agent plays {cells[action]}: value " in text


@pytest.mark.parametrize("answers", [["q"], [" Q "], []])
def test_the_user_can_quit(monkeypatch, answers):
    text = play_with(monkeypatch, new_game(0), answers)
    assert text.strip().endswith("game left")
