"""Judges the moves of a Connect Four agent by the perfect solver, by ply and over training.

mukoe judge --workdir=runs/connect_four --checkpoints=10

Prints tables, then one JSON object on the last line.
"""

import json
from typing import NoReturn

from absl import flags

from mukoe.commands.required_workdir import output_folder, required_workdir
from mukoe.configuration import run_main
from mukoe.system import process_environment, set_process_environment

WORKDIR = flags.DEFINE_string("workdir", None, "Workdir of the run, or zoo:NAME.")
GAMES = flags.DEFINE_integer("games", 40, "Games of each checkpoint, half of them from each seat.")
OPPONENT = flags.DEFINE_string(
    "opponent",
    "bitbully",
    "Opponent: bitbully, random, rollout, or a run (WORKDIR, WORKDIR@STEP, WORKDIR@best).",
)
CHECKPOINTS = flags.DEFINE_integer(
    "checkpoints", 1, "Number of checkpoints, evenly spaced over the stored ones; 1: the last."
)
SIMULATIONS = flags.DEFINE_integer(
    "simulations", None, "Simulations per move instead of the run's value; 0 acts from the prior."
)
OPENING_MOVES = flags.DEFINE_integer("opening_moves", 1, "Random moves of each side at the start.")
SEED = flags.DEFINE_integer("seed", 0, "Seed of openings, agent and opponent.")
OUTPUT = flags.DEFINE_string("output", None, "Folder of the files instead of WORKDIR/judge.")


def main() -> None:
    """Plays and judges the games, prints and writes the shares."""
    workdir = required_workdir(WORKDIR, "runs/connect_four")
    set_process_environment(process_environment())

    from mukoe.evaluation.connect_four_judge import JudgeConfig, judge_players, open_judged
    from mukoe.evaluation.judge_files import judge_summary, judge_table, write_judgements
    from mukoe.terminal.counted_progress import CountedProgress

    config = JudgeConfig(
        games=GAMES.value,
        opponent=OPPONENT.value,
        checkpoints=CHECKPOINTS.value,
        simulations=SIMULATIONS.value,
        opening_moves=OPENING_MOVES.value,
        seed=SEED.value,
    )
    players, opponent = open_judged(workdir, config)
    with CountedProgress("judging checkpoint", len(players)) as progress:
        judgements = judge_players(players, opponent, config, progress.add)
    paths = write_judgements(judgements, config, output_folder(OUTPUT.value, workdir, "judge"))
    print(judge_table(judgements))
    print("\nwritten:", *paths)
    print(json.dumps(judge_summary(judgements, config)))


def run() -> NoReturn:
    """Runs `main` as the program."""
    run_main(main)
