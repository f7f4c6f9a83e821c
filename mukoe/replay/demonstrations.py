"""Demonstrations: stored episodes that are sampled beside those of the actors.

Each sample holds a fixed number of demonstrations, before the sequences of the actors. Both are
drawn from tables of their own, with their own priorities. The probabilities of such a sample are
multiples of the uniform one of each table, so that importance weights do not depend on the sizes
of the tables.
"""

from collections.abc import Sequence
from typing import Literal

import jax
import numpy as np

from mukoe.errors import UserError
from mukoe.types import Row, Sample


def labelled(sample: Sample, demonstrated: bool) -> Sample:
    """Returns a sample with its mask of demonstrations."""
    mask = np.full(len(sample.probabilities), float(demonstrated), np.float32)
    return sample._replace(demonstrated=mask)


def mixed(demonstrations: Sample, acted: Sample) -> Sample:
    """Returns one sample of demonstrations, which come first, and sequences of the actors."""
    return jax.tree.map(
        lambda *leaves: np.concatenate(leaves),
        labelled(demonstrations, True),
        labelled(acted, False),
    )


def episode_return(episode: Row) -> float:
    """Returns the undiscounted sum of the rewards of an episode."""
    return float(np.sum(episode.reward * episode.mask))


def kept_episodes(
    episodes: Sequence[Row], capacity: int | None, remover: Literal["oldest", "worst"]
) -> list[int]:
    """Returns the indices of the episodes that are kept in a table of limited size, ascending.

    Whole episodes are removed.

    Args:
      episodes: rows `[L+1, ...]` of each episode, oldest first.
      capacity: largest number of steps; None for no limit.
      remover: removal of the oldest episodes first, or of those with the lowest returns, among
        equal ones the oldest.

    Raises:
      UserError: the episode that would be kept last is longer than the capacity.
    """
    lengths = np.array([len(episode.mask) - 1 for episode in episodes])
    order = np.arange(len(episodes))
    if remover == "worst":
        order = np.argsort([episode_return(episode) for episode in episodes], kind="stable")
    excess = lengths.sum() - (lengths.sum() if capacity is None else capacity)
    removed = np.searchsorted(np.cumsum(lengths[order]), excess) + 1 if excess > 0 else 0
    if removed == len(episodes):
        raise UserError(
            f"agent.replay.demonstration_capacity {capacity} is below the {lengths[order[-1]]} "
            "steps of one episode: set it to none, or raise it"
        )
    return sorted(order[removed:].tolist())
