"""An agent as an engine of GTP: commands, rules, and games against GNU Go."""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mukoe.environments.pgx.opponents import Opponent
from mukoe.environments.pgx.resignation import Resignation
from mukoe.environments.pgx.rules import load_rules
from mukoe.evaluation.engine_matches import EngineMatches
from mukoe.evaluation.engines.agent_game import AgentGame
from mukoe.evaluation.engines.gtp_client import GtpEngine
from mukoe.evaluation.engines.gtp_server import GtpServer
from mukoe.evaluation.engines.vertices import Vertices
from mukoe.evaluation.players import Player, make_fixed_player
from tests.evaluation.engines.serve_random import make_game


@pytest.fixture(scope="module")
def go_game():
    return make_game("go_5x5")


@pytest.fixture
def go(go_game):
    go_game.reset()
    return GtpServer(lambda: go_game)


def send(server, *lines):
    """Answers of a server, which must all be successes."""
    answers = [server.answer(f"{line}\n") for line in lines]
    assert all(answer.startswith("=") and answer.endswith("\n\n") for answer in answers), answers
    return [answer[1:].strip() for answer in answers]


def test_commands_that_need_no_agent():
    server = GtpServer(lambda: pytest.fail("the agent is loaded"))
    assert send(server, "protocol_version", "name")[:2] == ["2", "mukoe"]
    assert server.answer("12 known_command genmove\n") == "=12 true\n\n"
    assert send(server, "known_command fly", "known_command") == ["false", "false"]
    commands = send(server, "list_commands")[0].split("\n")
    assert set(commands) == {
        *("protocol_version", "name", "version", "known_command", "list_commands", "boardsize"),
        *("clear_board", "komi", "play", "genmove", "undo", "final_score", "showboard"),
        *("time_settings", "time_left", "quit"),
    }
    assert server.answer("7 fly\n") == "?7 unknown command\n\n"
    assert server.answer("# a remark\n") == server.answer("\n") == ""
    assert not server.quits and send(server, "quit\t# now") == [""] and server.quits


def test_a_session_of_go(go):
    assert send(go, "boardsize 5", "komi 7.5", "time_settings 0 5 1", "time_left b 5 1") == 4 * [""]
    assert go.answer("boardsize 9\n") == "? unacceptable size\n\n"
    assert go.answer("komi 6.5\n") == "? komi must be 7.5, as in training\n\n"
    assert go.answer("komi much\n") == "? komi not a float\n\n"
    send(go, "play black c3", "play W D5")
    board = send(go, "showboard")[0].split("\n")
    assert board[0].split() == list("ABCDE")
    assert board[1].split() == ["5", ".", ".", ".", "O", "."]
    assert board[3].split() == ["3", ".", ".", "X", ".", "."]
    assert board[-1] == "black to move"
    assert go.answer("3 play black c3\n") == "?3 illegal move\n\n"
    for line in ("play black z9", "play red c4", "play black", "genmove"):
        assert go.answer(line).startswith("? invalid color or coordinate")
    # Black has 1 of 25, white 1; the empty cells are neutral.
    assert send(go, "final_score") == ["W+7.5"]
    vertex = send(go, "genmove black")[0]
    assert vertex == "pass" or vertex[0] in "ABCDE"
    send(go, "undo", "undo", "undo")
    assert go.answer("undo") == "? cannot undo\n\n"
    assert send(go, "showboard")[0].count(".") == 25


def test_a_colour_that_moves_twice(go):
    """Another player's pass lies between, and is undone with the move."""
    send(go, "play black c3", "play black c4")
    assert send(go, "showboard")[0].split("\n")[-1] == "white to move"
    send(go, "undo")
    assert send(go, "showboard")[0].split("\n")[-1] == "white to move"
    assert go.answer("play black c3").startswith("? illegal move")
    assert send(go, "showboard")[0].split("\n")[-1] == "white to move"
    send(go, "genmove white", "genmove white")


def test_the_end_of_a_game_of_go(go):
    send(go, "play black c3", "play white pass", "play black pass")
    assert send(go, "final_score", "genmove white") == ["B+17.5", "pass"]
    assert go.answer("play white a1") == "? illegal move\n\n"
    assert send(go, "showboard")[0].endswith("game over")
    send(go, "undo")
    assert send(go, "play black a1") == [""]


def test_a_repeated_position_loses(go):
    """Sending two, returning one: black repeats the position."""
    setup = "c1 b1 c2 b2 d1 a2"
    for ply, vertex in enumerate(setup.split()):
        send(go, f"play {'bw'[ply % 2]} {vertex}")
    send(go, "play b pass", "play w a1", "play b pass", "undo")
    assert not go._game.over


def test_othello_and_hex_have_their_results():
    game = make_game("othello")
    server = GtpServer(lambda: game)
    assert server.answer("final_score") == "? cannot score\n\n"
    assert server.answer("play white d3").startswith("? illegal move: it is the other")
    send(server, "komi 0", "boardsize 8", "play black d3", "play white c3")
    while not game.over:
        send(server, f"genmove {'bw'[len(game.moves) % 2]}")
    board = send(server, "showboard")[0]
    rows = "".join(line.split(maxsplit=1)[1] for line in board.split("\n")[1:9])
    black, white = rows.count("X"), rows.count("O")
    expected = "0" if black == white else f"{'B' if black > white else 'W'}+{abs(black - white)}"
    assert send(server, "final_score") == [expected]
    assert server.answer("genmove black") == "? the game is over\n\n"


def resigning_game(values):
    """Game of Go of an agent whose search values are given by ply; it plays the first free cell."""

    def act_with_value(key, game, observation, state, is_first):
        action = jnp.argmax(observation.legal_actions, axis=-1)
        return action, jnp.array(values)[game._step_count], state

    player = Player("stub", lambda _: Opponent(lambda size: (), None, act_with_value))
    return AgentGame(load_rules("go_5x5", None), player, 0, Resignation(0.8, 2))


def test_the_agent_resigns_after_successive_low_values():
    # Of black at plies 0, 2, 4 and 6, of white at plies 1, 3 and 5.
    game = resigning_game([-0.9, -0.9, 0.0, -0.7, -0.9, -0.9, -0.9])
    server = GtpServer(lambda: game)
    moves = [f"genmove {'bw'[ply % 2]}" for ply in range(6)]
    assert "resign" not in send(server, *moves)
    # Neither the resignation itself nor its repetition changes the game.
    assert send(server, "genmove b", "genmove b") == ["resign", "resign"]
    assert len(game.moves) == 6
    # Black's low value at ply 4 is taken back with the move.
    send(server, "undo", "undo", "play b pass", "genmove w")
    assert send(server, "genmove b") != ["resign"]


@pytest.mark.engines
def test_the_agent_plays_gnu_go_as_two_programs():
    """GNU Go wins both games against random play, by the rules of pgx, in its own process."""
    script = Path(__file__).with_name("serve_random.py")
    gnu_go = make_fixed_player("gtp:gnugo --mode gtp --level 1", "go_5x5", 0)
    random = make_fixed_player(f"gtp:{sys.executable} {script} go_5x5", "go_5x5", 0)
    games = EngineMatches("go_5x5", 1, 0).play(gnu_go, random, jax.random.PRNGKey(0))
    np.testing.assert_array_equal(games.scores, [[1], [1]])


@pytest.mark.engines
def test_gnu_go_and_the_server_agree_on_a_game(go):
    with GtpEngine("gnugo --mode gtp --level 1", Vertices("go_5x5", 5)) as gnu_go:
        for ply in range(50):
            colour = ("black", "white")[ply % 2]
            if ply % 2 == 0:
                vertex = gnu_go.send(f"genmove {colour}")
                if vertex.lower() != "resign":
                    send(go, f"play {colour} {vertex}")
            else:
                vertex = send(go, f"genmove {colour}")[0]
                gnu_go.send(f"play {colour} {vertex}")
            if go._game.over:
                break
        assert go._game.over
        for black in gnu_go.send("list_stones black").split():
            assert go._stones().flat[Vertices("go_5x5", 5).action(black)] == 1
        assert send(go, "final_score")[0].startswith("B+")
