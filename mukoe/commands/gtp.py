"""Plays Go, Hex or Othello as an engine of GTP, for GoGui and other programs.

mukoe gtp --workdir=runs/go

Commands are read from standard input, answers are written to standard output.
"""

import sys
from pathlib import Path
from typing import NoReturn

from absl import flags

from mukoe.configuration import run_main
from mukoe.errors import UserError
from mukoe.system import process_environment, set_process_environment

WORKDIR = flags.DEFINE_string("workdir", None, "Workdir of the run, or zoo:NAME.")
BEST = flags.DEFINE_bool(
    "best", False, "Use the checkpoint with the best evaluation instead of the latest."
)
STEP = flags.DEFINE_integer(
    "step", None, "Use the checkpoint of this learner step instead of the latest."
)
SIMULATIONS = flags.DEFINE_integer(
    "simulations", None, "Simulations per move instead of the run's value; 0 acts from the prior."
)
SEED = flags.DEFINE_integer("seed", 0, "Seed of the agent's random choices.")


def main() -> None:
    """Answers commands until the end of the input."""
    if not WORKDIR.value:
        raise UserError("--workdir is missing; give the workdir of a run, such as runs/go")
    set_process_environment(process_environment())

    from mukoe.evaluation.engines.agent_of_run import check_protocol, open_game
    from mukoe.evaluation.engines.gtp_server import GtpServer
    from mukoe.evaluation.engines.vertices import speaks_gtp
    from mukoe.evaluation.players import Reference

    workdir = Path(WORKDIR.value)
    check_protocol(workdir, speaks_gtp, "GTP: Go, Hex and Othello")
    reference = Reference(workdir, BEST.value, STEP.value)
    # Programs wait for the first answers only for seconds, so the agent is loaded after them.
    server = GtpServer(lambda: open_game(reference, SIMULATIONS.value, SEED.value))
    server.serve(sys.stdin, sys.stdout)


def run() -> NoReturn:
    """Runs `main` as the program."""
    run_main(main)
