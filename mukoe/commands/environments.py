"""Lists the environments of all families by the names that --env takes.

mukoe environments
mukoe environments --filter=breakout
"""

from typing import NoReturn

from absl import flags

from mukoe.configuration import run_main
from mukoe.environments.registry import list_environments
from mukoe.errors import UserError
from mukoe.terminal.progress_line import erase_line

FILTER = flags.DEFINE_string(
    "filter", None, "Word in the name, the family or the note, in any case, such as atari or chess."
)


def main() -> None:
    """Prints a line per environment: name, family, number of players or missing package."""
    if FILTER.value == "":
        raise UserError("--filter is empty; give a word, such as --filter=atari")
    rows = list_environments(FILTER.value or "")
    if not rows:
        raise UserError(f"no environment has {FILTER.value!r} in its name, family or note")
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    lines = [f"{name:{widths[0]}}  {family:{widths[1]}}  {note}" for name, family, note in rows]
    erase_line()
    print("\n".join(line.rstrip() for line in lines))


def run() -> NoReturn:
    """Runs `main` as the program."""
    run_main(main)
