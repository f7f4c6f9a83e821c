"""Client of the Go Text Protocol, version 2: a program that plays Go, Hex or Othello.

Specification: G. Farnebäck, "Specification of the Go Text Protocol, version 2, draft 2" (2002).
"""

import contextlib
import os
import selectors
import subprocess
import tempfile
import time
from collections.abc import Sequence
from typing import Any

from mukoe.errors import UserError
from mukoe.evaluation.engines.executables import find_executable
from mukoe.evaluation.engines.vertices import COLOURS, PASS, RESIGN, Vertices

KOMI = 7.5
"""Komi of Go in pgx."""

COMMAND_TIMEOUT = 120.0
"""Seconds for the answer to a command other than `genmove`, the start of the program included."""

MOVE_TIMEOUT = 300.0
"""Seconds for a move."""

_CLOSE_TIMEOUT = 3.0

_GNUGO_FLAGS = (
    "--chinese-rules",
    "--positional-superko",
    # pgx counts all stones as alive: dead ones must be captured before the passes.
    "--capture-all-dead",
    "--play-out-aftermath",
)
"""Rules of pgx's Go as flags of GNU Go, which has no commands for them."""

_CLEANUP = "kgs-genmove_cleanup"
"""Command for a move that captures dead stones, after a pass of the other player."""


class GtpEngine:
    """Engine that speaks GTP.

    Each move is asked for after the moves of its game: those that the engine has not on its board
    yet, or all of them after `clear_board`. Go is played with the rules of pgx: area scoring, komi
    7.5, positional superko, and all stones alive at the end.
    """

    def __init__(
        self,
        command: str,
        vertices: Vertices,
        command_timeout: float = COMMAND_TIMEOUT,
        move_timeout: float = MOVE_TIMEOUT,
    ):
        """Finds the program, which starts with the context.

        Args:
          command: command line, such as `gnugo --mode gtp --level 5`.
          vertices: vertices of the board.
          command_timeout: seconds for the answer to a command other than `genmove`.
          move_timeout: seconds for a move.

        Raises:
          UserError: the program is not installed, or the command cannot be parsed.
        """
        self._name = f"gtp:{command}"
        self._arguments = find_executable(self._name, command)
        if vertices.is_go and os.path.basename(self._arguments[0]) == "gnugo":
            self._arguments += [f for f in _GNUGO_FLAGS if f not in self._arguments]
        self._vertices = vertices
        self._timeouts = (command_timeout, move_timeout)
        self._process: subprocess.Popen[bytes] | None = None
        self._received = b""
        self._played: list[int] = []
        self._commands: set[str] = set()
        self._stderr: Any = None

    def __enter__(self) -> "GtpEngine":
        """Starts the program and tells it board and rules."""
        self._stderr = tempfile.TemporaryFile()
        try:
            self._process = subprocess.Popen(
                self._arguments,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
                bufsize=0,
            )
        except OSError as error:
            self._stderr.close()
            raise UserError(f"{self._name} cannot be started: {error.strerror}") from error
        try:
            self._set_up()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *unused: object) -> None:
        """Ends the program."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None and process.stdout is not None
        with contextlib.suppress(OSError):
            process.stdin.write(b"quit\n")
        with contextlib.suppress(OSError):
            process.stdin.close()
        try:
            process.wait(_CLOSE_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
        self._stderr.close()

    def choose(self, moves: Sequence[int]) -> int | None:
        """Returns the action after `moves`, None if the engine resigns; see `Engine.choose`."""
        self._set_position(moves)
        command = "genmove"
        passed = bool(moves) and self._vertices.vertex(moves[-1]) == PASS
        if self._vertices.is_go and passed and _CLEANUP in self._commands:
            command = _CLEANUP
        answer = self.send(f"{command} {COLOURS[len(moves) % 2]}").lower()
        if answer == RESIGN:
            return None
        try:
            action = self._vertices.action(answer)
        except ValueError as error:
            raise UserError(f"{self._name} answered {command} with '{answer}'") from error
        self._played.append(action)
        return action

    def send(self, command: str) -> str:
        """Sends a command and returns the text of the answer.

        Raises:
          UserError: the engine refuses the command, ends, or does not answer in time.
        """
        process = self._process
        assert process is not None and process.stdin is not None, "the engine is not running"
        try:
            process.stdin.write(f"{command}\n".encode())
        except OSError as error:
            raise self._died(command) from error
        is_move = command.startswith(("genmove", _CLEANUP))
        answer = self._read_answer(command, self._timeouts[is_move])
        status, _, text = answer.partition(" ")
        if status.startswith("?"):
            raise UserError(f"{self._name} refuses '{command}': {text.strip() or 'no reason'}")
        if not status.startswith("="):
            raise UserError(
                f"{self._name} answers '{command}' with {answer[:60]!r}, which is not GTP; "
                "does its command line select the protocol?"
            )
        return text.strip()

    def _set_up(self) -> None:
        self._commands = set(self.send("list_commands").split())
        self.send(f"boardsize {self._vertices.size}")
        self.send("clear_board")
        if self._vertices.is_go:
            self.send(f"komi {KOMI}")
            if "kgs-rules" in self._commands:
                self.send("kgs-rules chinese")
        self._played = []

    def _set_position(self, moves: Sequence[int]) -> None:
        """Plays the moves that the engine's board lacks."""
        known = len(self._played)
        if known > len(moves) or self._played != list(moves[:known]):
            self.send("clear_board")
            self._played = []
        for ply in range(len(self._played), len(moves)):
            self.send(f"play {COLOURS[ply % 2]} {self._vertices.vertex(moves[ply])}")
            self._played.append(moves[ply])

    def _read_answer(self, command: str, timeout: float) -> str:
        """Reads up to the empty line that ends an answer."""
        assert self._process is not None and self._process.stdout is not None
        stdout, deadline = self._process.stdout, time.monotonic() + timeout
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            while b"\n\n" not in (text := self._received.replace(b"\r", b"").lstrip(b"\n")):
                if not selector.select(max(deadline - time.monotonic(), 0)):
                    raise UserError(
                        f"{self._name} has not answered '{command}' within {timeout:g} seconds"
                    )
                received = os.read(stdout.fileno(), 65536)
                if not received:
                    raise self._died(command)
                self._received += received
        answer, _, self._received = text.partition(b"\n\n")
        return answer.decode(errors="replace")

    def _died(self, command: str) -> UserError:
        """Returns the error of an engine that has ended, with its last words."""
        assert self._process is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_CLOSE_TIMEOUT)
        self._stderr.seek(0)
        lines = self._stderr.read().decode(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        ended = f"{self._name} ended with status {self._process.returncode} at '{command}'"
        return UserError(f"{ended}: {last}" if last else ended)
