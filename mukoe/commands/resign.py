"""Measures the errors of resignation in self-play games that are played out.

mukoe resign --workdir=runs/go --games=400

Prints a table of thresholds, then one JSON object on the last line.
"""

import json
from typing import NoReturn

from absl import flags

from mukoe.commands import checkpoint_flags, search_flags
from mukoe.configuration import run_main
from mukoe.system import process_environment, set_process_environment

flags.adopt_module_key_flags(checkpoint_flags)
GAMES = flags.DEFINE_integer("games", 200, "Games; equal ones count once.")
flags.adopt_module_key_flags(search_flags)
RESIGN_MOVES = flags.DEFINE_integer(
    "resign_moves", 3, "Successive own moves with a value below -t before a player resigns."
)
OPENING_MOVES = flags.DEFINE_integer("opening_moves", 2, "Random moves of each side at the start.")
SEED = flags.DEFINE_integer("seed", 0, "Seed of openings and agent.")


def main() -> None:
    """Plays the games and prints the errors."""
    workdir = checkpoint_flags.require_workdir("runs/go")
    set_process_environment(process_environment())

    from mukoe.evaluation.players import open_agent
    from mukoe.evaluation.resignation_errors import (
        ResignationConfig,
        measure_resignation,
        resignation_table,
    )
    from mukoe.terminal.counted_progress import CountedProgress

    config = ResignationConfig(
        games=GAMES.value,
        opening_moves=OPENING_MOVES.value,
        resign_moves=RESIGN_MOVES.value,
        seed=SEED.value,
    )
    run = open_agent(
        checkpoint_flags.reference(workdir),
        search_flags.SIMULATIONS.value,
        changes=search_flags.search_changes(),
    )
    with CountedProgress("playing game", config.games) as progress:
        rows = measure_resignation(run, config, progress.add)
    print(resignation_table(rows))
    print(json.dumps({"thresholds": [row._asdict() for row in rows]}))


def run() -> NoReturn:
    """Runs `main` as the program."""
    run_main(main)
