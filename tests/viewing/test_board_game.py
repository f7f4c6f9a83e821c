"""Games between a person and the agent of a trained run, in the terminal and the browser."""

import contextlib
import io
import json
import re
import threading
import urllib.error
import urllib.request

import numpy as np
import pytest

pytest.importorskip("pgx")

from mukoe.environments.pgx.config import PgxConfig  # noqa: E402
from mukoe.errors import UserError  # noqa: E402
from mukoe.viewing.board import find_board  # noqa: E402
from mukoe.viewing.board_game import BoardGame  # noqa: E402
from mukoe.viewing.browser import GameServer  # noqa: E402
from mukoe.viewing.terminal import play_in_terminal  # noqa: E402
from tests.viewing.runs import opened_run  # noqa: E402

LINES = [
    *([3 * r, 3 * r + 1, 3 * r + 2] for r in range(3)),
    *([c, c + 3, c + 6] for c in range(3)),
    [0, 4, 8],
    [2, 4, 6],
]


def new_game(seat):
    run, agent = opened_run("tic_tac_toe")
    board = find_board(run.environment_spec, "tic_tac_toe")
    environment = run.config.environment.make_factory()(0, 1, False)
    return BoardGame(agent, environment, board, seat)


def winner(moves):
    """Who has three in a row, from the moves alone."""
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


def test_names_of_squares():
    board = find_board(PgxConfig("tic_tac_toe").make_factory()(0, 1, False).spec, "tic_tac_toe")
    assert board.names == ("a1", "b1", "c1", "a2", "b2", "c2", "a3", "b3", "c3")
    text = board.write(np.array([[0, 1, 0], [0, 2, 0], [0, 0, 1]])).splitlines()
    assert [line.split() for line in text] == [
        ["a", "b", "c"],
        ["1", ".", "X", "."],
        ["2", ".", "O", "."],
        ["3", ".", ".", "X"],
    ]


@pytest.mark.parametrize(
    "name, names, last",
    [
        ("connect_four", 7, "g"),
        ("othello", 65, "pass"),
        ("go_9x9", 82, "pass"),
        ("hex", 122, "swap"),
    ],
)
def test_boards_of_other_games(name, names, last):
    board = find_board(PgxConfig(name).make_factory()(0, 1, False).spec, name)
    assert len(board.names) == names and board.names[-1] == last
    assert board.by_column == (name == "connect_four")
    assert board.skewed == (name == "hex")


def test_games_of_one_have_no_board():
    assert find_board(PgxConfig("2048").make_factory()(0, 1, False).spec, "2048") is None


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


def test_the_terminal_asks_again_and_plays_to_the_end(monkeypatch):
    game = new_game(0)
    squares = [f"{c}{r}" for r in (1, 2, 3) for c in "abc"]
    # Taken squares are asked again, so all of them in turn end every game.
    text = play_with(monkeypatch, game, ["z9", *squares])
    assert "there is no move 'z9'" in text
    check_end(game)
    assert text.strip().endswith(game.result)
    for seat, action in game.moves:
        if seat == 1:
            assert f"agent plays {squares[action]}: value " in text


@pytest.mark.parametrize("answers", [["q"], [" Q "], []])
def test_leaving(monkeypatch, answers):
    text = play_with(monkeypatch, new_game(0), answers)
    assert text.strip().endswith("game left")


@contextlib.contextmanager
def served(seat=0):
    server = GameServer(new_game, seat, 0)
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server._server.shutdown()
        thread.join(10)
        server.close()


def ask(server, path, request=None, **headers):
    """Returns status and text; a request is posted."""
    data = request if isinstance(request, bytes | None) else json.dumps(request).encode()
    message = urllib.request.Request(server.url.rstrip("/") + path, data=data)
    for name, value in ({"Content-Type": "application/json"} | headers).items():
        message.add_header(name.replace("_", "-"), value)
    try:
        with urllib.request.urlopen(message, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_a_game_in_the_browser():
    with served() as server:
        status, page = ask(server, "/")
        assert status == 200 and "INITIAL_SEAT" not in page
        # Nothing is fetched from elsewhere.
        links = re.findall(r"""(?:src|href)=["']([^"']*)|url\(([^)]*)""", page)
        assert links == [("data:,", "")]
        random = np.random.default_rng(0)
        status, text = ask(server, "/new", {"seat": 1})
        game = json.loads(text)
        assert status == 200 and len(game["moves"]) == 1 and game["agent"]["line"]
        while not game["over"]:
            actions = game["view"]["actions"]
            assert [entry["action"] for entry in actions] == game["legal"]
            assert sum(entry["visits"] for entry in actions) == 12
            assert sum(entry["policy"] for entry in actions) == pytest.approx(1, abs=1e-4)
            assert ask(server, f"/state?game={game['game']}") == (200, text)
            action = int(random.choice(game["legal"]))
            status, text = ask(server, "/move", {"game": game["game"], "action": action})
            assert status == 200
            game = json.loads(text)
        moves = [(move["seat"], game["names"].index(move["name"])) for move in game["moves"]]
        stones = np.zeros(9, int)
        for seat, action in moves:
            stones[action] = seat + 1
        assert np.ravel(game["stones"]).tolist() == stones.tolist()
        expected = {None: "a draw", 1: "you won", 0: "the agent won"}[winner(moves)]
        assert game["result"] == expected
        status, text = ask(server, "/move", {"game": game["game"], "action": 0})
        assert (status, text) == (400, f"the game is over: {expected}\n")


def test_bad_requests_are_refused_with_one_line():
    with served() as server:
        _, text = ask(server, "/new", {"seat": 0})
        name = json.loads(text)["game"]
        for path, request, status, message in [
            ("/move", {"game": name, "action": 99}, 400, "action 99 is not legal here"),
            ("/move", {"game": name, "action": "b2"}, 400, "action must be an integer"),
            ("/move", {"game": name, "action": True}, 400, "action must be an integer"),
            ("/move", {"game": name}, 400, "action must be an integer"),
            ("/move", {"game": "no", "action": 1}, 400, "there is no game 'no'"),
            ("/move", {"game": ["x"], "action": 1}, 400, "there is no game"),
            ("/move", b"{", 400, "must be JSON"),
            ("/move", b"\xff\xfe{", 400, "must be JSON"),
            ("/move", [1], 400, "must be a JSON object"),
            ("/move", b" " * 20_000, 400, "Content-Length of at most"),
            ("/new", {"seat": 2}, 400, "seat must be 0"),
            ("/state?game=no", None, 400, "there is no game 'no'"),
            ("/passwd", None, 404, "there is no /passwd"),
            ("/passwd", {}, 404, "there is no /passwd"),
        ]:
            got, text = ask(server, path, request)
            assert got == status and message in text and text.count("\n") == 1, (path, text)
        assert ask(server, "/new", b'{"seat": 0}', Content_Type="text/plain")[0] == 400
        assert ask(server, "/", Host="evil.example:80")[0] == 400
        assert json.loads(ask(server, f"/state?game={name}")[1])["moves"] == []


def test_a_taken_port():
    with served() as server:
        port = server._server.server_port
        with pytest.raises(UserError, match=f"cannot listen on port {port} of 127.0.0.1"):
            GameServer(new_game, 0, port)
