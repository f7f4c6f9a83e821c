"""Client of the Universal Chess Interface: a program that plays chess."""

import asyncio
import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mukoe.errors import UserError
from mukoe.evaluation.engines.chess_moves import action_of, replay
from mukoe.evaluation.engines.executables import find_executable

DEFAULT_SECONDS = 0.1
"""Seconds per move without another limit."""

START_TIMEOUT = 30.0
"""Seconds for the start, and for an answer beyond the time of a move."""

MOVE_TIMEOUT = 300.0
"""Seconds of a move without a limit of time."""

_LIMITS = {"nodes": int, "depth": int, "seconds": float}
"""Settings of a move, and their types; other settings are options of the engine."""


class UciEngine:
    """Engine that speaks UCI.

    Its text is `COMMAND;NAME=VALUE;...`: `nodes`, `depth` and `seconds` limit a move, other names
    are options of the engine, such as `stockfish;Skill Level=3;nodes=1000`.
    """

    def __init__(
        self, text: str, timeout: float = START_TIMEOUT, move_timeout: float = MOVE_TIMEOUT
    ):
        """Finds the program, which starts with the context.

        Args:
          text: command line and settings.
          timeout: seconds for the start, and for an answer beyond the time of a move.
          move_timeout: seconds of a move that is limited by nodes or depth.

        Raises:
          UserError: the program or the package `chess` is not installed, or a setting is no number.
        """
        _require_chess()
        self._name = f"uci:{text}"
        command, *settings = text.split(";")
        self._arguments = find_executable(self._name, command)
        self._limits, self._options = _parse(self._name, settings)
        self._timeout, self._move_timeout = timeout, move_timeout
        self._engine: Any = None

    def __enter__(self) -> "UciEngine":
        """Starts the program and sets its options."""
        import chess.engine

        with self._named_errors("start", self._timeout):
            self._engine = chess.engine.SimpleEngine.popen_uci(
                self._arguments, timeout=self._timeout
            )
        try:
            with self._named_errors("options", self._timeout):
                self._engine.configure(self._options)
        except UserError:
            self.__exit__()
            raise
        return self

    def __exit__(self, *unused: object) -> None:
        """Ends the program."""
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.close()

    def choose(self, moves: Sequence[int]) -> int | None:
        """Returns the action after `moves`, None if the engine resigns; see `Engine.choose`."""
        import chess.engine

        board = replay(moves)
        seconds = self._timeout + self._limits.get("time", self._move_timeout)
        with self._named_errors(f"move {len(moves) + 1}", seconds):
            # `SimpleEngine.play` waits without end for moves that time does not limit.
            protocol = self._engine.protocol
            playing = protocol.play(board, chess.engine.Limit(**self._limits))
            answer = asyncio.wait_for(playing, seconds)
            played = asyncio.run_coroutine_threadsafe(answer, protocol.loop).result()
        if played.move is None or played.resigned:
            return None
        return action_of(board, played.move)

    @contextlib.contextmanager
    def _named_errors(self, stage: str, seconds: float) -> Iterator[None]:
        """Turns errors of the engine, which has `seconds` to answer, into user errors."""
        import chess.engine

        try:
            yield
        except chess.engine.EngineTerminatedError as error:
            raise UserError(f"{self._name} ended at its {stage}: {error}") from error
        except chess.engine.EngineError as error:
            raise UserError(f"{self._name} fails at its {stage}: {error}") from error
        # asyncio's class is another one before Python 3.11.
        except (TimeoutError, asyncio.TimeoutError) as error:
            raise UserError(
                f"{self._name} has not answered at its {stage} within {seconds:g} seconds"
            ) from error
        except OSError as error:
            raise UserError(f"{self._name} cannot be started: {error.strerror}") from error


def _require_chess() -> None:
    try:
        import chess.engine  # noqa: F401
    except ImportError as error:
        raise UserError(
            "UCI needs the package chess; install it by pip install 'mukoe[engines]'"
        ) from error


def _parse(name: str, settings: Sequence[str]) -> tuple[dict[str, Any], Mapping[str, str]]:
    """Returns limits of a move and options of the engine."""
    limits: dict[str, Any] = {}
    options = {}
    for setting in settings:
        key, equals, value = (part.strip() for part in setting.partition("="))
        if not key or not equals:
            raise UserError(f"{name}: '{setting}' is not NAME=VALUE")
        if key not in _LIMITS:
            options[key] = value
            continue
        try:
            limit = _LIMITS[key](value)
        except ValueError as error:
            raise UserError(f"{name}: {key} must be a number, not '{value}'") from error
        if not 0 < limit < float("inf"):
            raise UserError(f"{name}: {key} must be above 0, not {value}")
        limits["time" if key == "seconds" else key] = limit
    return limits or {"time": DEFAULT_SECONDS}, options
