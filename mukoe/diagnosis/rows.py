"""Stored rows beside the transitions that the environment returned."""

import jax
import numpy as np

from mukoe.diagnosis.finding import Finding
from mukoe.diagnosis.subject import Subject
from mukoe.nests import take
from mukoe.types import Nest, Row, split_legal_actions

_CHECK = "rows are the environment's"
_TABLE_ROWS = 12


def check_rows(subject: Subject) -> Finding:
    """Compares reward and discount of every stored row with those of its transition.

    A row belongs to the transitions of equal observation and action.
    """
    rows = jax.tree.map(np.asarray, subject.sample.rows)
    features = split_legal_actions(rows.observation)[0]
    num_rows = jax.tree.leaves(features)[0].shape[1]
    outcomes: dict[bytes, set[tuple[float, float]]] = {}
    for transition in (t for stream in subject.transitions for t in stream):
        key = _key(transition.observation, transition.action)
        outcomes.setdefault(key, set()).add(_outcome(transition.reward, transition.discount))
    compared = wrong = 0
    # A sample has the observations that the loss reads, and all other columns of more rows.
    for b, t in zip(*np.nonzero(rows.mask[:, :num_rows] > 0), strict=True):
        possible = outcomes.get(_key(take(features, b, t), rows.action[b, t]))
        if possible is not None:
            compared += 1
            wrong += _outcome(rows.reward[b, t], rows.discount[b, t]) not in possible
    table = episode_table(rows)
    if not compared:
        return Finding(_CHECK, "unknown", "no row of the batch was recorded here", table)
    if wrong:
        return Finding(
            _CHECK,
            "fault",
            f"{wrong} of {compared} rows have another reward or discount than their transition: "
            "look at the adder and at wrappers of the environment",
            table,
        )
    return Finding(
        _CHECK, "ok", f"reward and discount of {compared} rows equal their transitions", table
    )


def episode_table(rows: Row) -> list[list[str]]:
    """Returns the rows of the sequence with the most rewards as a table."""
    rewarded = np.count_nonzero(rows.reward * (rows.mask > 0), axis=1)
    b = int(np.argmax(rewarded))
    value = rows.extras.get("search_value")
    table = [["row", "action", "reward", "discount", "mask", "search value"]]
    for t in range(min(rows.mask.shape[1], _TABLE_ROWS)):
        table.append(
            [
                str(t),
                np.array2string(rows.action[b, t], precision=2),
                f"{rows.reward[b, t]:.3g}",
                f"{rows.discount[b, t]:g}",
                f"{rows.mask[b, t]:g}",
                "" if value is None else f"{value[b, t]:.3g}",
            ]
        )
    return table


def _key(observation: Nest, action: np.ndarray) -> bytes:
    parts = [np.ascontiguousarray(leaf).tobytes() for leaf in jax.tree.leaves(observation)]
    return b"".join([*parts, np.asarray(action, np.float32).tobytes()])


def _outcome(reward: float, discount: float) -> tuple[float, float]:
    return round(float(reward), 4), float(discount)
