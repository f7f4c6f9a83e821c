"""Games in the browser: a page and its JSON endpoints."""

import collections
import itertools
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mukoe.errors import UserError
from mukoe.viewing.board_game import BoardGame
from mukoe.viewing.game_json import describe_game
from mukoe.viewing.page_server import PageServer

MAX_GAMES = 100
"""Maximum number of games; the oldest are dropped."""

_PAGE = Path(__file__).with_name("page.html")


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
        self._server = PageServer(
            port,
            get={"/": lambda _: self.page(), "/state": self.state},
            post={"/new": self.new, "/move": self.move},
        )

    @property
    def url(self) -> str:
        """Address of the page."""
        return self._server.url

    def serve(self) -> None:
        """Serves requests until interrupted or closed."""
        self._server.serve_forever(poll_interval=0.2)

    def close(self) -> None:
        """Releases the port."""
        self._server.server_close()

    def page(self) -> str:
        """Returns the page."""
        return _PAGE.read_text().replace("INITIAL_SEAT", str(self._seat))

    def state(self, query: Mapping[str, str]) -> dict[str, Any]:
        """Returns a game as JSON; raises a UserError if it does not exist."""
        name = query.get("game", "")
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
