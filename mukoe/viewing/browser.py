"""Games in the browser: a page and its JSON endpoints, on the loopback interface only."""

import collections
import http.server
import itertools
import json
import threading
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mukoe.errors import UserError
from mukoe.viewing.board_game import BoardGame
from mukoe.viewing.game_json import describe_game

ADDRESS = "127.0.0.1"
MAX_GAMES = 100
"""Maximum number of games; the oldest are dropped."""

_PAGE = Path(__file__).with_name("page.html")
_MAX_BODY = 10_000


class GameServer:
    """HTTP server of the games of all open pages, one game per page.

        GET  /                       page
        GET  /state?game=GAME        state of a game
        POST /new   {"seat": 0}      new game with the user in that seat
        POST /move  {"game": GAME, "action": 4}   move of the user and reply of the agent

    All responses but the page are a game as JSON, see `describe_game`. The response to an invalid
    request has status 400 and one line of text.
    """

    def __init__(self, new_game: Callable[[int], BoardGame], seat: int, port: int):
        """Opens the port.

        Args:
          new_game: function that starts a game, given the seat of the user.
          seat: seat of the user in the first game of a page.
          port: port of 127.0.0.1; 0 for a free one.

        Raises:
          UserError: the port is not available.
        """
        self._new_game = new_game
        self._seat = seat
        self._games: collections.OrderedDict[str, BoardGame] = collections.OrderedDict()
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        handler = type("Handler", (_Handler,), {"games": self})
        try:
            self._server = http.server.ThreadingHTTPServer((ADDRESS, port), handler)
        except (OSError, OverflowError) as error:
            raise UserError(f"cannot listen on port {port} of {ADDRESS}: {error}") from error
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        """Address of the page."""
        return f"http://{ADDRESS}:{self._server.server_port}/"

    def serve(self) -> None:
        """Serves requests until interrupted or closed."""
        self._server.serve_forever(poll_interval=0.2)

    def close(self) -> None:
        """Releases the port."""
        self._server.server_close()

    def page(self) -> str:
        """Returns the page."""
        return _PAGE.read_text().replace("INITIAL_SEAT", str(self._seat))

    def state(self, name: str) -> dict[str, Any]:
        """Returns a game as JSON; raises a UserError if it does not exist."""
        with self._lock:
            return describe_game(name, self._find(name))

    def new(self, request: dict[str, Any]) -> dict[str, Any]:
        """Starts a game and returns it; raises a UserError for an invalid seat."""
        seat = _integer(request, "seat")
        with self._lock:
            game = self._new_game(seat)
            name = str(next(self._numbers))
            self._games[name] = game
            if len(self._games) > MAX_GAMES:
                self._games.popitem(last=False)
            _play_agent_move(game)
            return describe_game(name, game)

    def move(self, request: dict[str, Any]) -> dict[str, Any]:
        """Plays a move and the reply, and returns the game; raises a UserError if illegal."""
        name, action = request.get("game"), _integer(request, "action")
        with self._lock:
            game = self._find(name)
            game.play(action)
            _play_agent_move(game)
            return describe_game(str(name), game)

    def _find(self, name: Any) -> BoardGame:
        if not isinstance(name, str) or name not in self._games:
            raise UserError(f"there is no game {name!r}; start a new one")
        return self._games[name]


def _play_agent_move(game: BoardGame) -> None:
    while game.agent_to_move:
        game.play_agent_move()


def _integer(request: dict[str, Any], field: str) -> int:
    value = request.get(field)
    if type(value) is not int:
        raise UserError(f"{field} must be an integer, not {value!r}")
    return value


class _Handler(http.server.BaseHTTPRequestHandler):
    """HTTP handler of a `GameServer`, the attribute `games`."""

    games: GameServer
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_GET(self) -> None:  # noqa: N802
        url = urllib.parse.urlsplit(self.path)
        query = urllib.parse.parse_qs(url.query)
        if url.path == "/":
            self._respond(lambda: self.games.page(), "text/html; charset=utf-8")
        elif url.path == "/state":
            self._respond(lambda: self.games.state(query.get("game", [""])[0]))
        else:
            self._send(404, "text/plain", f"there is no {url.path}\n")

    def do_POST(self) -> None:  # noqa: N802
        actions = {"/new": self.games.new, "/move": self.games.move}
        if self.path not in actions:
            self.close_connection = True
            self._send(404, "text/plain", f"there is no {self.path}\n")
            return
        self._respond(lambda: actions[self.path](self._read_request()))

    def log_message(self, format: str, *arguments: Any) -> None:
        """Discards the messages of the HTTP server."""

    def _respond(self, make: Callable[[], Any], kind: str = "application/json") -> None:
        try:
            self._check_host()
            response = make()
        except UserError as error:
            # Unread data of this request must not be parsed as the next request.
            self.close_connection = True
            self._send(400, "text/plain; charset=utf-8", f"{error}\n")
            return
        self._send(200, kind, response if isinstance(response, str) else json.dumps(response))

    def _check_host(self) -> None:
        """Rejects requests of other sites that resolve to this machine (DNS rebinding)."""
        host = self.headers.get("Host", "").rpartition(":")[0]
        if host not in (ADDRESS, "localhost"):
            raise UserError(f"open {self.games.url} instead")

    def _read_request(self) -> dict[str, Any]:
        if self.headers.get_content_type() != "application/json":
            raise UserError("a request must be application/json")
        try:
            length = int(self.headers.get("Content-Length", ""))
        except ValueError:
            length = -1
        if not 0 <= length <= _MAX_BODY:
            raise UserError(f"a request needs a Content-Length of at most {_MAX_BODY}")
        try:
            request = json.loads(self.rfile.read(length))
        except (ValueError, RecursionError) as error:
            raise UserError(f"a request must be JSON: {error}") from error
        if not isinstance(request, dict):
            raise UserError("a request must be a JSON object")
        return request

    def _send(self, status: int, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
