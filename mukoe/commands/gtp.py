"""Plays Go, Hex or Othello as an engine of GTP, for GoGui and other programs.

mukoe gtp --workdir=runs/go

Commands are read from standard input, answers are written to standard output.
"""

import sys
from typing import NoReturn

from absl import flags

from mukoe.commands import engine_flags, resign_flags
from mukoe.configuration import run_main

flags.adopt_module_key_flags(engine_flags)
flags.adopt_module_key_flags(resign_flags)


def main() -> None:
    """Answers commands until the end of the input."""
    workdir = engine_flags.prepared_workdir("runs/go")

    from mukoe.evaluation.engines.gtp_server import GtpServer
    from mukoe.evaluation.engines.vertices import speaks_gtp

    rule = resign_flags.resignation()
    make_game = engine_flags.game_opener(workdir, speaks_gtp, "GTP: Go, Hex and Othello", rule)
    server = GtpServer(make_game)
    server.serve(sys.stdin, sys.stdout)


def run() -> NoReturn:
    """Runs `main` as the program."""
    run_main(main)
