"""Exchange between actor threads and the learner: parameters one way, rollouts the other.

In a round every thread acts with the same parameters, and the learner then takes the rollouts of
all threads. With staleness `s` the parameters of round `k` are those after round `k - s - 1`, so
they do not depend on the speed of the machine. No thread is more than `s` rounds ahead of the
learner, and at most `s + 1` rounds wait.

    staleness 0    actors   0     1     2          staleness 1    actors   0 1   2   3   4
                   learner    0     1     2                       learner    0   1   2   3
"""

import threading
from collections.abc import Mapping
from typing import Generic, TypeVar

Parameters = TypeVar("Parameters")
Work = TypeVar("Work")


class ClosedError(Exception):
    """Error of a wait in a closed exchange."""


class Exchange(Generic[Parameters, Work]):
    """Exchange of parameters and rollouts between actor threads and learner, by round.

    `close` interrupts every wait.

    rounds_taken: number of rounds whose rollouts the learner has taken.
    """

    def __init__(self, num_threads: int, staleness: int):
        """Opens the exchange; the first round starts when its parameters are published.

        Args:
          num_threads: number of actor threads.
          staleness: rounds that they may be ahead of the learner.
        """
        self._num_threads = num_threads
        self._staleness = staleness
        self._changed = threading.Condition()
        self._closed = False
        self.rounds_taken = 0
        # By the number of rounds from which they were learned.
        self._parameters: dict[int, Parameters] = {}
        # By round, then by thread.
        self._work: dict[int, dict[int, Work]] = {}

    def publish(self, rounds: int, parameters: Parameters) -> None:
        """Publishes the parameters after `rounds` rounds; 0 for the initial ones."""
        with self._changed:
            self._parameters[rounds] = parameters
            # No thread that has yet to start a round needs older ones.
            for old in [r for r in self._parameters if r < rounds - self._staleness]:
                del self._parameters[old]
            self._changed.notify_all()

    def parameters(self, round_index: int) -> Parameters:
        """Waits for the parameters of a round, and returns them.

        Raises:
          ClosedError: the exchange was closed.
        """
        rounds = max(0, round_index - self._staleness)
        with self._changed:
            self._changed.wait_for(lambda: self._closed or rounds in self._parameters)
            self._raise_if_closed()
            return self._parameters[rounds]

    def put(self, round_index: int, thread: int, work: Work) -> None:
        """Adds the rollout of a thread in a round."""
        with self._changed:
            self._work.setdefault(round_index, {})[thread] = work
            assert len(self._work) <= self._staleness + 1, "a thread ran ahead of the learner"
            self._changed.notify_all()

    def take(self, round_index: int) -> list[Work]:
        """Waits for the rollouts of all threads in a round, and returns them by thread.

        Raises:
          ClosedError: the exchange was closed.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self._closed or len(self._work.get(round_index, ())) == self._num_threads
            )
            self._raise_if_closed()
            work: Mapping[int, Work] = self._work.pop(round_index)
            self.rounds_taken += 1
        return [work[thread] for thread in range(self._num_threads)]

    def close(self) -> None:
        """Interrupts every wait, present and future."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _raise_if_closed(self) -> None:
        if self._closed:
            raise ClosedError
