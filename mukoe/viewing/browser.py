"""Playing in a browser: a page and its JSON endpoints, for this machine only."""

import collections
import http.server
import itertools
import json
import threading
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mukoe.errors import UserError
from mukoe.viewing.board import Board
from mukoe.viewing.board_game import BoardGame
from mukoe.viewing.watched_agent import Decision

ADDRESS = "127.0.0.1"
MAX_GAMES = 100
"""Games that are kept; the oldest are forgotten."""

_PAGE = Path(__file__).with_name("page.html")
_MAX_BODY = 10_000


class GameServer:
    """The games of all open pages; each page has one.

        GET  /                       the page
        GET  /state?game=GAME        a game
        POST /new   {"seat": 0}      a new game of a person in that seat
        POST /move  {"game": GAME, "action": 4}   a move of the person, and the agent's reply

    All but the page answer with a game as JSON, see `describe_game`. A bad request is answered
    with 400 and one line of text.
    """

    def __init__(self, new_game: Callable[[int], BoardGame], seat: int, port: int):
        """Opens the port.

        Args:
          new_game: starts a game of a person in a seat.
          seat: that the page starts with.
          port: of 127.0.0.1; 0 for a free one.

        Raises:
          UserError: the port is taken or not allowed.
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
        """Where the page is."""
        return f"http://{ADDRESS}:{self._server.server_port}/"

    def serve(self) -> None:
        """Answers requests until it is interrupted or closed."""
        self._server.serve_forever(poll_interval=0.2)

    def close(self) -> None:
        """Frees the port."""
        self._server.server_close()

    def page(self) -> str:
        """Returns the page."""
        return _PAGE.read_text().replace("INITIAL_SEAT", str(self._seat))

    def state(self, name: str) -> dict[str, Any]:
        """Returns a game as JSON; raises UserError where there is none of this name."""
        with self._lock:
            return describe_game(name, self._find(name))

    def new(self, request: dict[str, Any]) -> dict[str, Any]:
        """Starts a game, and returns it; raises UserError for a wrong seat."""
        seat = _integer(request, "seat")
        with self._lock:
            game = self._new_game(seat)
            name = str(next(self._numbers))
            self._games[name] = game
            if len(self._games) > MAX_GAMES:
                self._games.popitem(last=False)
            _let_agent_move(game)
            return describe_game(name, game)

    def move(self, request: dict[str, Any]) -> dict[str, Any]:
        """Plays a move and the reply, and returns the game; raises UserError if illegal."""
        name, action = request.get("game"), _integer(request, "action")
        with self._lock:
            game = self._find(name)
            game.play(action)
            _let_agent_move(game)
            return describe_game(str(name), game)

    def _find(self, name: Any) -> BoardGame:
        if not isinstance(name, str) or name not in self._games:
            raise UserError(f"there is no game {name!r}; start one")
        return self._games[name]


def _let_agent_move(game: BoardGame) -> None:
    while game.agents_turn:
        game.let_agent_move()


def _integer(request: dict[str, Any], field: str) -> int:
    value = request.get(field)
    if type(value) is not int:
        raise UserError(f"{field} must be an integer, not {value!r}")
    return value


def describe_game(name: str, game: BoardGame) -> dict[str, Any]:
    """Returns a game as plain data.

    `stones` are rows of 0 (empty), 1 (first player) and 2. `view` is what the agent thinks of
    the position for the person to move, `agent` what it thought at its own last move; each is
    None or has `value`, `line` (names) and `actions` with `action`, `name`, `prior`, `policy`,
    `visits` and `q` (None where not tried).
    """
    board = game.board
    return {
        "game": name,
        "rows": board.rows,
        "columns": board.columns,
        "by_column": board.by_column,
        "skewed": board.skewed,
        "names": list(board.names),
        "stones": game.stones.tolist(),
        "seat": game.seat,
        "seat_to_move": game.seat_to_move,
        "legal": game.legal_actions,
        "over": game.over,
        "result": game.result,
        "moves": [{"seat": seat, "name": board.names[action]} for seat, action in game.moves],
        "view": _describe_decision(game.decision, board),
        "agent": _describe_decision(game.agent_decision, board),
    }


def _describe_decision(decision: Decision | None, board: Board) -> dict[str, Any] | None:
    if decision is None:
        return None
    tree, policy = decision.tree, decision.policy
    actions = []
    if tree is not None and policy is not None:
        actions = [
            {
                "action": int(action),
                "name": board.names[action],
                "prior": float(tree.priors[0, action]),
                "policy": float(policy[action]),
                "visits": int(tree.child_visits[0, action]),
                "q": None if np.isnan(q := tree.qvalues[0, action]) else float(q),
            }
            for action in np.flatnonzero(tree.legal_actions)
        ]
    return {
        "value": decision.value,
        "line": [board.names[action] for action in decision.line],
        "actions": actions,
    }


class _Handler(http.server.BaseHTTPRequestHandler):
    """Translates between HTTP and a `GameServer`, which is the attribute `games`."""

    games: GameServer
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_GET(self) -> None:  # noqa: N802
        url = urllib.parse.urlsplit(self.path)
        query = urllib.parse.parse_qs(url.query)
        if url.path == "/":
            self._answer(lambda: self.games.page(), "text/html; charset=utf-8")
        elif url.path == "/state":
            self._answer(lambda: self.games.state(query.get("game", [""])[0]))
        else:
            self._send(404, "text/plain", f"there is no {url.path}\n")

    def do_POST(self) -> None:  # noqa: N802
        actions = {"/new": self.games.new, "/move": self.games.move}
        if self.path not in actions:
            self.close_connection = True
            self._send(404, "text/plain", f"there is no {self.path}\n")
            return
        self._answer(lambda: actions[self.path](self._read_request()))

    def log_message(self, format: str, *arguments: Any) -> None:
        """Says nothing: the page shows what happens."""

    def _answer(self, make: Callable[[], Any], kind: str = "application/json") -> None:
        try:
            self._check_host()
            answer = make()
        except UserError as error:
            # What was not read of the request must not be taken for the next one.
            self.close_connection = True
            self._send(400, "text/plain; charset=utf-8", f"{error}\n")
            return
        self._send(200, kind, answer if isinstance(answer, str) else json.dumps(answer))

    def _check_host(self) -> None:
        """Refuses pages of other sites that point a name of theirs at this machine."""
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
