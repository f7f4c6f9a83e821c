"""Programs of engines."""

import os
import shlex
import shutil

from mukoe.errors import UserError

_GAMES_FOLDERS = ("/usr/games", "/usr/local/games")
"""Folders of Debian's games, which are not in the PATH of every user."""


def find_executable(name: str, command: str) -> list[str]:
    """Returns the arguments of a command line, the first one with its path.

    Args:
      name: name of the engine in errors.
      command: command line as in a shell, without redirections and variables.

    Raises:
      UserError: the program is not installed, or the command line cannot be parsed.
    """
    try:
        arguments = shlex.split(command)
    except ValueError as error:
        raise UserError(f"{name}: the command line cannot be parsed: {error}") from error
    if not arguments:
        raise UserError(f"{name} lacks the command line of the engine")
    folders = os.pathsep.join([os.environ.get("PATH", os.defpath), *_GAMES_FOLDERS])
    path = shutil.which(arguments[0], path=folders)
    if path is None:
        raise UserError(
            f"there is no program '{arguments[0]}': install it (apt-get install gnugo stockfish "
            "has GNU Go and Stockfish), or give its path"
        )
    return [path, *arguments[1:]]
