"""Games and decisions as JSON for the page of the browser."""

from typing import Any

import numpy as np

from mukoe.viewing.board import Board
from mukoe.viewing.board_game import BoardGame
from mukoe.viewing.inspected_agent import Decision


def describe_game(name: str, game: BoardGame) -> dict[str, Any]:
    """Returns a game as a dict of the types of JSON.

    `stones` are rows of 0 (empty), 1 (first player) and 2 (second player). The first `opening` of
    the `moves` are random. `view` is the agent's decision for the player to move, `agent` its
    decision at its own last move. Each is None, or has the entries `value`, `line` (names of the
    actions) and `actions`, whose entries are `action`, `name`, `prior`, `policy`, `visits` and
    `q` (None for unvisited actions).
    """
    board = game.board
    return {
        "game": name,
        "rows": board.rows,
        "columns": board.columns,
        "by_column": board.by_column,
        "skewed": board.skewed,
        "names": list(board.names),
        "stones": game.stones.tolist(),
        "seat": game.seat,
        "seat_to_move": game.seat_to_move,
        "legal": game.legal_actions,
        "over": game.over,
        "result": game.result,
        "seed": game.seed,
        "opening": game.opening_moves,
        "moves": [{"seat": seat, "name": board.names[action]} for seat, action in game.moves],
        "view": _describe_decision(game.decision, board),
        "agent": _describe_decision(game.agent_decision, board),
    }


def _describe_decision(decision: Decision | None, board: Board) -> dict[str, Any] | None:
    if decision is None:
        return None
    tree, policy = decision.tree, decision.policy
    actions = []
    if tree is not None and policy is not None:
        actions = [
            {
                "action": int(action),
                "name": board.names[action],
                "prior": float(tree.priors[0, action]),
                "policy": float(policy[action]),
                "visits": int(tree.child_visits[0, action]),
                "q": None if np.isnan(q := tree.qvalues[0, action]) else float(q),
            }
            for action in np.flatnonzero(tree.legal_actions)
        ]
    return {
        "value": decision.value,
        "line": [board.names[action] for action in decision.line],
        "actions": actions,
    }
