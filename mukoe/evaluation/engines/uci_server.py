"""Server of the Universal Chess Interface: an agent as an engine of chess."""

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TextIO

import jax
import jax.numpy as jnp

import mukoe
from mukoe.environments.pgx.rules import GameState
from mukoe.evaluation.engines.agent_game import AgentGame
from mukoe.evaluation.engines.chess_moves import action_of, legal_moves

if TYPE_CHECKING:
    import chess

_STARTPOS = "startpos"


class UciServer:
    """Answers commands. The game is made by the first command that needs it."""

    def __init__(self, make_game: Callable[[], AgentGame]):
        """Initialises the server.

        Args:
          make_game: function that loads the agent.
        """
        import chess

        self._make_game = make_game
        self._board = chess.Board()
        self._waiting = False
        self.quits = False

    @functools.cached_property
    def _game(self) -> AgentGame:
        return self._make_game()

    def serve(self, commands: TextIO, answers: TextIO) -> None:
        """Answers commands until `quit` or the end of the input."""
        for line in commands:
            for answer in self.answer(line):
                answers.write(f"{answer}\n")
            answers.flush()
            if self.quits:
                return

    def answer(self, line: str) -> list[str]:
        """Returns the lines of the answer to a line."""
        name, *arguments = line.split() or [""]
        if name == "uci":
            return [f"id name mukoe {mukoe.__version__}", "id author mukoe", "uciok"]
        if name == "isready":
            _ = self._game
            return ["readyok"]
        if name == "position":
            return self._set_position(arguments)
        if name == "go":
            # The answer to an infinite search comes after 'stop'.
            self._waiting = "infinite" in arguments or "ponder" in arguments
            return [] if self._waiting else [self._best_move()]
        if name in ("stop", "ponderhit") and self._waiting:
            self._waiting = False
            return [self._best_move()]
        self.quits = name == "quit"
        return []

    def _set_position(self, arguments: Sequence[str]) -> list[str]:
        """Applies the moves that the game lacks, or all of them from a new start."""
        import chess

        start, _, moves = " ".join(arguments).partition(" moves ")
        try:
            board = chess.Board() if start == _STARTPOS else chess.Board(start.removeprefix("fen "))
            for text in moves.split():
                board.push_uci(text)
        except ValueError as error:
            return [f"info string {error}"]
        known = self._board
        lacking = len(board.move_stack) - len(known.move_stack)
        extends = (
            lacking >= 0
            and board.root() == known.root()
            and board.move_stack[: len(known.move_stack)] == known.move_stack
        )
        if not extends:
            known = board.root()
            self._game.reset(None if start == _STARTPOS else from_board(known))
        for move in board.move_stack[len(known.move_stack) :]:
            self._play(known, move)
        self._board = known
        return []

    def _play(self, board: "chess.Board", move: "chess.Move") -> None:
        """Applies a legal move to the board and to the game.

        pgx ends games by repetition and by 50 moves without a claim. A game that goes on begins
        anew at such a position.
        """
        action = action_of(board, move)
        board.push(move)
        if self._game.is_legal(action):
            self._game.play(action)
        if self._game.over and any(board.legal_moves):
            self._game.reset(from_board(board))

    def _best_move(self) -> str:
        moves = legal_moves(self._board)
        if not moves or self._game.over:
            return "bestmove (none)"
        action = self._game.choose()
        assert action is not None, "UCI has no resignation"
        return f"bestmove {moves[action].uci()}"


def from_board(board: "chess.Board") -> GameState:
    """Returns a position `[1, ...]` of pgx without a history."""
    from pgx.experimental.chess import from_fen

    position, turn, castling, en_passant, _, number = board.fen(en_passant="fen").split()
    state = from_fen(f"{position} {turn} {castling} {en_passant} 0 {number}")
    return jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], state)
