"""Share of optimal moves by ply, where a solver knows them: tic-tac-toe."""

import numpy as np

from mukoe.diagnosis.xray.results import Figure, Section, Series, estimate_of_groups
from mukoe.diagnosis.xray.trajectories import Trajectories
from mukoe.environments.pgx.exact_solver import board_index, solve_tic_tac_toe
from mukoe.types import split_legal_actions

SOLVED_GAME = "tic_tac_toe"


def measure_optimal_moves(random: Trajectories) -> Section:
    """Compares decisions with the solution, in positions after random moves.

    Args:
      random: steps of random actions of tic-tac-toe.
    """
    features, _ = split_legal_actions(random.observation)
    cells = features.reshape(*features.shape[:2], 9, 2).astype(int)
    best = solve_tic_tac_toe().best_actions[board_index(cells[..., 0], cells[..., 1])]
    plies = cells.sum(axis=(2, 3))
    # Where every legal move is optimal, the decision is no evidence.
    counts = random.acted & (best.sum(axis=-1) < 9 - plies)
    series = []
    for name, label in (("prior_action", "prior"), ("search_action", "search")):
        actions = random.search[name].astype(int)
        optimal = np.take_along_axis(best, actions[..., None], axis=-1)[..., 0]
        found = [ply for ply in range(9) if (counts & (plies == ply)).any()]
        estimates = []
        for ply in found:
            chosen = counts & (plies == ply)
            estimates.append(estimate_of_groups(optimal[chosen], random.streams[chosen]))
        series.append(Series(label, [float(ply) for ply in found], estimates))
    text = (
        f"{counts.sum():,} positions after random moves in which some legal move is not optimal, "
        "beside the exact solution."
    )
    figure = Figure("optimal_moves", "Share of optimal moves", "stones on the board", series)
    return Section("optimal", "Optimal moves", text, [figure])
