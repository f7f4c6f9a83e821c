"""Server of the Go Text Protocol, version 2: an agent as an engine of Go, Hex or Othello.

Specification: G. Farnebäck, "Specification of the Go Text Protocol, version 2, draft 2" (2002).
"""

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TextIO

import jax.numpy as jnp
import numpy as np

import mukoe
from mukoe.environments.pgx.boards import SYMBOLS, find_stones
from mukoe.evaluation.engines.agent_game import AgentGame
from mukoe.evaluation.engines.gtp_client import KOMI
from mukoe.evaluation.engines.vertices import COLOURS, PASS, RESIGN, Vertices, vertices_of

_COLOUR_NAMES = {"b": 0, "black": 0, "w": 1, "white": 1}


class GtpError(Exception):
    """Refusal of a command; its text is the answer."""


class GtpServer:
    """Answers commands. The game is made by the first command that needs it."""

    def __init__(self, make_game: Callable[[], AgentGame]):
        """Initialises the server.

        Args:
          make_game: function that loads the agent.
        """
        self._make_game = make_game
        # Number of moves that each command has played, for `undo`.
        self._played: list[int] = []
        self.quits = False

    @functools.cached_property
    def _game(self) -> AgentGame:
        return self._make_game()

    @functools.cached_property
    def _vertices(self) -> Vertices:
        return vertices_of(self._game.rules)

    def serve(self, commands: TextIO, answers: TextIO) -> None:
        """Answers commands until `quit` or the end of the input."""
        for line in commands:
            answer = self.answer(line)
            if answer:
                answers.write(answer)
                answers.flush()
            if self.quits:
                return

    def answer(self, line: str) -> str:
        """Returns the answer to a line, with the empty line at its end; '' for an empty line."""
        text = re.sub(r"[\x00-\x08\x0b-\x1f\x7f]", "", line.partition("#")[0])
        words = text.split()
        number = words.pop(0) if words and words[0].isdecimal() else ""
        if not words:
            return ""
        name, *arguments = words
        try:
            if name not in _COMMANDS:
                raise GtpError("unknown command")
            return f"={number} {_COMMANDS[name](self, arguments)}".rstrip() + "\n\n"
        except GtpError as error:
            return f"?{number} {error}\n\n"

    def _list_commands(self, arguments: Sequence[str]) -> str:
        return "\n".join(_COMMANDS)

    def _known_command(self, arguments: Sequence[str]) -> str:
        return str(bool(arguments) and arguments[0] in _COMMANDS).lower()

    def _boardsize(self, arguments: Sequence[str]) -> str:
        if not arguments or arguments[0] != str(self._vertices.size):
            raise GtpError("unacceptable size")
        return self._clear_board(arguments)

    def _clear_board(self, arguments: Sequence[str]) -> str:
        self._game.reset()
        self._played = []
        return ""

    def _komi(self, arguments: Sequence[str]) -> str:
        try:
            komi = float(arguments[0])
        except (IndexError, ValueError) as error:
            raise GtpError("komi not a float") from error
        if self._vertices.is_go and komi != KOMI:
            raise GtpError(f"komi must be {KOMI}, as in training")
        return ""

    def _play(self, arguments: Sequence[str]) -> str:
        if len(arguments) != 2:
            raise GtpError("invalid color or coordinate")
        colour = _parse_colour(arguments)
        try:
            action = self._vertices.action(arguments[1])
        except ValueError as error:
            raise GtpError("invalid color or coordinate") from error
        passes = self._pass_to(colour)
        if not self._game.is_legal(action):
            self._take_back(passes)
            raise GtpError("illegal move")
        self._game.play(action)
        self._played.append(passes + 1)
        return ""

    def _genmove(self, arguments: Sequence[str]) -> str:
        colour = _parse_colour(arguments)
        if self._game.over:
            if self._vertices.is_go:
                return PASS
            raise GtpError("the game is over")
        passes = self._pass_to(colour)
        action = self._game.genmove()
        if action is None:
            self._take_back(passes)
            return RESIGN
        self._played.append(passes + 1)
        return self._vertices.vertex(action)

    def _undo(self, arguments: Sequence[str]) -> str:
        if not self._played:
            raise GtpError("cannot undo")
        self._take_back(self._played.pop())
        return ""

    def _final_score(self, arguments: Sequence[str]) -> str:
        if self._vertices.is_go:
            return self._go_score()
        if not self._game.over:
            raise GtpError("cannot score")
        position = self._game.position
        # The rewards are those of the players, whose colours are drawn by pgx.
        reward = float(position.rewards[position.current_player])
        if reward == 0:
            return "0"
        to_move = len(self._game.moves) % 2
        winner = "BW"[to_move if reward > 0 else 1 - to_move]
        stones = self._stones()
        margin = abs(int((stones == 1).sum()) - int((stones == 2).sum()))
        return f"{winner}+" if self._vertices.is_hex else f"{winner}+{margin}"

    def _showboard(self, arguments: Sequence[str]) -> str:
        board = self._vertices
        header = "    " + " ".join(board.columns)
        rows = [
            f"{board.row_number(row):>3} {' ' * (row if board.is_hex else 0)}"
            + " ".join(SYMBOLS[cell] for cell in cells)
            for row, cells in enumerate(self._stones())
        ]
        status = "game over" if self._game.over else f"{COLOURS[len(self._game.moves) % 2]} to move"
        return "\n".join(["", header, *rows, status])

    def _quit(self, arguments: Sequence[str]) -> str:
        self.quits = True
        return ""

    def _accept(self, arguments: Sequence[str]) -> str:
        """Accepts time settings: the number of simulations per move is fixed."""
        return ""

    def _pass_to(self, colour: int) -> int:
        """Passes in Go if the other colour is to move; returns the number of passes."""
        if len(self._game.moves) % 2 == colour:
            return 0
        if not self._vertices.is_go:
            raise GtpError("illegal move: it is the other player's turn")
        if self._game.over:
            raise GtpError("illegal move")
        self._game.play(self._vertices.action(PASS))
        if self._game.over:
            self._take_back(1)
            raise GtpError("illegal move: the pass of the other player would end the game")
        return 1

    def _take_back(self, moves: int) -> None:
        for _ in range(moves):
            self._game.undo()

    def _stones(self) -> np.ndarray:
        """Returns the stones `[H, W]` int, 1 black and 2 white."""
        observation = np.asarray(self._game.position.observation)
        return find_stones(observation, len(self._game.moves) % 2)

    def _go_score(self) -> str:
        """Returns the area score of pgx, in which all stones are alive."""
        from pgx._src.games.go import _count_scores

        position = self._game.position._x
        if position.is_psk:
            # A repeated position loses; the player to move is the other one.
            return f"{'BW'[int(position.color)]}+F"
        black, white = map(float, jnp.asarray(_count_scores(position, self._vertices.size)))
        margin = black - white - KOMI
        return f"{'B' if margin > 0 else 'W'}+{abs(margin):g}"


def _parse_colour(arguments: Sequence[str]) -> int:
    """Returns the index of a colour in `COLOURS`."""
    name = arguments[0].lower() if arguments else ""
    if name not in _COLOUR_NAMES:
        raise GtpError("invalid color or coordinate")
    return _COLOUR_NAMES[name]


_COMMANDS: Mapping[str, Callable[[GtpServer, Sequence[str]], str]] = {
    "protocol_version": lambda *_: "2",
    "name": lambda *_: "mukoe",
    "version": lambda *_: mukoe.__version__,
    "known_command": GtpServer._known_command,
    "list_commands": GtpServer._list_commands,
    "boardsize": GtpServer._boardsize,
    "clear_board": GtpServer._clear_board,
    "komi": GtpServer._komi,
    "play": GtpServer._play,
    "genmove": GtpServer._genmove,
    "undo": GtpServer._undo,
    "final_score": GtpServer._final_score,
    "showboard": GtpServer._showboard,
    "time_settings": GtpServer._accept,
    "time_left": GtpServer._accept,
    "quit": GtpServer._quit,
}
