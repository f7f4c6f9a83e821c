"""Samples of the actors' replay and of demonstrations, in fixed shares."""

from collections.abc import Callable, Iterator

import numpy as np

from mukoe.replay.demonstrations import mixed
from mukoe.replay.handle import Adder, never
from mukoe.replay.in_process.replay import InProcessReplay
from mukoe.types import Sample


class MixedReplay:
    """Replay of the actors with a table of demonstrations, a `mukoe.replay.handle.Replay`."""

    def __init__(self, acted: InProcessReplay, demonstrations: InProcessReplay):
        """Takes the tables, whose batch sizes are their shares of a sample.

        Args:
          acted: replay of the actors, to which the adders add.
          demonstrations: filled replay of the demonstrations.
        """
        self._acted = acted
        self._demonstrations = demonstrations

    def sample(self) -> Sample:
        """Samples demonstrations, which come first, and sequences of the actors.

        Raises:
          RuntimeError: a table has fewer than `min_size` items.
        """
        return mixed(*(_relative_sample(table) for table in (self._demonstrations, self._acted)))

    def make_dataset(self) -> Iterator[Sample]:
        """Returns an endless iterator over samples."""
        return iter(self.sample, None)

    def make_adder(self, should_stop: Callable[[], bool] = never) -> Adder:
        """Makes the adder of the next stream of the actors' replay."""
        return self._acted.make_adder(should_stop)

    def update_priorities(self, keys: np.ndarray, priorities: np.ndarray) -> None:
        """Sets the priorities `[B]` of the items of a sample, with its keys `[B]` in its order."""
        count = self._demonstrations.declaration.batch_size
        self._demonstrations.update_priorities(keys[:count], priorities[:count])
        self._acted.update_priorities(keys[count:], priorities[count:])


def _relative_sample(table: InProcessReplay) -> Sample:
    """Returns a sample with probabilities over that of a uniform draw."""
    sample = table.sample()
    return sample._replace(probabilities=sample.probabilities * np.float32(table.size))
