"""Requests become batches: when one leaves, and how it lies in memory."""

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


class BatchQueue:
    """Requests of many threads, taken out batch by batch by one."""

    def __init__(self, max_batch_size: int, deadline_seconds: float, expected: Callable[[], int]):
        """Starts empty.

        Args:
          max_batch_size: environments in a batch at most.
          deadline_seconds: that the oldest request of a batch waits for others at most.
          expected: returns how many more environments may ask soon.
        """
        self._max_batch_size = max_batch_size
        self._deadline_seconds = deadline_seconds
        self._expected = expected
        self._pending: dict[Session, Request] = {}
        self._changed = threading.Condition()
        self._closed = False

    def add(self, request: Request) -> None:
        """Takes a request; an older one of the same session, which nobody waits for, fails.

        Raises TimeoutError where the queue is closed.
        """
        with self._changed:
            if self._closed:
                raise TimeoutError("the inference server is stopping")
            self._drop(request.session)
            self._pending[request.session] = request
            request.session.is_waiting = True
            request.session.last_used = request.arrived
            self._changed.notify_all()

    def drop(self, session: Session) -> None:
        """Fails the request of a session that has ended."""
        with self._changed:
            self._drop(session)

    def take(self, wait_seconds: float) -> list[Request]:
        """Returns the next batch, `[]` where nothing has come after `wait_seconds`.

        It leaves when it is full, when every environment that may ask has done so, or when
        its oldest request has waited for the deadline.
        """
        with self._changed:
            if not self._pending:
                self._changed.wait(wait_seconds)
            while self._pending and not self._is_full():
                oldest = next(iter(self._pending.values()))
                remaining = oldest.arrived + self._deadline_seconds - time.monotonic()
                if remaining <= 0:
                    break
                self._changed.wait(remaining)
            batch: list[Request] = []
            size = 0
            for request in self._pending.values():
                size += request.size
                if size > self._max_batch_size:
                    break
                batch.append(request)
            for request in batch:
                del self._pending[request.session]
            return batch

    def close(self) -> None:
        """Fails what is pending, and whatever would come."""
        with self._changed:
            self._closed = True
            for request in self._pending.values():
                request.fail("the inference server stopped")
            self._pending.clear()

    def _is_full(self) -> bool:
        size = sum(request.size for request in self._pending.values())
        return size >= self._max_batch_size or self._expected() <= 0

    def _drop(self, session: Session) -> None:
        old = self._pending.pop(session, None)
        if old is not None:
            old.fail(f"{session.name} has asked anew or lost its session")


class StagingArea:
    """The arrays of one batch on the host; they are free again when it has been answered."""

    def __init__(self, input_specs: Iterable[specs.Array], sizes: Sequence[int], scratch_slot: int):
        """Makes the arrays, once.

        Args:
          input_specs: of the flat inputs of one environment.
          sizes: of the batches, in ascending order.
          scratch_slot: the memory of padding.
        """
        self._sizes = sizes
        self._scratch_slot = scratch_slot
        self._leaves = [np.zeros((sizes[-1], *spec.shape), spec.dtype) for spec in input_specs]
        self._is_first = np.ones(sizes[-1], bool)
        self._slots = np.full(sizes[-1], scratch_slot, np.int32)

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
        size = next(size for size in self._sizes if size >= end)
        return self._padded(end, size)

    def blank(self, size: int) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
        """Returns a batch of padding alone, to compile for."""
        return self._padded(0, size)

    def _padded(self, end: int, size: int) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
        for staged in self._leaves:
            staged[end:size] = 0
        self._is_first[end:size] = True
        self._slots[end:size] = self._scratch_slot
        return [leaf[:size] for leaf in self._leaves], self._is_first[:size], self._slots[:size]
