"""Games and decisions as JSON for the page of the browser."""

import base64
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from mukoe.viewing.board_game import BoardGame
from mukoe.viewing.inspected_agent import Decision


def describe_game(name: str, game: BoardGame) -> dict[str, Any]:
    """Returns a game as a dict of the types of JSON.

    A game with a board has `stones`, rows of 0 (empty), 1 (first player) and 2 (second player),
    and `rows`, `columns`, `by_column` and `skewed` of `Board`; other games have `picture`, the URL
    of a picture. The first `opening` of the `moves` are random. `view` is the agent's decision
    for the player to move, `agent` its decision at its own last move. Each is None, or has the
    entries `value`, `line` (names of the actions) and `actions`, whose entries are `action`,
    `name`, `prior`, `policy`, `visits` and `q` (see `Decision.qvalues`; None if it
    is not available).
    """
    return {
        "game": name,
        **_describe_position(game),
        "names": game.names,
        "seat": game.seat,
        "seat_to_move": game.seat_to_move,
        "legal": game.legal_actions,
        "over": game.over,
        "result": game.result,
        "seed": game.seed,
        "opening": game.opening_moves,
        "moves": [{"seat": seat, "name": game.names[action]} for seat, action in game.moves],
        "view": _describe_decision(game.decision, game.names),
        "agent": _describe_decision(game.agent_decision, game.names),
    }


def _describe_position(game: BoardGame) -> dict[str, Any]:
    board = game.board
    if board is None:
        return {"picture": picture_url(game.picture)}
    return {
        "rows": board.rows,
        "columns": board.columns,
        "by_column": board.by_column,
        "skewed": board.skewed,
        "stones": game.stones.tolist(),
    }


def picture_url(picture: np.ndarray) -> str:
    """Returns a picture `[H, W, 3]` uint8 as a URL that holds it as PNG."""
    done, file = cv2.imencode(".png", picture[..., ::-1])
    assert done, "a picture of uint8 can be encoded"
    return f"data:image/png;base64,{base64.b64encode(file.tobytes()).decode()}"


def _describe_decision(decision: Decision | None, names: Sequence[str]) -> dict[str, Any] | None:
    if decision is None:
        return None
    tree, policy = decision.tree, decision.policy
    actions = []
    if tree is not None and policy is not None:
        actions = [
            {
                "action": int(action),
                "name": names[action],
                "prior": float(tree.priors[0, action]),
                "policy": float(policy[action]),
                "visits": int(tree.child_visits[0, action]),
                "q": None if np.isnan(q := decision.qvalues[action]) else float(q),
            }
            for action in np.flatnonzero(tree.legal_actions)
        ]
    return {
        "value": decision.value,
        "line": [names[action] for action in decision.line],
        "actions": actions,
    }
