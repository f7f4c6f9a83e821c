"""Binary tree of sums: samples an index in proportion to its weight in O(log n)."""

import numpy as np


class SumTree:
    """Weights of `size` leaves, float64, set and sampled in batches.

    Node 1 is the root, nodes `2i` and `2i + 1` are the children of `i`. A sum is always
    recomputed from its two children, so that the tree depends on its leaves alone and not on
    the order in which they were set, and no rounding error accumulates.
    """

    def __init__(self, size: int):
        self._size = size
        self._depth = max(size - 1, 1).bit_length()
        self._first_leaf = 1 << self._depth
        self._nodes = np.zeros(2 * self._first_leaf, np.float64)
        # None after a change of the weights.
        self._largest: float | None = 0.0

    @property
    def total(self) -> float:
        """The sum of all weights."""
        return float(self._nodes[1])

    @property
    def largest(self) -> float:
        """The largest weight, computed once after each change of the weights."""
        if self._largest is None:
            self._largest = float(self.weights.max())
        return self._largest

    @property
    def weights(self) -> np.ndarray:
        """The weights of the leaves, `[size]` (a view)."""
        return self._nodes[self._first_leaf : self._first_leaf + self._size]

    def set(self, indices: np.ndarray, weights: np.ndarray) -> None:
        """Sets the weights of leaves.

        Args:
          indices: indices `[N]` int, in `0 .. size - 1`. The last weight of a repeated index holds.
          weights: weights `[N]`, finite and not negative.

        Raises:
          ValueError: if a weight is negative or not finite.
        """
        if not (np.isfinite(weights).all() and (np.asarray(weights) >= 0).all()):
            raise ValueError("the weights of a sum tree must be finite and not negative")
        nodes = np.asarray(indices, np.int64) + self._first_leaf
        self._nodes[nodes] = weights
        self._largest = None
        for _ in range(self._depth):
            nodes = nodes >> 1
            left = nodes << 1
            self._nodes[nodes] = self._nodes[left] + self._nodes[left + 1]

    def sample(self, uniforms: np.ndarray) -> np.ndarray:
        """Samples leaves in proportion to their weights.

        Args:
          uniforms: uniform random numbers `[N]` in `[0, 1)`.

        Returns:
          Indices `[N]` int64: the first leaf at which the running sum of the weights exceeds
          `uniform * total`; never a leaf of weight 0.

        Raises:
          ValueError: if all weights are 0.
        """
        if self.total <= 0:
            raise ValueError("a sum tree whose weights are all 0 cannot be sampled")
        targets = np.asarray(uniforms, np.float64) * self.total
        nodes = np.ones(len(targets), np.int64)
        for _ in range(self._depth):
            nodes = nodes << 1
            left = self._nodes[nodes]
            # Rounding may lift a target to the sum of both children: stay where weight is.
            right = (targets >= left) & (self._nodes[nodes + 1] > 0)
            targets = targets - left * right
            nodes = nodes + right
        return nodes - self._first_leaf
