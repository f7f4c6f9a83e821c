"""Games in the browser, by requests to its server."""

import contextlib
import json
import re
import threading
import urllib.error
import urllib.request

import numpy as np
import pytest

pytest.importorskip("pgx")

from mukoe.errors import UserError
from mukoe.viewing.browser import GameServer
from tests.viewing.games import new_game, winner
from tests.viewing.runs import opened_run


@contextlib.contextmanager
def served(seat=0):
    opened_run("tic_tac_toe")  # Training is for the main thread.
    server = GameServer(new_game, seat, 0)
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server._server.shutdown()
        thread.join(10)
        server.close()


def send(server, path, request=None, **headers):
    """Returns status and text of a GET request, or of a POST request with a body."""
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
        status, page = send(server, "/")
        assert status == 200 and "INITIAL_SEAT" not in page
        # The page loads no other resources.
        links = re.findall(r"""(?:src|href)=["']([^"']*)|url\(([^)]*)""", page)
        assert links == [("data:,", "")]
        random = np.random.default_rng(0)
        status, text = send(server, "/new", {"seat": 1})
        game = json.loads(text)
        assert status == 200 and len(game["moves"]) == 1 and game["agent"]["line"]
        while not game["over"]:
            actions = game["view"]["actions"]
            assert [entry["action"] for entry in actions] == game["legal"]
            assert sum(entry["visits"] for entry in actions) == 12
            assert sum(entry["policy"] for entry in actions) == pytest.approx(1, abs=1e-4)
            assert send(server, f"/state?game={game['game']}") == (200, text)
            action = int(random.choice(game["legal"]))
            status, text = send(server, "/move", {"game": game["game"], "action": action})
            assert status == 200
            game = json.loads(text)
        moves = [(move["seat"], game["names"].index(move["name"])) for move in game["moves"]]
        stones = np.zeros(9, int)
        for seat, action in moves:
            stones[action] = seat + 1
        assert np.ravel(game["stones"]).tolist() == stones.tolist()
        expected = {None: "a draw", 1: "you won", 0: "the agent won"}[winner(moves)]
        assert game["result"] == expected
        status, text = send(server, "/move", {"game": game["game"], "action": 0})
        assert (status, text) == (400, f"the game is over: {expected}\n")


def test_invalid_requests_are_rejected_with_one_line():
    with served() as server:
        _, text = send(server, "/new", {"seat": 0})
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
            got, text = send(server, path, request)
            assert got == status and message in text and text.count("\n") == 1, (path, text)
        assert send(server, "/new", b'{"seat": 0}', Content_Type="text/plain")[0] == 400
        assert send(server, "/", Host="evil.example:80")[0] == 400
        assert json.loads(send(server, f"/state?game={name}")[1])["moves"] == []


def test_a_taken_port():
    with served() as server:
        port = server._server.server_port
        with pytest.raises(UserError, match=f"cannot listen on port {port} of 127.0.0.1"):
            GameServer(new_game, 0, port)
