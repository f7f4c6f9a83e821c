"""Episodes as rows in order: read from the state of a replay, and added to another replay."""

from collections.abc import Iterator, Mapping

import dm_env
import jax
import numpy as np

from mukoe.errors import UserError
from mukoe.replay.handle import Adder
from mukoe.replay.in_process.row_pool import PADDING
from mukoe.types import Row

_NO_ROW = -1


def stored_episodes(state: Mapping[str, np.ndarray], row_spec: Row) -> Iterator[Row]:
    """Yields the episodes in the state of a replay, oldest first.

    An episode of `L` steps has rows `[L+1, ...]`; the last row holds the final observation, the
    extras there, and mask 0. An episode whose first rows have left replay begins with the first
    row that is left; one that was running ends, truncated, at its last complete row.

    Args:
      state: result of `InProcessReplay.state_dict`.
      row_spec: specs of a row of that replay.

    Raises:
      UserError: the arrays do not have the shapes and types of `row_spec`, or observations,
        actions, rewards or discounts are not finite.
    """
    leaves = _leaves(state, row_spec)
    structure = jax.tree.structure(row_spec)
    mask = jax.tree.unflatten(structure, leaves).mask
    for number, slots in enumerate(_chains(_items(state), len(mask))):
        episode = jax.tree.unflatten(structure, [leaf[slots] for leaf in leaves])
        if episode.mask[-1] != 0:
            episode = _truncated(episode)
        check_finite(episode, number)
        if len(slots) > 1:
            yield episode


def add_episode(adder: Adder, episode: Row) -> None:
    """Adds an episode of `L` steps to a replay.

    Args:
      adder: adder without a running episode.
      episode: rows `[L+1, ...]`, the last of them with the final observation.
    """
    length = len(episode.mask) - 1
    leaves, structure = jax.tree.flatten((episode.observation, dict(episode.extras)))
    at = [structure.unflatten([leaf[t] for leaf in leaves]) for t in range(length + 1)]
    adder.add_first(dm_env.TimeStep(dm_env.StepType.FIRST, None, None, at[0][0]))
    for t in range(length):
        is_last = t + 1 == length
        step_type = dm_env.StepType.LAST if is_last else dm_env.StepType.MID
        observation, final_extras = at[t + 1]
        timestep = dm_env.TimeStep(step_type, episode.reward[t], episode.discount[t], observation)
        adder.add(episode.action[t], timestep, at[t][1], final_extras if is_last else None)


def _leaves(state: Mapping[str, np.ndarray], row_spec: Row) -> list[np.ndarray]:
    """Returns the leaves of the rows, each `[rows, ...]`."""
    specs = jax.tree.leaves(row_spec)
    stored = [state.get(f"pool/rows_{index}") for index in range(len(specs))]
    leaves = [leaf for leaf in stored if leaf is not None]
    fits = len(leaves) == len(specs) and f"pool/rows_{len(specs)}" not in state
    for leaf, spec in zip(leaves, specs, strict=False):
        fits = fits and (leaf.shape[1:], leaf.dtype) == (tuple(spec.shape), np.dtype(spec.dtype))
    if not fits:
        raise UserError("the stored rows do not fit the configuration beside them")
    return leaves


def _items(state: Mapping[str, np.ndarray]) -> np.ndarray:
    """Returns the slots `[N, T]` of the items in replay, oldest first."""
    oldest, inserted, _ = state["counts"].tolist()
    items = state["items"]
    return items[np.arange(oldest, inserted) % max(len(items), 1)]


def _chains(items: np.ndarray, num_rows: int) -> Iterator[list[int]]:
    """Yields the slots of the rows of each episode, in order of its first item."""
    before, after = items[:, :-1].ravel(), items[:, 1:].ravel()
    both = (before != PADDING) & (after != PADDING)
    following = np.full(num_rows, _NO_ROW)
    following[before[both]] = after[both]
    is_first = np.zeros(num_rows, bool)
    is_first[items.ravel()] = True
    is_first[after[both]] = False
    is_first[PADDING] = False
    first_item = np.full(num_rows, len(items))
    np.minimum.at(first_item, items, np.arange(len(items))[:, None])
    heads = np.flatnonzero(is_first)
    successors = following.tolist()
    for head in heads[np.argsort(first_item[heads], kind="stable")].tolist():
        chain = [head]
        while (slot := successors[chain[-1]]) != _NO_ROW:
            chain.append(slot)
        yield chain


def _truncated(episode: Row) -> Row:
    """Returns the episode with its last row as the final observation."""
    last = np.arange(len(episode.mask)) == len(episode.mask) - 1

    def clear(leaf: np.ndarray) -> np.ndarray:
        return np.where(last.reshape(-1, *[1] * (leaf.ndim - 1)), 0, leaf).astype(leaf.dtype)

    return Row(
        observation=episode.observation,
        action=clear(episode.action),
        reward=clear(episode.reward),
        discount=clear(episode.discount),
        mask=clear(episode.mask),
        extras=episode.extras,
    )


def check_finite(episode: Row, number: int) -> None:
    """Checks that all but the extras of an episode is finite."""
    for name in ("observation", "action", "reward", "discount"):
        for leaf in jax.tree.leaves(getattr(episode, name)):
            good = np.isfinite(leaf).reshape(len(leaf), -1).all(axis=1)
            if not good.all():
                step = int(np.argmin(good))
                raise UserError(f"the {name} of episode {number}, step {step}, is not finite")
