"""Handle of the replay of a run, for actors and the learner."""

from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

import dm_env
import numpy as np

from mukoe.types import Nest, Sample


def never() -> bool:
    """Returns False."""
    return False


class Adder(Protocol):
    """Adder of one environment's steps to replay, with Acme's method names."""

    def add_first(self, timestep: dm_env.TimeStep) -> None: ...

    def add(
        self,
        action: np.ndarray,
        next_timestep: dm_env.TimeStep,
        extras: Mapping[str, Nest],
        final_extras: Mapping[str, Nest] | None = None,
    ) -> None: ...

    def reset(self, timeout_ms: int | None = None) -> None: ...


class Replay(Protocol):
    """Handle of a replay, in this process or of a client of a server."""

    def make_adder(self, should_stop: Callable[[], bool] = never) -> Adder:
        """Makes the adder of one environment.

        Args:
          should_stop: predicate that ends the adder's wait for a replay at its rate limit.
        """

    def make_dataset(self) -> Iterator[Sample]:
        """Makes an endless iterator over samples."""

    def update_priorities(self, keys: np.ndarray, priorities: np.ndarray) -> None:
        """Sets the priorities `[B]` of the items with these keys `[B]`; skips removed items."""


class ClosableDataset(Protocol):
    """Iterator over samples."""

    def __next__(self) -> Sample: ...

    def close(self) -> None:
        """Ends the iteration."""


class SampleWriter(Protocol):
    """Writer of reanalysed samples."""

    def write(self, sample: Sample) -> None:
        """Writes the items of a sample, with their keys and probabilities; waits for room."""

    def close(self) -> None:
        """Closes the connection."""


class SharedReplay(Replay, Protocol):
    """Handle of a replay of several processes, which nodes may reanalyse."""

    def make_reanalyser_dataset(self, batch_size: int) -> ClosableDataset:
        """Makes an endless iterator over samples to reanalyse, of `batch_size` items."""

    def make_reanalysed_writer(self, should_stop: Callable[[], bool] = never) -> SampleWriter:
        """Makes the writer of reanalysed samples.

        Args:
          should_stop: predicate that ends the wait for room.
        """
