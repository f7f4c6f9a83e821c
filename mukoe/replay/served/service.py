"""Server side of a replay of several processes.

Requests that the rate limit holds back wait as futures, oldest first, without a thread each:

    insert   waits while there are more items than `samples_per_insert` allows
    sample   waits while there are too few
    reanalysed items wait while their queue is full

A request that has waited for half a second is answered with what was done of it so far, so that
its sender can react to a stop, and repeat the rest.
"""

import collections
import dataclasses
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent import futures
from typing import Any

import jax
import numpy as np

from mukoe.replay.declaration import ReplayDeclaration
from mukoe.replay.in_process import InProcessReplay
from mukoe.replay.in_process.adder import InProcessAdder
from mukoe.replay.in_process.mixture import MixedReplay
from mukoe.replay.in_process.stretch import Stretch
from mukoe.types import Nest, Row, Sample

NO_STREAM = "has no stream in this replay"

_WAIT_SECONDS = 0.5
_TICK_SECONDS = 0.1


@dataclasses.dataclass
class _Pending:
    """Request that waits.

    advance: function that does what is possible, and returns whether all is done.
    result: function that returns the answer, also for a part of the request.
    ends: time of the answer at the latest, by `time.monotonic`.
    answer: future of the answer.
    """

    advance: Callable[[], bool]
    result: Callable[[], Any]
    ends: float = dataclasses.field(default_factory=lambda: time.monotonic() + _WAIT_SECONDS)
    answer: "futures.Future[Any]" = dataclasses.field(default_factory=futures.Future)


class ReplayServer:
    """Replay with the methods that `ServedReplay` calls; thread-safe."""

    def __init__(
        self,
        declaration: ReplayDeclaration,
        row_spec: Row,
        seed: int,
        num_streams: int,
        state: Mapping[str, np.ndarray] | None = None,
        demonstrations: InProcessReplay | None = None,
    ):
        """Makes a replay, empty or with a saved content.

        Args:
          declaration: declaration of the replay.
          row_spec: specs of a row.
          seed: seed of the sampler.
          num_streams: largest number of environments that add at the same time.
          state: result of `state`; its running episodes are dropped.
          demonstrations: filled replay of the demonstrations; None for none.

        Raises:
          UserError: there is not enough memory, or the state is that of another declaration.
        """
        saved = sum(name.startswith("stream/") for name in state or ())
        self._declaration = declaration
        self._lock = threading.RLock()
        self._acted = InProcessReplay(
            declaration.acted, row_spec, seed, num_streams=max(num_streams, saved)
        )
        if state is not None:
            self._acted.restore(state)
        # Adders without a stream, and those of the streams, the longest idle first.
        self._free = [self._acted.make_adder() for _ in range(max(num_streams, saved))]
        for adder in self._free:
            adder.reset()
        self._streams: collections.OrderedDict[str, InProcessAdder] = collections.OrderedDict()
        self._mixed = None if demonstrations is None else MixedReplay(self._acted, demonstrations)
        self._reanalysed: collections.deque[Sample] = collections.deque()
        self._pending: dict[str, collections.deque[_Pending]] = {
            kind: collections.deque() for kind in ("insert", "sample", "search", "reanalysed")
        }
        # Slots of rows have no meaning in another process.
        self._identity = uuid.uuid4().hex
        self._closed = threading.Event()
        threading.Thread(target=self._expire, name="replay", daemon=True).start()

    def open_stream(self, name: str) -> None:
        """Opens the stream of an environment; the longest idle one loses its adder if none is free.

        Args:
          name: unique name of the stream.
        """
        with self._lock:
            if name not in self._streams:
                adder = self._free.pop() if self._free else self._streams.popitem(last=False)[1]
                adder.reset()
                self._streams[name] = adder

    def insert(
        self, stream: str, is_first: np.ndarray, leaves: Sequence[np.ndarray]
    ) -> "futures.Future[int]":
        """Adds rows of a stream; the answer is the number of rows that the rate limit allowed.

        Args:
          stream: name of the stream.
          is_first: `[N]` bool, True for first rows of episodes.
          leaves: flat rows, arrays `[N, ...]`.

        Raises:
          LookupError: the stream is not open.
        """
        added = 0

        def advance() -> bool:
            nonlocal added
            adder = self._streams.get(stream)
            if adder is None:
                raise LookupError(f"{stream} {NO_STREAM}")
            while added < len(is_first) and self._acted.can_insert():
                adder.add_row([leaf[added] for leaf in leaves], bool(is_first[added]))
                added += 1
            return added == len(is_first)

        with self._lock:
            if stream in self._streams:
                self._streams.move_to_end(stream)
            return self._submit("insert", _Pending(advance, lambda: added))

    def sample(self) -> "futures.Future[Sample | None]":
        """Returns a sample for the learner; None if the rate limit allows none for now."""
        count = self._declaration.acted.batch_size - self._declaration.reanalysed_items
        return self._submit_sample("sample", self._sample, count)

    def sample_to_reanalyse(self, batch_size: int) -> "futures.Future[Sample | None]":
        """Returns a sample of stored items; None if the rate limit allows none for now."""
        return self._submit_sample("search", lambda: self._acted.sample(batch_size), batch_size)

    def write_reanalysed(self, sample: Sample) -> "futures.Future[bool]":
        """Queues reanalysed items for the learner; the answer is False while the queue is full.

        Args:
          sample: items with the keys and probabilities of the originals.
        """
        is_queued = False

        def advance() -> bool:
            nonlocal is_queued
            queued = sum(len(part.keys) for part in self._reanalysed)
            if queued < 2 * self._declaration.reanalysed_items:
                self._reanalysed.append(sample)
                is_queued = True
            return is_queued

        return self._submit("reanalysed", _Pending(advance, lambda: is_queued))

    def update_priorities(self, keys: np.ndarray, priorities: np.ndarray) -> None:
        """Sets the priorities `[B]` of items, in the order of their sample."""
        (self._mixed or self._acted).update_priorities(keys, priorities)

    def stretch(self, first: int, size: int) -> tuple[str, int, Stretch] | None:
        """Returns rows to rewrite, see `InProcessReplay.stretch`; None if there are no items.

        Returns:
          Identity of this server, the number of items added so far, and the rows.
        """
        with self._lock:
            if not self._acted.size:
                return None
            return self._identity, self._acted.inserted, self._acted.stretch(first, size)

    def rewrite(
        self, identity: str, keys: np.ndarray, slots: np.ndarray, extras: Mapping[str, Nest]
    ) -> None:
        """Writes extras of a stretch, unless it came from another server.

        Args:
          identity: identity of the server with the stretch.
          keys: `[N]` keys of the rows' items.
          slots: `[N]` slots of the rows.
          extras: extras `[N, ...]`.
        """
        if identity == self._identity:
            rows = Row((), (), (), (), (), {})
            self._acted.rewrite(Stretch(keys, slots, rows, next_key=0), extras)

    def statistics(self) -> tuple[int, int, int]:
        """Returns the number of items, of inserted and of sampled ones."""
        with self._lock:
            return self._acted.size, self._acted.inserted, self._acted.sampled

    def state(self) -> dict[str, np.ndarray]:
        """Returns the content as arrays, without demonstrations."""
        with self._lock:
            return self._acted.state_dict()

    def close(self) -> None:
        """Answers the waiting requests."""
        self._closed.set()
        with self._lock:
            self._finish(float("inf"))

    def _sample(self) -> Sample:
        count = self._declaration.reanalysed_items
        if not count:
            return (self._mixed or self._acted).sample()
        reanalysed = self._take_reanalysed(count)
        replayed = self._declaration.acted.batch_size - count
        return _joined([self._acted.sample(replayed), reanalysed]) if replayed else reanalysed

    def _take_reanalysed(self, count: int) -> Sample:
        queued = _joined(list(self._reanalysed))
        self._reanalysed.clear()
        rest = jax.tree.map(lambda leaf: leaf[count:], queued)
        if len(rest.keys):
            self._reanalysed.append(rest)
        return jax.tree.map(lambda leaf: leaf[:count], queued)

    def _submit_sample(
        self, kind: str, sample: Callable[[], Sample], count: int
    ) -> "futures.Future[Sample | None]":
        taken: list[Sample] = []
        needed = self._declaration.reanalysed_items if kind == "sample" else 0

        def advance() -> bool:
            queued = sum(len(part.keys) for part in self._reanalysed)
            if queued >= needed and (not count or self._acted.can_sample(count)):
                taken.append(sample())
            return bool(taken)

        return self._submit(kind, _Pending(advance, lambda: taken[0] if taken else None))

    def _submit(self, kind: str, request: _Pending) -> "futures.Future[Any]":
        with self._lock:
            self._pending[kind].append(request)
            self._advance()
        return request.answer

    def _advance(self) -> None:
        """Advances the waiting requests as far as possible, each kind in the order of arrival."""
        finished = True
        while finished:
            finished = False
            for requests in self._pending.values():
                while requests and self._advance_one(requests[0]):
                    requests.popleft()
                    finished = True

    def _advance_one(self, request: _Pending) -> bool:
        """Returns whether the request is answered."""
        try:
            if request.advance():
                request.answer.set_result(request.result())
        except Exception as error:  # of this request, such as a row of a wrong shape
            request.answer.set_exception(error)
        return request.answer.done()

    def _expire(self) -> None:
        while not self._closed.wait(_TICK_SECONDS):
            with self._lock:
                self._finish(time.monotonic())
                self._advance()

    def _finish(self, now: float) -> None:
        """Answers the requests whose time is over."""
        for requests in self._pending.values():
            while requests and requests[0].ends <= now:
                request = requests.popleft()
                request.answer.set_result(request.result())


def _joined(samples: list[Sample]) -> Sample:
    if len(samples) == 1:
        return samples[0]
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *samples)
