"""Rates the checkpoints of a self-play run against each other and against fixed opponents.

mukoe ladder --workdir=runs/connect_four --games=40

Each checkpoint also plays itself with exploration: diversity of openings, score of the first
mover, cycles of the ladder and strength over time are printed below the ratings.

The number of stored checkpoints is set when the run starts: --config.run.keep_checkpoints=20, and
--config.run.checkpoint_period=10000 in the local layout. Prints a table, then one JSON object on
the last line.
"""

import json
from typing import NoReturn

from absl import flags

from mukoe.commands.required_workdir import output_folder, required_workdir
from mukoe.configuration import run_main
from mukoe.system import process_environment, set_process_environment

WORKDIR = flags.DEFINE_string("workdir", None, "Workdir of the run, or zoo:NAME.")
GAMES = flags.DEFINE_integer("games", 40, "Games of each pair, half of them from each seat.")
OPPONENTS = flags.DEFINE_list(
    "opponents",
    ["random", "rollout"],
    "Fixed opponents: random, rollout, exact, or engines (gtp:COMMAND, uci:COMMAND, bitbully).",
)
ANCHOR = flags.DEFINE_string(
    "anchor",
    None,
    "Opponent or engine whose rating is --anchor_elo; the first of the opponents by default.",
)
ANCHOR_ELO = flags.DEFINE_float("anchor_elo", 0.0, "Rating of the anchor.")
CHECKPOINTS = flags.DEFINE_integer(
    "checkpoints", 12, "Number of checkpoints, evenly spaced over the stored ones."
)
SCHEDULE = flags.DEFINE_enum(
    "schedule",
    "round_robin",
    ["round_robin", "neighbours"],
    "All pairs, or each checkpoint against the fixed opponents and the two checkpoints before it.",
)
SIMULATIONS = flags.DEFINE_integer(
    "simulations", None, "Simulations per move of the checkpoints instead of the run's value."
)
OPPONENT_SIMULATIONS = flags.DEFINE_integer(
    "opponent_simulations", None, "Simulations per move of rollout instead of the config's value."
)
OPENING_MOVES = flags.DEFINE_integer("opening_moves", 1, "Random moves of each side at the start.")
SEED = flags.DEFINE_integer("seed", 0, "Seed of games and bootstrap.")
OUTPUT = flags.DEFINE_string("output", None, "Folder of the files instead of WORKDIR/ladder.")


def main() -> None:
    """Plays the games, prints and writes the ratings."""
    workdir = required_workdir(WORKDIR, "runs/connect_four")
    set_process_environment(process_environment())

    from mukoe.evaluation.ladder import (
        LadderConfig,
        open_players,
        play_ladder,
        play_self,
        schedule,
    )
    from mukoe.evaluation.ladder_files import (
        anchor_text,
        ladder_summary,
        ladder_table,
        write_ladder,
    )
    from mukoe.evaluation.self_play import diagnose_self_play, self_play_text, training_hours
    from mukoe.terminal.counted_progress import CountedProgress

    config = LadderConfig(
        games=GAMES.value,
        opponents=tuple(dict.fromkeys(OPPONENTS.value)),
        anchor=ANCHOR.value,
        anchor_elo=ANCHOR_ELO.value,
        checkpoints=CHECKPOINTS.value,
        schedule=SCHEDULE.value,  # type: ignore[arg-type]
        simulations=SIMULATIONS.value,
        opponent_simulations=OPPONENT_SIMULATIONS.value,
        opening_moves=OPENING_MOVES.value,
        seed=SEED.value,
    )
    game, players = open_players(workdir, config)
    with CountedProgress("playing pair", len(schedule(players, config))) as progress:
        ladder = play_ladder(game, players, config, progress.add)
    agents = sum(player.learner_step is not None for player in players)
    with CountedProgress("playing self-play of checkpoint", agents) as progress:
        games = play_self(game, workdir, config, progress.add)
    diagnosis = diagnose_self_play(ladder, games, training_hours(workdir, ladder))
    paths = write_ladder(ladder, output_folder(OUTPUT.value, workdir, "ladder"), diagnosis)
    print(ladder_table(ladder))
    print(f"\n{self_play_text(diagnosis, ladder)}")
    print(f"\nElo is relative to {anchor_text(ladder)}")
    print("written:", *paths)
    print(json.dumps(ladder_summary(ladder, diagnosis)))


def run() -> NoReturn:
    """Runs `main` as the program."""
    run_main(main)
