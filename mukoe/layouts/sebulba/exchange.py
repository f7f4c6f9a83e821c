"""Where actor threads get parameters, and the learner gets what they did, round by round.

In a round every thread acts once with the same parameters and the learner then takes what
all of them did. With a staleness `s` the parameters of round `k` are those after round
`k - s - 1`: which parameters act does not depend on the speed of the machine, no thread can
be more than `s` rounds ahead of the learner, and no more than `s + 1` rounds ever wait.

    staleness 0    actors   0     1     2          staleness 1    actors   0 1   2   3   4
                   learner    0     1     2                       learner    0   1   2   3
"""

import threading
from collections.abc import Mapping
from typing import Generic, TypeVar

Parameters = TypeVar("Parameters")
Work = TypeVar("Work")


class ClosedError(Exception):
    """The run ends."""


class Exchange(Generic[Parameters, Work]):
    """Parameters to threads and their work to the learner; every wait ends with `close`."""

    def __init__(self, num_threads: int, staleness: int):
        """Waits for the parameters of round 0.

        Args:
          num_threads: that act.
          staleness: rounds that they may be ahead of the learner.
        """
        self._num_threads = num_threads
        self._staleness = staleness
        self._changed = threading.Condition()
        self._closed = False
        # By the number of rounds that the learner had taken.
        self._parameters: dict[int, Parameters] = {}
        # By round: what each thread has done.
        self._work: dict[int, dict[int, Work]] = {}

    def publish(self, rounds: int, parameters: Parameters) -> None:
        """Gives the parameters after so many rounds, 0 before the first."""
        with self._changed:
            self._parameters[rounds] = parameters
            # Who has not begun round `rounds` needs nothing older than that.
            for old in [r for r in self._parameters if r < rounds - self._staleness]:
                del self._parameters[old]
            self._changed.notify_all()

    def parameters(self, round_index: int) -> Parameters:
        """Waits for the parameters with which a round is acted.

        Raises:
          ClosedError: the run ends.
        """
        rounds = max(0, round_index - self._staleness)
        with self._changed:
            self._changed.wait_for(lambda: self._closed or rounds in self._parameters)
            self._raise_if_closed()
            return self._parameters[rounds]

    def put(self, round_index: int, thread: int, work: Work) -> None:
        """Hands over what a thread did in a round."""
        with self._changed:
            self._work.setdefault(round_index, {})[thread] = work
            assert len(self._work) <= self._staleness + 1, "a thread ran ahead of the learner"
            self._changed.notify_all()

    def take(self, round_index: int) -> list[Work]:
        """Waits for what all threads did in a round, and returns it in their order.

        Raises:
          ClosedError: the run ends.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self._closed or len(self._work.get(round_index, ())) == self._num_threads
            )
            self._raise_if_closed()
            work: Mapping[int, Work] = self._work.pop(round_index)
        return [work[thread] for thread in range(self._num_threads)]

    @property
    def waiting(self) -> int:
        """What threads did that the learner has not yet taken."""
        with self._changed:
            return sum(len(work) for work in self._work.values())

    def close(self) -> None:
        """Ends all waiting."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _raise_if_closed(self) -> None:
        if self._closed:
            raise ClosedError
