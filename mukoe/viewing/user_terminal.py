"""Terminal of a user who plays episodes: keys or moves by name, and a view of the environment."""

import contextlib
import shutil
import sys
from collections.abc import Sequence

from mukoe.environments.vector import VectorEnvironment
from mukoe.errors import UserError
from mukoe.types import plays_in_turns
from mukoe.viewing.action_names import action_names
from mukoe.viewing.episodes import render
from mukoe.viewing.half_blocks import to_text
from mukoe.viewing.keyboard import MAX_KEYS, Keyboard, MovesByName

_HOME, _CLEAR_LINE, _CLEAR_BELOW = "\x1b[H", "\x1b[K", "\x1b[J"


class TerminalInterface:
    """A `UserInterface` of the terminal, or of a pipe."""

    def __init__(self, environment: VectorEnvironment, steps_per_second: float):
        """Binds the keys; two-player games and large sets of actions have moves by name.

        Args:
          environment: vector of one environment.
          steps_per_second: steps per second; 0 to wait for a key at every step.
        """
        names = action_names(environment)
        by_name = plays_in_turns(environment.spec) or len(names) > MAX_KEYS
        self._player = MovesByName(names) if by_name else Keyboard(names, steps_per_second)
        self._screen = _Screen(environment, self._player.help, redraws=not by_name)

    def opened(self) -> contextlib.AbstractContextManager[None]:
        """Puts the terminal into the mode of the keys."""
        return self._player.opened()

    def show(self, score: float, legal_actions: Sequence[int]) -> None:
        """Prints the environment and the return."""
        del legal_actions
        self._screen.show(score)

    def choose(self, legal_actions: Sequence[int]) -> int | None:
        """Returns the user's action, None if the user quits."""
        if isinstance(self._player, MovesByName):
            return self._player.choose(legal_actions)
        return self._player.choose()

    def end(self, score: float) -> None:
        """Prints the environment and the return of the episode."""
        self._screen.show(score)
        clear = _CLEAR_LINE if self._screen.redraws else ""
        print(f"end of the episode, return {score:g}{clear}")


class _Screen:
    """View of the environment: the position as text, or a picture in half blocks."""

    def __init__(self, environment: VectorEnvironment, help_text: str, redraws: bool):
        self._environment = environment
        self._help = help_text
        self.redraws = redraws and sys.stdout.isatty()
        if self.redraws:
            print(f"{_HOME}{_CLEAR_BELOW}", end="")
        else:
            print(help_text)

    def show(self, score: float) -> None:
        """Prints the environment and the score."""
        if hasattr(self._environment, "render_text"):
            lines = self._environment.render_text(0).splitlines()
        elif self.redraws:
            columns, rows = shutil.get_terminal_size()
            try:
                lines = to_text(render(self._environment), columns - 1, rows - 4).splitlines()
            except UserError as error:
                lines = [str(error)]
        else:
            lines = []
        self._print([*lines, f"return {score:g}"])

    def _print(self, lines: Sequence[str]) -> None:
        if not self.redraws:
            print("\n".join(lines), flush=True)
            return
        shown = "\n".join(f"{line}{_CLEAR_LINE}" for line in [*lines, self._help])
        print(f"{_HOME}{shown}\n{_CLEAR_BELOW}", end="", flush=True)
