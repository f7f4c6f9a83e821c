"""Evaluates the agent of a run on episodes without exploration.

mukoe evaluate --workdir=runs/cartpole --episodes=100

Prints a table, then one JSON object on the last line. In two-player games the return is 1 for a
win, 0 for a draw and -1 for a loss.
"""

import json
from pathlib import Path
from typing import NoReturn

from absl import flags

from mukoe.commands import checkpoint_flags, search_flags
from mukoe.configuration import run_main
from mukoe.system import process_environment, set_process_environment

flags.adopt_module_key_flags(checkpoint_flags)
EPISODES = flags.DEFINE_integer("episodes", 100, "Number of episodes.")
TEMPERATURE = flags.DEFINE_float(
    "temperature",
    None,
    "Temperature of the actions, drawn from the search policy, instead of the run's value; 0 takes "
    "the best action.",
)
flags.adopt_module_key_flags(search_flags)
OPPONENT = flags.DEFINE_string(
    "opponent",
    None,
    "Opponent in two-player games: random, exact, rollout, an engine (gtp:COMMAND, uci:COMMAND, "
    "bitbully), or a run (WORKDIR, WORKDIR@STEP, WORKDIR@best); the config's opponent by default.",
)
OPPONENT_SIMULATIONS = flags.DEFINE_integer(
    "opponent_simulations",
    None,
    "Simulations per move of the opponent instead of its config's value.",
)
OPENING_MOVES = flags.DEFINE_integer(
    "opening_moves",
    None,
    "Random moves of each side at the start; by default 1 against an engine or a "
    "run, which may be deterministic, and 0 against other opponents.",
)
MAX_STEPS = flags.DEFINE_integer(
    "max_steps",
    None,
    "Agent steps after which an episode is cut off instead of the run's evaluation_max_steps.",
)
NUM_ENVS = flags.DEFINE_integer("num_envs", 32, "Environments stepped as one batch.")
SEED = flags.DEFINE_integer("seed", 0, "Seed of environments, opponents and bootstrap.")
OUTPUT = flags.DEFINE_string(
    "output", None, "Folder of evaluation.json and evaluation/*.csv instead of the workdir."
)


def main() -> None:
    """Evaluates, prints and writes the results."""
    workdir = checkpoint_flags.require_workdir("runs/cartpole")
    set_process_environment(process_environment())

    from mukoe.evaluation.episodes import EvaluationConfig, evaluate, summary
    from mukoe.evaluation.evaluation_files import evaluation_table, write_evaluation
    from mukoe.evaluation.players import open_agent
    from mukoe.terminal.counted_progress import CountedProgress
    from mukoe.zoo import is_entry

    config = EvaluationConfig(
        episodes=EPISODES.value,
        num_envs=NUM_ENVS.value,
        max_steps=MAX_STEPS.value,
        seed=SEED.value,
        opponent=OPPONENT.value,
        opponent_simulations=OPPONENT_SIMULATIONS.value,
        opening_moves=OPENING_MOVES.value,
    )
    changes = search_flags.search_changes()
    run = open_agent(
        checkpoint_flags.reference(workdir),
        search_flags.SIMULATIONS.value,
        TEMPERATURE.value,
        changes,
    )
    with CountedProgress("evaluating", config.episodes) as progress:
        evaluation = evaluate(run, config, lambda _: progress.add())
    print(evaluation_table(evaluation))
    # The zoo is part of the installation.
    if OUTPUT.value or not is_entry(run.workdir):
        path = write_evaluation(evaluation, Path(OUTPUT.value or run.workdir))
        print(f"\nepisodes: {path}")
    print(json.dumps(summary(evaluation)))


def run() -> NoReturn:
    """Runs `main` as the program."""
    run_main(main)
