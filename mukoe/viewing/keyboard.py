"""Actions of a user: keys of a terminal, or lines of text."""

import contextlib
import functools
import os
import select
import sys
import time
from collections.abc import Iterator, Mapping, Sequence

from mukoe.errors import UserError
from mukoe.terminal.interruption import cleanup_at_exit

QUIT = "x"
"""Key that ends a recording."""

MAX_KEYS = 18
"""Largest number of actions that have keys of their own."""

_DIRECTIONS = {
    "up": "w",
    "left": "a",
    "down": "s",
    "right": "d",
    "upleft": "q",
    "upright": "e",
    "downleft": "z",
    "downright": "c",
}
_IDLE = ("noop", "none", "no-op", "nothing", "coast", "torque 0")
_OTHER_KEYS = "1234567890fghjklrtyuiop"
_ARROWS = {"A": "w", "B": "s", "C": "d", "D": "a"}
_ESCAPE = "\x1b"


def key_bindings(names: Sequence[str]) -> dict[str, int]:
    """Returns the action of each key.

    Directions have `w a s d` (and the arrows) and `q e z c`, with fire the same in upper case; idle
    is the full stop and fire the space bar. Other actions have digits and letters in their order.

    Args:
      names: names of the actions, at most `MAX_KEYS`.
    """
    bound: dict[str, int] = {}
    for action, name in enumerate(names):
        if (key := _natural_key(name.lower())) and key not in bound:
            bound[key] = action
    free = iter(key for key in _OTHER_KEYS if key not in bound)
    for action in range(len(names)):
        if action not in bound.values():
            bound[next(free)] = action
    return bound


def idle_action(names: Sequence[str]) -> int | None:
    """Returns the action without effect, by its name; None if there is none."""
    return next((action for action, name in enumerate(names) if name.lower() in _IDLE), None)


def describe_bindings(bindings: Mapping[str, int], names: Sequence[str]) -> str:
    """Returns one line with the keys and the names of their actions."""
    shown = {" ": "space"}
    keys = [f"{shown.get(key, key)}: {names[action]}" for key, action in bindings.items()]
    return f"{', '.join(keys)}; {QUIT} ends"


def _natural_key(name: str) -> str | None:
    if name in _IDLE:
        return "."
    if name == "fire":
        return " "
    if name in _DIRECTIONS:
        return _DIRECTIONS[name]
    return _DIRECTIONS[name[:-4]].upper() if name.removesuffix("fire") in _DIRECTIONS else None


class Keyboard:
    """Source of a user's actions by keys, on the standard input.

    In a terminal a key acts at once. Otherwise, as in a pipe, every character of the input is a key
    and its end quits.
    """

    def __init__(self, names: Sequence[str], steps_per_second: float = 0.0):
        """Binds the keys.

        Args:
          names: names of the actions.
          steps_per_second: steps per second, of which those without a key are idle or repeat the
            last action; 0 to wait for a key at every step.

        Raises:
          UserError: there are too many actions.
        """
        if len(names) > MAX_KEYS:
            raise UserError(f"{len(names)} actions are too many for keys: at most {MAX_KEYS}")
        self._bindings = key_bindings(names)
        self._idle = idle_action(names)
        self._seconds = 1 / steps_per_second if steps_per_second else None
        self._next_step = time.monotonic()
        self._last = 0 if self._idle is None else self._idle
        self.help = describe_bindings(self._bindings, names)

    @contextlib.contextmanager
    def opened(self) -> Iterator[None]:
        """Puts the terminal into a mode without echo, in which a key is received at once."""
        if not sys.stdin.isatty():
            yield
            return
        import termios
        import tty

        old = termios.tcgetattr(sys.stdin)
        tty.setcbreak(sys.stdin)
        restore = functools.partial(termios.tcsetattr, sys.stdin, termios.TCSANOW, old)
        with cleanup_at_exit(restore):
            try:
                yield
            finally:
                restore()

    def choose(self) -> int | None:
        """Returns the next action, None if the user quits."""
        if self._seconds is None:
            while (key := self._read(None)) not in (None, QUIT):
                if key in self._bindings:
                    return self._bindings[str(key)]
            return None
        return self._choose_in_time(self._seconds)

    def _choose_in_time(self, seconds: float) -> int | None:
        self._next_step = max(self._next_step + seconds, time.monotonic())
        chosen = self._last if self._idle is None else self._idle
        while True:
            left = self._next_step - time.monotonic()
            key = self._read(max(left, 0.0))
            if key in (None, QUIT):
                return None
            if not key and left <= 0:
                self._last = chosen
                return chosen
            chosen = self._bindings.get(str(key), chosen)

    def _read(self, seconds: float | None) -> str | None:
        """Returns a key, '' after a time without one, None at the end of the input."""
        descriptor = sys.stdin.fileno()
        if not select.select([descriptor], [], [], seconds)[0]:
            return ""
        key = os.read(descriptor, 1).decode(errors="ignore")
        if key == _ESCAPE and select.select([descriptor], [], [], 0)[0]:
            return _ARROWS.get(os.read(descriptor, 2).decode(errors="ignore")[-1:], "")
        return key or None


class MovesByName:
    """Source of a user's actions by their names, a line each."""

    def __init__(self, names: Sequence[str]):
        self._names = names
        self.help = "enter the name of a move; q ends"

    @contextlib.contextmanager
    def opened(self) -> Iterator[None]:
        """Does nothing."""
        yield

    def choose(self, legal_actions: Sequence[int]) -> int | None:
        """Reads lines until one names a legal action, None if the user quits."""
        legal = {self._names[action]: action for action in reversed(legal_actions)}
        print(f"legal moves: {' '.join(self._names[action] for action in legal_actions)}")
        while True:
            try:
                answer = input("your move (q ends): ").strip()
            except EOFError:
                print()
                return None
            if answer == "q":
                return None
            if answer in legal:
                return legal[answer]
            print(f"there is no legal move {answer!r}; enter one of the legal moves, or q")
