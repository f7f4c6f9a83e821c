"""Plays chess as an engine of UCI, for chess programs with a board.

mukoe uci --workdir=runs/chess

Commands are read from standard input, answers are written to standard output.
"""

import sys
from typing import NoReturn

from absl import flags

from mukoe.commands import engine_flags
from mukoe.configuration import run_main

flags.adopt_module_key_flags(engine_flags)


def main() -> None:
    """Answers commands until the end of the input."""
    workdir = engine_flags.prepared_workdir("runs/chess")

    from mukoe.evaluation.engines.chess_moves import is_chess
    from mukoe.evaluation.engines.uci_server import UciServer

    server = UciServer(engine_flags.game_opener(workdir, is_chess, "UCI: chess"))
    server.serve(sys.stdin, sys.stdout)


def run() -> NoReturn:
    """Runs `main` as the program."""
    run_main(main)
