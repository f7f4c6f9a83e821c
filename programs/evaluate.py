"""Evaluates the agent of a run: plays episodes without exploration.

python programs/evaluate.py --workdir=runs/cartpole --episodes=100

Prints a table, and as the last line one JSON object. In two-player games a return is 1 for a
win, 0 for a draw and -1 for a loss.
"""

import json
from pathlib import Path

from absl import flags

from mukoe.configuration import run_main
from mukoe.errors import UserError
from mukoe.system import process_environment, set_process_environment

WORKDIR = flags.DEFINE_string("workdir", None, "The run.")
BEST = flags.DEFINE_bool("best", False, "The checkpoint with the best evaluation, not the latest.")
STEP = flags.DEFINE_integer("step", None, "The checkpoint of this learner step, not the latest.")
EPISODES = flags.DEFINE_integer("episodes", 100, "Episodes that are played.")
SIMULATIONS = flags.DEFINE_integer(
    "simulations", None, "Simulations per move instead of the run's; 0 acts from the prior."
)
OPPONENT = flags.DEFINE_string(
    "opponent",
    None,
    "Of two-player games: random, exact, rollout, or a run (WORKDIR, WORKDIR@STEP, WORKDIR@best); "
    "the config's by default.",
)
OPPONENT_SIMULATIONS = flags.DEFINE_integer(
    "opponent_simulations", None, "Simulations per move of the opponent instead of its config's."
)
OPENING_MOVES = flags.DEFINE_integer(
    "opening_moves",
    None,
    "Random moves with which each side begins; by default 1 against a run, whose agent always "
    "plays the same, and 0 against others.",
)
NUM_ENVS = flags.DEFINE_integer("num_envs", 32, "Environments that are stepped together.")
SEED = flags.DEFINE_integer("seed", 0, "The same seed gives the same numbers.")
OUTPUT = flags.DEFINE_string(
    "output", None, "Folder for evaluation.json and evaluation/*.csv instead of the workdir."
)


def main() -> None:
    """Plays, prints and writes."""
    if not WORKDIR.value:
        raise UserError("--workdir is missing; give the folder of a run, such as runs/cartpole")
    set_process_environment(process_environment())

    from mukoe.evaluation.episodes import EvaluationConfig, evaluate, summary
    from mukoe.evaluation.evaluation_files import evaluation_table, write_evaluation
    from mukoe.evaluation.players import Reference, open_agent
    from mukoe.observability.counted_progress import CountedProgress

    config = EvaluationConfig(
        episodes=EPISODES.value,
        num_envs=NUM_ENVS.value,
        seed=SEED.value,
        opponent=OPPONENT.value,
        opponent_simulations=OPPONENT_SIMULATIONS.value,
        opening_moves=OPENING_MOVES.value,
    )
    reference = Reference(Path(WORKDIR.value), BEST.value, STEP.value)
    run = open_agent(reference, SIMULATIONS.value)
    with CountedProgress("evaluating", config.episodes) as progress:
        evaluation = evaluate(run, config, lambda _: progress.add())
    path = write_evaluation(evaluation, Path(OUTPUT.value or run.workdir))
    print(evaluation_table(evaluation))
    print(f"\nepisodes: {path}")
    print(json.dumps(summary(evaluation)))


if __name__ == "__main__":
    run_main(main)
