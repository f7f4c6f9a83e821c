"""Prefetching of samples in a thread."""

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

Source = TypeVar("Source")
Prepared = TypeVar("Prepared")

_POLL_SECONDS = 0.2


class Prefetcher(Generic[Source, Prepared]):
    """Iterator with up to `size` items prepared ahead of time.

    An error of the source is raised by `next`. `close` ends both sides: a waiting `next`
    raises StopIteration within a fraction of a second, even if the source is blocked.
    """

    def __init__(self, source: Iterator[Source], prepare: Callable[[Source], Prepared], size: int):
        self._source = source
        self._prepare = prepare
        self._ready: queue.Queue[Prepared] = queue.Queue(size)
        self._closed = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._fill, name="prefetch", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[Prepared]:
        return self

    def __next__(self) -> Prepared:
        while not self._closed.is_set():
            try:
                return self._ready.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                if self._error is not None:
                    raise self._error from None
                if not self._thread.is_alive() and self._ready.empty():
                    break
        raise StopIteration

    def close(self) -> None:
        """Ends the iteration; the thread ends after its current item."""
        self._closed.set()

    def _fill(self) -> None:
        try:
            for item in self._source:
                self._put(self._prepare(item))
                if self._closed.is_set():
                    return
        except BaseException as error:  # raised in the consumer
            self._error = error

    def _put(self, item: Prepared) -> None:
        while not self._closed.is_set():
            try:
                return self._ready.put(item, timeout=_POLL_SECONDS)
            except queue.Full:
                continue
