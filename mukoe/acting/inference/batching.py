"""Batching of requests: batch sizes, queue, and memory of a batch."""

import threading
import time
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from dm_env import specs

from mukoe.acting.inference.requests import Request
from mukoe.acting.inference.sessions import Session


def bucket_sizes(max_batch_size: int, smallest: int = 1) -> list[int]:
    """Returns the compiled batch sizes: `smallest`, doubled until the maximum, and that."""
    sizes = [min(smallest, max_batch_size)]
    while sizes[-1] * 2 < max_batch_size:
        sizes.append(sizes[-1] * 2)
    return sizes if sizes[-1] == max_batch_size else [*sizes, max_batch_size]


class BatchSizes:
    """The compiled batch sizes, and the choice among them by measured cost."""

    def __init__(self, sizes: Sequence[int]):
        """Stores the sizes; their costs are unknown at first.

        Args:
          sizes: batch sizes in ascending order.

        Raises:
          ValueError: there are no sizes.
        """
        if not sizes:
            raise ValueError("there must be a batch size")
        self.all = list(sizes)
        self._seconds: dict[int, float] = {}

    def measured(self, size: int, seconds: float) -> None:
        """Stores the cost in seconds of a batch of a compiled size."""
        self._seconds[size] = seconds

    def at_least(self, environments: int) -> int:
        """Returns the smallest size for a number of environments."""
        return next(size for size in self.all if size >= environments)

    def best(self, waiting: int) -> int:
        """Returns the size with the highest throughput in environments per second.

        If the cost grows with the size, as on a CPU, that is a smaller batch without padding;
        otherwise, as on an accelerator, a batch for all waiting environments.

        Args:
          waiting: number of waiting environments.
        """
        waiting = min(waiting, self.all[-1])
        padded = self.at_least(waiting)
        full = max((size for size in self.all if size <= waiting), default=padded)
        if not {full, padded} <= self._seconds.keys():
            return padded
        is_faster = full * self._seconds[padded] > waiting * self._seconds[full]
        return full if is_faster else padded


class BatchQueue:
    """Queue of requests from many threads, from which one thread takes batches."""

    def __init__(self, sizes: BatchSizes, deadline_seconds: float, expected: Callable[[], int]):
        """Makes an empty queue.

        Args:
          sizes: compiled batch sizes.
          deadline_seconds: longest wait of the oldest request for others, on an idle device.
          expected: function that returns the number of environments whose requests may follow
            soon.
        """
        self._sizes = sizes
        self._max_batch_size = sizes.all[-1]
        self._deadline_seconds = deadline_seconds
        self._expected = expected
        self._pending: dict[Session, Request] = {}
        self._size = 0
        self._under_way = 0
        # Number of environments at which the thread in `take` is woken.
        self._wanted = 1
        self._changed = threading.Condition()
        self._closed = False

    def add(self, request: Request) -> None:
        """Adds a request; an older request of the same session, which was abandoned, fails.

        Raises:
          TimeoutError: the queue is closed.
        """
        with self._changed:
            if self._closed:
                raise TimeoutError("the inference server is stopping")
            self._drop(request.session)
            self._pending[request.session] = request
            self._size += request.size
            request.session.is_waiting = True
            request.session.last_used = request.arrived
            if self._size >= self._wanted:
                self._changed.notify_all()

    def drop(self, session: Session) -> None:
        """Fails the request of a closed session."""
        with self._changed:
            self._drop(session)

    def take(self, wait_seconds: float) -> list[Request]:
        """Returns the next batch; empty if there is none within `wait_seconds`.

        A full batch is returned at once. While the device computes the batch before, the next
        one fills. On an idle device a batch is returned as soon as it holds all expected
        environments, or its oldest request has waited for the deadline.
        """
        with self._changed:
            end = time.monotonic() + wait_seconds
            self._wait(end, wanted=1)
            while self._under_way and self._size < self._max_batch_size:
                if not self._wait(end, wanted=self._max_batch_size):
                    return []
            if self._pending:
                oldest = next(iter(self._pending.values()))
                self._wait(oldest.arrived + self._deadline_seconds, self._size + self._expected())
            return self._take()

    def finished(self) -> None:
        """Records that the device has computed a batch."""
        with self._changed:
            self._under_way -= 1
            self._changed.notify_all()

    def close(self) -> None:
        """Fails pending requests; later ones are refused."""
        with self._changed:
            self._closed = True
            for request in self._pending.values():
                request.fail("the inference server stopped")
            self._pending.clear()
            self._size = 0

    def _wait(self, end: float, wanted: int) -> bool:
        """Waits for `wanted` environments or the end of a batch; returns False at the end time."""
        self._wanted = min(wanted, self._max_batch_size)
        under_way = self._under_way
        while self._size < self._wanted and self._under_way == under_way:
            remaining = end - time.monotonic()
            if remaining <= 0:
                return False
            self._changed.wait(remaining)
        return True

    def _take(self) -> list[Request]:
        batch: list[Request] = []
        size, limit = 0, self._sizes.best(self._size)
        for request in self._pending.values():
            if size + request.size > (limit if batch else self._max_batch_size):
                break
            size += request.size
            batch.append(request)
        for request in batch:
            del self._pending[request.session]
        self._size -= size
        self._under_way += bool(batch)
        return batch

    def _drop(self, session: Session) -> None:
        old = self._pending.pop(session, None)
        if old is not None:
            self._size -= old.size
            old.fail(f"{session.name} has sent a newer request or lost its session")


class StagingArea:
    """The arrays of one batch on the host, which are reused after its answer."""

    def __init__(self, input_specs: Iterable[specs.Array], sizes: BatchSizes, scratch_slot: int):
        """Allocates the arrays.

        Args:
          input_specs: specs of the flat inputs of one environment.
          sizes: compiled batch sizes.
          scratch_slot: memory slot of padding.
        """
        self._sizes = sizes
        self._scratch_slot = scratch_slot
        self._leaves = [np.zeros((sizes.all[-1], *spec.shape), spec.dtype) for spec in input_specs]
        self._is_first = np.ones(sizes.all[-1], bool)
        self._slots = np.full(sizes.all[-1], scratch_slot, np.int32)

    def fill(self, batch: Sequence[Request]) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
        """Returns leaves, is_first and slots `[N, ...]`; `N` is the smallest size that fits.

        Padding is zero, the first step of an episode, and has the scratch slot.
        """
        end = 0
        for request in batch:
            part = slice(end, end + request.size)
            end = part.stop
            for staged, leaf in zip(self._leaves, request.leaves, strict=True):
                staged[part] = leaf
            self._is_first[part] = request.is_first | request.session.is_blank
            self._slots[part] = request.session.slots
        return self._padded(end, self._sizes.at_least(end))

    def blank(self, size: int) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
        """Returns a batch of padding, for compilation."""
        return self._padded(0, size)

    def _padded(self, end: int, size: int) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
        for staged in self._leaves:
            staged[end:size] = 0
        self._is_first[end:size] = True
        self._slots[end:size] = self._scratch_slot
        return [leaf[:size] for leaf in self._leaves], self._is_first[:size], self._slots[:size]
