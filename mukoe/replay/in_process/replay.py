"""The replay of this process: rows, items and rate limit.

Rows of all streams live in one pool, in whatever slot is free, and slot 0 is the padding
row. An item is the `[T]` slots of its rows, so a sample is one gather per field, streams
may be interleaved in any way, and an episode's items can be drawn while it still runs:

    pool    0 | a0 | b0 | a1 | b1 | a2 | ...           streams a and b, step by step
    items   [0 0 1 3 5]  [0 0 2 4 6]  [0 1 3 5 7] ...  the oldest are removed first

A row is removed with the newest item that contains it. While an episode runs, that is its first
row, with the item that starts there; at its end, the remaining rows, with its last item.
"""

import collections
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence

import jax
import numpy as np

from mukoe import system as memory
from mukoe.errors import UserError
from mukoe.replay.declaration import ReplayDeclaration
from mukoe.replay.handle import never
from mukoe.replay.in_process.adder import InProcessAdder
from mukoe.replay.in_process.required_memory import bytes_required, pool_rows
from mukoe.replay.in_process.row_pool import PADDING, RowPool
from mukoe.replay.in_process.sampler import ItemSampler
from mukoe.replay.in_process.stretch import Stretch, stretch_windows
from mukoe.types import Nest, Row, Sample


class ReplayTimeoutError(TimeoutError):
    """Timeout of a wait for a sample."""


class InProcessReplay:
    """Seeded replay in the memory of this process, a `mukoe.replay.handle.Replay`.

    Every method may be called from any thread; each adder from one thread at a time.
    """

    def __init__(
        self, declaration: ReplayDeclaration, row_spec: Row, seed: int, num_streams: int = 64
    ):
        """Initialises an empty replay.

        Args:
          declaration: declaration of the stored items and of their sampling.
          row_spec: specs of a row, from `declaration.row_spec`.
          seed: seed of the sampler.
          num_streams: largest number of adders; each holds a few rows of its running episode.

        Raises:
          UserError: if the memory for `capacity` items is not available.
        """
        memory.check_fits(
            bytes_required(declaration, row_spec, num_streams),
            f"replay of {declaration.capacity} items",
            "lower the capacity",
        )
        self.declaration = declaration
        self.row_spec = row_spec
        self._num_streams = num_streams
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._closed = False
        self._pool = RowPool(row_spec, pool_rows(declaration, num_streams))
        self._item_rows = np.zeros((declaration.capacity, declaration.item_length), np.int32)
        # The rows removed with an item are a linked list: the first by the item's place, then
        # the next by row; PADDING ends it.
        self._first_leaving = np.full(declaration.capacity, PADDING, np.int32)
        self._next_leaving = np.full(self._pool.num_rows, PADDING, np.int32)
        # Keys count from 0 and are never reused; those of the items in replay are
        # oldest .. inserted - 1, and item `key` is stored at `key % capacity`.
        self._oldest = 0
        self._inserted = 0
        self._sampled = 0
        # Newest items that have not been sampled as online ones, oldest first.
        self._unsampled_online: collections.deque[int] = collections.deque(
            maxlen=declaration.online_capacity
        )
        self._sampler = ItemSampler(declaration, seed)
        self._adders: list[InProcessAdder] = []
        # States of streams that were restored before their adder was made.
        self._restored_streams: dict[int, np.ndarray] = {}

    @property
    def size(self) -> int:
        """Number of items in replay."""
        return self._inserted - self._oldest

    @property
    def inserted(self) -> int:
        """Number of items added so far."""
        return self._inserted

    @property
    def sampled(self) -> int:
        """Number of items sampled so far."""
        return self._sampled

    def can_sample(self, batch_size: int | None = None) -> bool:
        """Returns whether `min_size` and `samples_per_insert` allow another batch.

        Args:
          batch_size: number of items; that of the declaration by default.
        """
        batch_size = batch_size or self.declaration.batch_size
        if self._inserted < self.declaration.min_size or self.size == 0:
            return False
        if len(self._unsampled_online) < self.declaration.online_items:
            return False
        if self.declaration.samples_per_insert is None:
            return True
        return self._samples_ahead() + batch_size <= self.declaration.error_buffer

    def can_insert(self) -> bool:
        """Returns whether `samples_per_insert` allows another item, for adders that wait."""
        ratio = self.declaration.samples_per_insert
        if ratio is None or self._inserted < self.declaration.min_size:
            return True
        return ratio - self._samples_ahead() <= self.declaration.error_buffer

    def _samples_ahead(self) -> float:
        """Returns the samples in excess of `samples_per_insert` of the inserts after `min_size`."""
        ratio = self.declaration.samples_per_insert or 0.0
        return self._sampled - (self._inserted - self.declaration.min_size) * ratio

    def sample(self, batch_size: int | None = None) -> Sample:
        """Samples items with replacement; the last of them are the online ones.

        Does not check `samples_per_insert`; see `can_sample`.

        Args:
          batch_size: number of items; that of the declaration by default.

        Raises:
          RuntimeError: if fewer than `min_size` items were ever added.
        """
        batch_size, capacity = (
            batch_size or self.declaration.batch_size,
            self.declaration.capacity,
        )
        with self._changed:
            if self._inserted < self.declaration.min_size or self.size == 0:
                raise RuntimeError(
                    f"{self._inserted} items were added to replay, and sampling begins at "
                    f"{self.declaration.min_size}"
                )
            places, probabilities = self._sampler.draw(
                batch_size - self.declaration.online_items, self._oldest, self._inserted
            )
            if self.declaration.online_items:
                places, probabilities = self._add_online(places, probabilities)
            rows = self._pool.gather(self._item_rows[places], self.declaration.observed_rows)
            keys = self._oldest + (places - self._oldest) % capacity
            self._sampled += batch_size
            self._changed.notify_all()
        return Sample(keys.astype(np.uint64), probabilities.astype(np.float32), rows)

    def share(self, ends: Sequence[int], shares: Sequence[float]) -> None:
        """Samples consecutive groups of items with fixed shares, independent of their sizes.

        Within a group, items are sampled as without groups. The probabilities of a sample do not
        contain the shares, so that importance weights correct for priorities alone.

        Args:
          ends: key after the last item of each group, ascending; the first group begins with 0.
          shares: probabilities of the groups, with a sum of 1.

        Raises:
          ValueError: the groups are empty, or are not all items of a replay that removed none.
        """
        if self._oldest or ends[-1] != self._inserted or (np.diff([0, *ends]) <= 0).any():
            raise ValueError(f"groups that end at {ends} of {self._inserted} items")
        self._sampler.share(ends, shares)

    def _add_online(
        self, places: np.ndarray, probabilities: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Appends online items; their probability is that of a uniform draw."""
        keys = np.array(
            [self._unsampled_online.pop() for _ in range(self.declaration.online_items)]
        )
        return (
            np.concatenate([places, keys % self.declaration.capacity]),
            np.concatenate([probabilities, np.full(len(keys), 1.0 / self.size)]),
        )

    def update_priorities(self, keys: np.ndarray, priorities: np.ndarray) -> None:
        """Sets the priorities of items; skips items that have been removed.

        Args:
          keys: keys `[N]` uint64 of a sample.
          priorities: priorities `[N]`, finite and not negative.

        Raises:
          ValueError: if a priority is negative or not finite.
        """
        if not self._sampler.prioritized:
            return
        keys = np.asarray(keys).astype(np.int64)
        weights = self._sampler.weights_of(np.asarray(priorities))
        with self._lock:
            here = (keys >= self._oldest) & (keys < self._inserted)
            self._sampler.set_weights(keys[here] % self.declaration.capacity, weights[here])

    def dataset(self, wait_s: float = 0.0) -> Iterator[Sample]:
        """Returns an endless iterator over samples; `close` ends it.

        Args:
          wait_s: timeout in seconds of a `next` that waits for `can_sample`, after which it
            raises `ReplayTimeoutError`. Use 0 if one thread both adds and samples.
        """
        while True:
            with self._changed:
                allowed = self._changed.wait_for(
                    lambda: self._closed or self.can_sample(), timeout=wait_s
                )
                if self._closed:
                    return
                if not allowed:
                    raise ReplayTimeoutError(
                        f"replay allowed no sample within {wait_s} s: {self._inserted} items "
                        f"were added and {self._sampled} drawn"
                    )
                sample = self.sample()
            yield sample

    def close(self) -> None:
        """Ends the iterators and all waits for inserts."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def make_dataset(self) -> Iterator[Sample]:
        """Returns an endless iterator over samples."""
        return iter(self.sample, None)

    def make_adder(self, should_stop: Callable[[], bool] = never) -> InProcessAdder:
        """Makes the adder of the next stream, for one environment, which never waits.

        Raises:
          UserError: if there are `num_streams` adders already.
        """
        del should_stop
        with self._lock:
            stream = len(self._adders)
            if stream == self._num_streams:
                raise UserError(
                    f"replay: there are num_streams ({stream}) adders already; raise num_streams"
                )
            adder = InProcessAdder(self, self.declaration, self.row_spec, self._lock, self._pool)
            if stream in self._restored_streams:
                adder.set_state(self._restored_streams.pop(stream))
            self._adders.append(adder)
            return adder

    def stretch(self, first: int, size: int) -> Stretch:
        """Returns the rows of the items from key `first` on, to rewrite their extras.

        Args:
          first: key of the first item; the oldest item follows the newest one.
          size: number of rows `N`, at least 2; padding fills up a stretch that ends with the
            newest item.
        """
        with self._lock:
            first = first if self._oldest <= first < self._inserted else self._oldest
            keys = np.arange(first, min(first + size, self._inserted))
            item_rows, history = (
                self._item_rows[keys % self.declaration.capacity],
                self.declaration.history,
            )
            is_final = self._pool.is_final(item_rows[:, history + 1])
            items, slots = stretch_windows(item_rows, history, is_final, size)
            rows = self._pool.gather(slots)
        next_key = int(first + items.max() + 1)
        return Stretch(np.where(items < 0, -1, first + items), slots[:, -1], rows, next_key)

    def rewrite(self, stretch: Stretch, extras: Mapping[str, Nest]) -> None:
        """Writes extras `[N, ...]` of a stretch; skips padding and rows of removed items.

        Raises:
          ValueError: if the shape of a value differs from its spec.
        """
        with self._lock:
            kept = stretch.keys >= self._oldest
            values = jax.tree.map(lambda array: np.asarray(array)[kept], dict(extras))
            self._pool.write_extras(stretch.slots[kept], values)

    def make_room(self) -> None:
        """Removes the oldest items until the pool has a free row."""
        while self._pool.full:
            self._evict_oldest()

    def insert(self, slots: list[int]) -> int:
        """Adds the item with the rows in `slots`, `[T]`, for an adder; returns its key."""
        if self.size == self.declaration.capacity:
            self._evict_oldest()
        key = self._inserted
        place = key % self.declaration.capacity
        self._item_rows[place] = slots
        if self._sampler.prioritized:
            self._sampler.add(place, self._initial_weight(place))
        self._inserted += 1
        self._unsampled_online.append(key)
        self._changed.notify_all()
        return key

    def leave_with(self, key: int | None, slot: int) -> None:
        """Frees a row once item `key` is removed; at once if it has been removed or is None."""
        if slot == PADDING:
            return
        if key is None or key < self._oldest:
            self._pool.free(slot)
            return
        place = key % self.declaration.capacity
        self._next_leaving[slot] = self._first_leaving[place]
        self._first_leaving[place] = slot

    def _initial_weight(self, place: int) -> float:
        initial = self.declaration.initial_priority
        if initial is None:
            return 1.0
        if initial == "maximal":
            return self._sampler.largest_weight
        rows = self._pool.gather(self._item_rows[place, self.declaration.history :])
        return float(self._sampler.weights_of(np.asarray(initial(rows))))

    def _evict_oldest(self) -> None:
        place = self._oldest % self.declaration.capacity
        if self._unsampled_online and self._unsampled_online[0] == self._oldest:
            self._unsampled_online.popleft()
        self._oldest += 1
        if self._sampler.prioritized:
            self._sampler.remove(place)
        slot = int(self._first_leaving[place])
        self._first_leaving[place] = PADDING
        while slot != PADDING:
            self._pool.free(slot)
            slot = int(self._next_leaving[slot])

    def state_dict(self) -> dict[str, np.ndarray]:
        """Returns the state as arrays (copies), running episodes and the sampler included.

        Environments usually cannot be saved: after `restore`, `reset` the adders unless
        their episodes resume.
        """
        with self._lock:
            used = min(self._inserted, self.declaration.capacity)
            state = {f"pool/{name}": value for name, value in self._pool.state_dict().items()}
            state["items"] = self._item_rows[:used].copy()
            state["first_leaving"] = self._first_leaving[:used].copy()
            state["next_leaving"] = self._next_leaving[: self._pool.num_written].copy()
            state["counts"] = np.array([self._oldest, self._inserted, self._sampled], np.int64)
            state["unread"] = np.array(self._unsampled_online, np.int64)
            state |= self._sampler.state_dict(used)
            for stream, adder in enumerate(self._adders):
                state[f"stream/{stream}"] = adder.state()
            return state

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Restores a `state_dict` of a replay with the same declaration.

        Adders keep their stream, whether they are made before or afterwards.

        Raises:
          UserError: if the state was saved with another declaration.
        """
        oldest, inserted, sampled = (int(count) for count in state["counts"])
        used = min(inserted, self.declaration.capacity)
        items = state["items"]
        if items.shape != (used, self.declaration.item_length):
            raise UserError(
                f"replay: the saved state has items {items.shape} where this declaration "
                f"has {(used, self.declaration.item_length)}; use the configuration it was "
                "saved with"
            )
        prefix = "pool/"
        pool = {name[len(prefix) :]: v for name, v in state.items() if name.startswith(prefix)}
        with self._changed:
            self._pool.restore(pool)
            self._item_rows[:used] = items
            self._first_leaving[:] = PADDING
            self._first_leaving[:used] = state["first_leaving"]
            self._next_leaving[: len(state["next_leaving"])] = state["next_leaving"]
            self._oldest, self._inserted, self._sampled = oldest, inserted, sampled
            self._unsampled_online.clear()
            self._unsampled_online.extend(state["unread"].tolist())
            self._sampler.restore(state["weights"], state["random"])
            self._restore_streams(state)
            self._changed.notify_all()

    def _restore_streams(self, state: Mapping[str, np.ndarray]) -> None:
        streams = {
            int(name.split("/")[1]): value
            for name, value in state.items()
            if name.startswith("stream/")
        }
        for stream, adder in enumerate(self._adders):
            adder.set_state(streams.pop(stream, None))
        self._restored_streams = streams
