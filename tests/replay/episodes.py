"""Small episodes whose numbers encode their positions, and their expected items."""

from collections.abc import Sequence
from typing import Any

import dm_env
import jax
import numpy as np
from dm_env import specs

from mukoe.replay.declaration import ReplayDeclaration, row_spec
from mukoe.types import EnvironmentSpec, Row

SPEC = EnvironmentSpec(
    observations=specs.Array((3,), np.float32, "observation"),
    actions=specs.DiscreteArray(1000),
    rewards=specs.Array((), np.float32, "reward"),
    discounts=specs.BoundedArray((), np.float32, 0.0, 1.0, "discount"),
)
EXTRAS = {
    "search_policy": specs.Array((2,), np.float32, "search_policy"),
    "search_value": specs.Array((), np.float32, "search_value"),
}
ROW_SPEC = row_spec(SPEC, EXTRAS)


def declare(**changes: Any) -> ReplayDeclaration:
    """A small uniform declaration."""
    fields: dict[str, Any] = {"sequence_length": 4, "history": 2, "capacity": 1000}
    fields |= {"min_size": 1, "batch_size": 64}
    return ReplayDeclaration(**(fields | changes))


def observation(stream: int, episode: int, t: int) -> np.ndarray:
    return np.array([stream + 1, episode + 1, t + 1], np.float32)  # Never zero, as padding is.


def extras(stream: int, episode: int, t: int) -> dict[str, np.ndarray]:
    policy = np.array([0.25 + t, 0.75 + episode], np.float32)
    return {"search_policy": policy, "search_value": np.float32(1000 * episode + t + 0.5)}


def reward(episode: int, t: int) -> float:
    """`r_{t+1}`, what action `t` led to."""
    return 10.0 * episode + t + 1


def steps(stream: int, episode: int, length: int, truncated: bool = False) -> list[tuple]:
    """The calls that record an episode: the first timestep, then the arguments of each add."""
    calls: list[tuple] = [(dm_env.restart(observation(stream, episode, 0)),)]
    for t in range(length):
        last = t == length - 1
        timestep = dm_env.TimeStep(
            dm_env.StepType.LAST if last else dm_env.StepType.MID,
            reward(episode, t),
            0.0 if last and not truncated else 1.0,
            observation(stream, episode, t + 1),
        )
        final = extras(stream, episode, length) if last else None
        calls.append((t + 1, timestep, extras(stream, episode, t), final))
    return calls


def play(adder: Any, call: tuple) -> None:
    if len(call) == 1:
        adder.add_first(*call)
    else:
        adder.add(*call)


def record(adder: Any, stream: int, episode: int, length: int, truncated: bool = False) -> None:
    for call in steps(stream, episode, length, truncated):
        play(adder, call)


def expected_items(
    stream: int, episode: int, length: int, history: int, size: int, truncated: bool = False
) -> list[Row]:
    """The items of an episode, row by row from the words of the contract."""

    def row(t: int) -> Row:
        if t < 0 or t > length:
            zeros = {"search_policy": np.zeros(2, np.float32), "search_value": np.float32(0)}
            return Row(np.zeros(3, np.float32), 0, 0.0, 0.0, 0.0, zeros)
        seen, search = observation(stream, episode, t), extras(stream, episode, t)
        if t == length:
            return Row(seen, 0, 0.0, 0.0, 0.0, search)
        discount = 0.0 if t == length - 1 and not truncated else 1.0
        return Row(seen, t + 1, reward(episode, t), discount, 1.0, search)

    starts = [[row(t) for t in range(start - history, start + size)] for start in range(length)]
    return [stack(rows) for rows in starts]


def only_observed(item: Row, rows: int) -> Row:
    """An item with the observations of its first rows alone."""
    return item._replace(observation=item.observation[:rows])


def stack(rows: Sequence[Row]) -> Row:
    return jax.tree.map(lambda *leaves: np.stack(leaves), *rows)


def as_key(item: Row) -> bytes:
    """The bytes of an item, to compare whole items."""
    leaves = jax.tree.leaves(item)
    return b"".join(np.asarray(leaf, np.float64).tobytes() for leaf in leaves)


def items_of(rows: Row) -> list[Row]:
    """Splits `[B, T, ...]` into `B` items."""
    count = len(rows.mask)
    return [jax.tree.map(lambda leaf, b=b: leaf[b], rows) for b in range(count)]
