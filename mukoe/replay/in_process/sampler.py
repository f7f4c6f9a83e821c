"""Sampler of the items of a replay: uniform, or in proportion to a power of their priorities."""

from collections.abc import Sequence

import numpy as np

from mukoe.replay.declaration import ReplayDeclaration
from mukoe.replay.in_process.generator_state import generator_state, set_generator_state
from mukoe.replay.in_process.sum_tree import SumTree


class ItemSampler:
    """Seeded sampler of the places of items, with replacement.

    The items have the keys `oldest .. inserted - 1`, and item `key` has the place
    `key % capacity`.
    """

    def __init__(self, declaration: ReplayDeclaration, seed: int):
        """Initialises the sampler of an empty replay.

        Args:
          declaration: capacity, sampler and exponent of the priorities.
          seed: seed of the samples.
        """
        self._capacity = declaration.capacity
        self._exponent = declaration.priority_exponent
        self._random = np.random.Generator(np.random.Philox(seed))
        self.prioritized = declaration.sampler == "prioritized"
        self._tree = self._empty_tree()
        # Weights of items added or removed since the last update of the tree, by place.
        self._pending: dict[int, float] = {}
        # Ends of consecutive groups of items and their shares of the samples, see `share`.
        self._groups: tuple[np.ndarray, np.ndarray] | None = None

    def draw(self, count: int, oldest: int, inserted: int) -> tuple[np.ndarray, np.ndarray]:
        """Samples places `[count]` of items; returns them and their probabilities `[count]`.

        Args:
          count: number of samples.
          oldest: key of the oldest item.
          inserted: key behind the newest item.
        """
        size = inserted - oldest
        if self._groups is not None:
            return self._draw_of_groups(count, size)
        if self.prioritized:
            self._set_pending()
            if self._tree.total > 0:
                places = self._tree.sample(self._random.random(count))
                return places, self._tree.weights[places] / self._tree.total
        keys = self._random.integers(oldest, inserted, count)
        return keys % self._capacity, np.full(count, 1.0 / size)

    def share(self, ends: Sequence[int], shares: Sequence[float]) -> None:
        """Samples consecutive groups of items with fixed shares, independent of their sizes.

        Args:
          ends: key after the last item of each group, ascending; the first group begins with 0.
          shares: probabilities of the groups, with a sum of 1.
        """
        self._groups = np.asarray(ends), np.asarray(shares, np.float64)

    @property
    def largest_weight(self) -> float:
        """Largest weight of an item; 1 without one."""
        # Pending weights of new items are the largest, too.
        return self._tree.largest or 1.0

    def add(self, place: int, weight: float) -> None:
        """Adds an item."""
        self._pending[place] = weight

    def remove(self, place: int) -> None:
        """Removes an item."""
        self._pending[place] = 0.0

    def weights_of(self, priorities: np.ndarray) -> np.ndarray:
        """Returns the weights of priorities.

        Raises:
          ValueError: a priority is negative or not finite.
        """
        priorities = priorities.astype(np.float64)
        if not (np.isfinite(priorities) & (priorities >= 0)).all():
            raise ValueError("replay: priorities must be finite and not negative")
        return priorities**self._exponent

    def set_weights(self, places: np.ndarray, weights: np.ndarray) -> None:
        """Sets the weights `[N]` of items."""
        self._set_pending()
        self._tree.set(places, weights)

    def state_dict(self, used: int) -> dict[str, np.ndarray]:
        """Returns the state as arrays (copies), with the weights of the first `used` places."""
        self._set_pending()
        return {
            "weights": self._tree.weights[:used].copy(),
            "random": generator_state(self._random),
        }

    def restore(self, weights: np.ndarray, random: np.ndarray) -> None:
        """Restores the arrays of `state_dict`."""
        self._tree = self._empty_tree()
        if self.prioritized:
            self._tree.set(np.arange(len(weights)), weights)
        self._pending.clear()
        set_generator_state(self._random, random)

    def _draw_of_groups(self, count: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Samples as `draw`, with the shares of the groups."""
        assert self._groups is not None
        ends, shares = self._groups
        group = self._random.choice(len(ends), count, p=shares)
        ends, starts = ends[group], np.append(0, ends)[group]
        uniforms = self._random.random(count)
        uniform = starts + (uniforms * (ends - starts)).astype(np.int64)
        if not self.prioritized:
            return uniform, np.full(count, 1.0 / size)
        self._set_pending()
        sums = np.append(0.0, np.cumsum(self._tree.weights))
        low, high = sums[starts], sums[ends]
        if not (high > low).all():
            return uniform, np.full(count, 1.0 / size)
        targets = (low + uniforms * (high - low)) / sums[-1]
        places = np.clip(self._tree.sample(targets), starts, ends - 1)
        within = self._tree.weights[places] / (high - low)
        return places, within * (ends - starts) / size

    def _empty_tree(self) -> SumTree:
        return SumTree(self._capacity if self.prioritized else 1)

    def _set_pending(self) -> None:
        if self._pending:
            count = len(self._pending)
            places = np.fromiter(self._pending.keys(), np.int64, count)
            self._tree.set(places, np.fromiter(self._pending.values(), np.float64, count))
            self._pending.clear()
