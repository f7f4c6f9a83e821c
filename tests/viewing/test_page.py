"""Script of the page of the browser, run by Node."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

pytest.importorskip("pgx")

from mukoe.environments.pgx.config import PgxConfig
from mukoe.viewing import browser
from mukoe.viewing.board import find_board
from mukoe.viewing.board_game import BoardGame
from mukoe.viewing.game_json import describe_game
from tests.viewing.stub_agent import StubAgent

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="needs Node")


def show(name, moves, seat=0, opening_moves=0):
    """Returns the game after some moves, and what the page shows of it."""
    environment = PgxConfig(name).make_factory()(0, 1, False)
    agent = StubAgent(int(environment.spec.actions.num_values))
    board = find_board(environment.spec, name)
    game = BoardGame(agent, environment, board, seat, seed=5, opening_moves=opening_moves)
    for _ in range(moves):
        game.play_agent_move() if game.agent_to_move else game.play(game.legal_actions[0])
    (script,) = re.findall(r"<script>(.*?)</script>", browser._PAGE.read_text(), re.DOTALL)
    text = json.dumps(
        {"script": script.replace("INITIAL_SEAT", "0"), "game": describe_game("7", game)}
    )
    node = ["node", Path(__file__).with_name("page_dom.js")]
    return game, json.loads(subprocess.check_output(node, input=text, text=True, timeout=60))


def test_a_board_of_squares():
    game, page = show("tic_tac_toe", 2, opening_moves=2)
    assert page["status"] == "you are X: your move"
    assert not page["board_hidden"] and page["picture_hidden"]
    assert page["stones"] == 4 and page["squares"] == game.legal_actions and not page["buttons"]
    assert page["moves"].startswith("random opening: X ") and page["moves"].count(";") == 1
    # The value is -1e-9.
    assert "value 0.000" in page["view"] and "-0.000" not in page["view"]
    start, move = page["requests"]
    assert start == ["/new", {"seat": 0}]
    assert move == ["/move", {"game": "7", "action": game.legal_actions[0]}]


def test_a_game_without_squares():
    game, page = show("backgammon", 0)
    assert page["status"] == "you are X (red): your move"
    assert page["board_hidden"] and not page["picture_hidden"]
    assert page["picture"].startswith("data:image/png;base64,")
    assert page["buttons"] == [game.names[action] for action in game.legal_actions]
    assert page["moves"] == "none yet"
    assert page["requests"][1] == ["/move", {"game": "7", "action": game.legal_actions[0]}]
