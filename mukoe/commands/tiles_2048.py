"""Prints mean score and highest tiles of games of 2048, from a fixed player or an evaluation.

mukoe tiles_2048 --player=greedy_score --games=100
mukoe tiles_2048 --csv=runs/2048/evaluation/step1000-simulations24.csv

The output is one JSON object.
"""

import dataclasses
import json
from pathlib import Path
from typing import NoReturn

from absl import flags

from mukoe.configuration import run_main
from mukoe.configuration.bounds import LARGEST_SEED
from mukoe.errors import UserError
from mukoe.system import process_environment, set_process_environment
from mukoe.terminal.progress_line import erase_line

PLAYER = flags.DEFINE_string("player", None, "Fixed player: random, greedy_score or greedy_empty.")
GAMES = flags.DEFINE_integer("games", 100, "Number of games of the player.", lower_bound=1)
SEED = flags.DEFINE_integer("seed", 0, "Seed of games and bootstrap.", 0, LARGEST_SEED)
CSV = flags.DEFINE_string("csv", None, "CSV file of an evaluation instead of a player.")


def main() -> None:
    """Plays or reads games, and prints their statistics."""
    if (PLAYER.value is None) == (CSV.value is None):
        raise UserError("give either --player or --csv")
    player = PLAYER.value or ""
    set_process_environment(process_environment())

    import numpy as np

    from mukoe.evaluation.scores import score_statistics
    from mukoe.evaluation.tiles import play, read_games, shares

    if CSV.value is not None:
        games = read_games(Path(CSV.value))
    else:
        games = play(player, GAMES.value, SEED.value)
    seats = np.zeros(len(games.scores), int)
    statistics = score_statistics(games.scores, np.random.default_rng(SEED.value), seats)
    found = {
        "player": PLAYER.value or CSV.value,
        "games": len(games.scores),
        **dataclasses.asdict(statistics),
        "ci95_of": "mean",
        "reached": shares(games.highest_tiles),
    }
    erase_line()
    print(json.dumps(found))


def run() -> NoReturn:
    """Runs `main` as the program."""
    run_main(main)
