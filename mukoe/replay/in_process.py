"""Replay in the memory of this process: NumPy, seeded, the same for the same calls.

Rows of all streams live in one pool, in whatever slot is free, and slot 0 is the padding
row. An item is the `[T]` slots of its rows, so a sample is one gather per field, streams
may be interleaved in any way, and an episode's items can be drawn while it still runs:

    pool    0 | a0 | b0 | a1 | b1 | a2 | ...           streams a and b, step by step
    items   [0 0 1 3 5]  [0 0 2 4 6]  [0 1 3 5 7] ...  the oldest leave first

A row leaves with the newest item that holds it. While an episode runs, that is its first
row, with the item that starts there; at its end, what remains, with its last item.
"""

import collections
import threading
from collections.abc import Callable, Iterator, Mapping

import dm_env
import jax
import numpy as np

from mukoe import system as memory
from mukoe.errors import UserError
from mukoe.replay.declaration import ReplayDeclaration, check_final_extras
from mukoe.replay.handle import never
from mukoe.replay.row_pool import PADDING, RowPool
from mukoe.replay.sum_tree import SumTree
from mukoe.types import Nest, Row, Sample


def bytes_required(declaration: ReplayDeclaration, row_spec: Row, num_streams: int = 64) -> int:
    """Returns the bytes of a full `InProcessReplay`."""
    leaves = jax.tree.leaves(row_spec)
    row = sum(int(np.prod(spec.shape)) * np.dtype(spec.dtype).itemsize for spec in leaves)
    item = 4 * declaration.item_length + 4
    tree = 4 * 8 if declaration.sampler == "prioritized" else 0
    rows = _pool_rows(declaration, num_streams)
    return rows * (row + 4) + declaration.capacity * (item + tree)


def _pool_rows(declaration: ReplayDeclaration, num_streams: int) -> int:
    """Rows that the pool has room for.

    One for each step, an eighth more for the final rows of episodes (those of 8 actions or
    more on average fit; with shorter ones the oldest items leave a little before
    `capacity` is reached), what the running episodes hold, and the padding row.
    """
    running = num_streams * (2 * declaration.item_length + 2)
    steps = declaration.capacity * declaration.period
    return 1 + steps + steps // 8 + running


class ReplayTimeoutError(TimeoutError):
    """Replay did not allow a sample within the time that was given."""


class InProcessReplay:
    """Rows, items, priorities and the rate limiter of one replay table.

    Every method may be called from any thread; each adder from one thread at a time.
    """

    def __init__(
        self, declaration: ReplayDeclaration, row_spec: Row, seed: int, num_streams: int = 64
    ):
        """Initialises an empty replay.

        Args:
          declaration: what is stored and how it is sampled.
          row_spec: the types of a row, from `declaration.row_spec`.
          seed: of the sampler.
          num_streams: adders at most; each holds a few rows of its running episode.

        Raises:
          UserError: if the memory for `capacity` items is not there.
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
        self._random = np.random.Generator(np.random.Philox(seed))
        self._pool = RowPool(row_spec, _pool_rows(declaration, num_streams))
        self._item_rows = np.zeros((declaration.capacity, declaration.item_length), np.int32)
        # The rows that leave with an item are a chain: the first by the item's place, then
        # the next by row; PADDING ends it.
        self._first_leaving = np.full(declaration.capacity, PADDING, np.int32)
        self._next_leaving = np.full(self._pool.num_rows, PADDING, np.int32)
        # Keys are counted from 0 for ever; those of the items here are oldest .. inserted - 1,
        # and item `key` lives at `key % capacity`.
        self._oldest = 0
        self._inserted = 0
        self._sampled = 0
        # The newest items that were never drawn as fresh ones, oldest first.
        self._unread: collections.deque[int] = collections.deque(maxlen=declaration.fresh_capacity)
        self._prioritized = declaration.sampler == "prioritized"
        self._tree = SumTree(declaration.capacity if self._prioritized else 1)
        # Weights of items that came or went since the tree was last set, by place.
        self._pending: dict[int, float] = {}
        self._adders: list[InProcessAdder] = []
        # States of streams that were restored before their adder was made.
        self._restored_streams: dict[int, np.ndarray] = {}

    @property
    def size(self) -> int:
        """Items that can be drawn."""
        return self._inserted - self._oldest

    @property
    def inserted(self) -> int:
        """Items that were ever added."""
        return self._inserted

    @property
    def sampled(self) -> int:
        """Items that were ever drawn."""
        return self._sampled

    def can_sample(self) -> bool:
        """Whether `min_size` and `samples_per_insert` allow one batch more."""
        if self._inserted < self.declaration.min_size or self.size == 0:
            return False
        if len(self._unread) < self.declaration.fresh_items:
            return False
        if self.declaration.samples_per_insert is None:
            return True
        return self._samples_ahead() + self.declaration.batch_size <= self.declaration.error_buffer

    def can_insert(self) -> bool:
        """Whether `samples_per_insert` allows one item more."""
        if self.declaration.samples_per_insert is None:
            return True
        return -self._samples_ahead() <= self.declaration.error_buffer

    def _samples_ahead(self) -> float:
        """Samples drawn beyond `samples_per_insert` of the inserts after `min_size`."""
        ratio = self.declaration.samples_per_insert or 0.0
        return self._sampled - (self._inserted - self.declaration.min_size) * ratio

    def wait_until_can_insert(self, timeout_s: float) -> bool:
        """Waits for `can_insert`; True if it is so or if the replay was closed."""
        with self._changed:
            return self._changed.wait_for(
                lambda: self._closed or self.can_insert(), timeout=timeout_s
            )

    def sample(self) -> Sample:
        """Draws `batch_size` items with replacement; the last of them are the fresh ones.

        Whether `samples_per_insert` allows it is for the caller to ask (`can_sample`).

        Raises:
          RuntimeError: if fewer than `min_size` items were ever added.
        """
        batch_size, capacity = self.declaration.batch_size, self.declaration.capacity
        with self._changed:
            if self._inserted < self.declaration.min_size or self.size == 0:
                raise RuntimeError(
                    f"{self._inserted} items were added to replay, and sampling begins at "
                    f"{self.declaration.min_size}"
                )
            places, probabilities = self._draw(batch_size - self.declaration.fresh_items)
            if self.declaration.fresh_items:
                places, probabilities = self._add_fresh(places, probabilities)
            rows = self._pool.gather(self._item_rows[places], self.declaration.observed_rows)
            keys = self._oldest + (places - self._oldest) % capacity
            self._sampled += batch_size
            self._changed.notify_all()
        return Sample(keys.astype(np.uint64), probabilities.astype(np.float32), rows)

    def _draw(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns the places `[count]` of the items drawn and their probabilities `[count]`."""
        if self._prioritized:
            self._set_pending()
            if self._tree.total > 0:
                places = self._tree.sample(self._random.random(count))
                return places, self._tree.weights[places] / self._tree.total
        keys = self._random.integers(self._oldest, self._inserted, count)
        return keys % self.declaration.capacity, np.full(count, 1.0 / self.size)

    def _add_fresh(
        self, places: np.ndarray, probabilities: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Appends fresh items; their probability is that of a uniform draw."""
        keys = np.array([self._unread.pop() for _ in range(self.declaration.fresh_items)])
        return (
            np.concatenate([places, keys % self.declaration.capacity]),
            np.concatenate([probabilities, np.full(len(keys), 1.0 / self.size)]),
        )

    def _set_pending(self) -> None:
        if self._pending:
            count = len(self._pending)
            places = np.fromiter(self._pending.keys(), np.int64, count)
            self._tree.set(places, np.fromiter(self._pending.values(), np.float64, count))
            self._pending.clear()

    def update_priorities(self, keys: np.ndarray, priorities: np.ndarray) -> None:
        """Gives items new priorities; those that have left are passed over.

        Args:
          keys: `[N]` uint64, from a sample.
          priorities: `[N]`, finite and not negative.

        Raises:
          ValueError: if a priority is negative or not finite.
        """
        if not self._prioritized:
            return
        keys = np.asarray(keys).astype(np.int64)
        weights = self._weights(np.asarray(priorities))
        with self._lock:
            self._set_pending()
            here = (keys >= self._oldest) & (keys < self._inserted)
            self._tree.set(keys[here] % self.declaration.capacity, weights[here])

    def _weights(self, priorities: np.ndarray) -> np.ndarray:
        priorities = priorities.astype(np.float64)
        if not (np.isfinite(priorities) & (priorities >= 0)).all():
            raise ValueError("replay: priorities must be finite and not negative")
        return priorities**self.declaration.priority_exponent

    def dataset(self, wait_s: float = 0.0) -> Iterator[Sample]:
        """Returns an endless iterator of samples; `close` ends it.

        Args:
          wait_s: how long a `next` waits for `can_sample` before it raises
            `ReplayTimeoutError`. Where one thread both adds and samples, 0 is right.
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
        """Ends the iterators and lets those go who wait to insert."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def make_dataset(self) -> Iterator[Sample]:
        """Returns an endless iterator over samples."""
        return iter(self.sample, None)

    def make_adder(self, should_stop: Callable[[], bool] = never) -> "InProcessAdder":
        """Returns the adder of the next stream, for one environment, which never waits.

        Raises:
          UserError: if there are `num_streams` already.
        """
        del should_stop
        with self._lock:
            stream = len(self._adders)
            if stream == self._num_streams:
                raise UserError(
                    f"replay: an adder was asked for beyond num_streams ({stream}); raise it"
                )
            adder = InProcessAdder(self, self._lock, self._pool)
            if stream in self._restored_streams:
                adder.set_state(self._restored_streams.pop(stream))
            self._adders.append(adder)
            return adder

    def make_room(self) -> None:
        """Lets the oldest items leave until the pool has a free row."""
        while self._pool.full:
            self._evict_oldest()

    def insert(self, slots: list[int]) -> int:
        """Adds the item of the rows in `slots`, `[T]`, and returns its key (for adders)."""
        if self.size == self.declaration.capacity:
            self._evict_oldest()
        key = self._inserted
        place = key % self.declaration.capacity
        self._item_rows[place] = slots
        if self._prioritized:
            self._pending[place] = self._initial_weight(place)
        self._inserted += 1
        self._unread.append(key)
        self._changed.notify_all()
        return key

    def leave_with(self, key: int | None, slot: int) -> None:
        """Frees a row when item `key` leaves; at once if it has left or is None."""
        if slot == PADDING:
            return
        if key is None or key < self._oldest:
            self._pool.free(slot)
            return
        place = key % self.declaration.capacity
        self._next_leaving[slot] = self._first_leaving[place]
        self._first_leaving[place] = slot

    def _initial_weight(self, place: int) -> float:
        if self.declaration.initial_priority is None:
            return 1.0
        rows = self._pool.gather(self._item_rows[place, self.declaration.history :])
        return float(self._weights(np.asarray(self.declaration.initial_priority(rows))))

    def _evict_oldest(self) -> None:
        place = self._oldest % self.declaration.capacity
        if self._unread and self._unread[0] == self._oldest:
            self._unread.popleft()
        self._oldest += 1
        if self._prioritized:
            self._pending[place] = 0.0
        slot = int(self._first_leaving[place])
        self._first_leaving[place] = PADDING
        while slot != PADDING:
            self._pool.free(slot)
            slot = int(self._next_leaving[slot])

    def state_dict(self) -> dict[str, np.ndarray]:
        """Returns all of it as arrays (copies), running episodes and the sampler included.

        Environments usually cannot be saved: after `restore`, `reset` the adders unless
        their episodes really go on.
        """
        with self._lock:
            self._set_pending()
            used = min(self._inserted, self.declaration.capacity)
            state = {f"pool/{name}": value for name, value in self._pool.state_dict().items()}
            state["items"] = self._item_rows[:used].copy()
            state["first_leaving"] = self._first_leaving[:used].copy()
            state["next_leaving"] = self._next_leaving[: self._pool.num_written].copy()
            state["weights"] = self._tree.weights[:used].copy()
            state["counts"] = np.array([self._oldest, self._inserted, self._sampled], np.int64)
            state["unread"] = np.array(self._unread, np.int64)
            state["random"] = _random_state(self._random)
            for stream, adder in enumerate(self._adders):
                state[f"stream/{stream}"] = adder.state()
            return state

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Goes back to a `state_dict` of a replay with the same declaration.

        Adders keep their stream, whether they were made before or are made afterwards.

        Raises:
          UserError: if the state is of another declaration.
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
            self._tree = SumTree(self.declaration.capacity if self._prioritized else 1)
            if self._prioritized:
                self._tree.set(np.arange(used), state["weights"])
            self._pending.clear()
            self._oldest, self._inserted, self._sampled = oldest, inserted, sampled
            self._unread.clear()
            self._unread.extend(state["unread"].tolist())
            _set_random_state(self._random, state["random"])
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


class InProcessAdder:
    """Adds the steps of one environment, with the method names of Acme's adders."""

    def __init__(self, replay: InProcessReplay, lock: threading.RLock, pool: RowPool):
        """Initialises the adder of one stream; see `InProcessReplay.make_adder`."""
        self._replay = replay
        self._lock = lock
        self._pool = pool
        self._history = replay.declaration.history
        self._item_length = replay.declaration.item_length
        self._action_leaf = len(jax.tree.leaves(replay.row_spec.observation))
        self._extras_leaf = self._action_leaf + 4
        self._extras_names = sorted(replay.row_spec.extras)
        # The last complete rows, at most `item_length`, and the row whose action is to come.
        self._window: list[int] = []
        self._open: int | None = None
        # The newest item of the running episode.
        self._newest: int | None = None
        # The step of the episode at which the next complete window starts.
        self._start = 0

    def add_first(self, timestep: dm_env.TimeStep) -> None:
        """Takes the first observation of an episode.

        Raises:
          ValueError: if it is not the first, or if an episode is running.
        """
        if not timestep.first():
            raise ValueError("add_first takes the first timestep of an episode")
        if self._open is not None:
            raise ValueError("an episode is running: call reset to drop the rest of it")
        with self._lock:
            self._window = [PADDING] * self._history
            self._start = 0
            self._open = self._new_row(timestep.observation)

    def add(
        self,
        action: int | np.ndarray,
        next_timestep: dm_env.TimeStep,
        extras: Mapping[str, np.ndarray],
        final_extras: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        """Takes an action and what it led to; ends the episode with the last timestep.

        Args:
          action: `a_t`.
          next_timestep: with the reward and discount that it led to.
          extras: of the policy at `o_t`; what `row_spec` names is stored.
          final_extras: of the policy at the last observation. None, allowed where the
            episode terminated, stores zeros.

        Raises:
          ValueError: if no episode runs, a shape or a field is wrong, or a truncated
            episode comes without `final_extras`.
        """
        if self._open is None:
            raise ValueError("call add_first before add")
        last = next_timestep.last()
        if last:
            check_final_extras(final_extras, next_timestep.discount, self._extras_names)
        step = (action, next_timestep.reward, next_timestep.discount, 1.0)
        with self._lock:
            self._pool.write(self._open, self._action_leaf, step)
            self._write_extras(self._open, extras)
            self._push(self._open)
            self._open = self._new_row(next_timestep.observation)
            if last:
                self._finish(final_extras)

    def reset(self, timeout_ms: int | None = None) -> None:
        """Drops what is left of a running episode; items that were added stay."""
        del timeout_ms  # Nothing here waits.
        with self._lock:
            if self._open is not None:
                self._window.append(self._open)
            for slot in self._window:
                self._replay.leave_with(self._newest, slot)
            self._window, self._open, self._newest = [], None, None

    def _finish(self, final_extras: Mapping[str, np.ndarray] | None) -> None:
        assert self._open is not None
        self._pool.clear(self._open, self._action_leaf)
        if final_extras is not None:
            self._write_extras(self._open, final_extras)
        self._push(self._open)
        self._open = None
        for _ in range(self._replay.declaration.sequence_length - 2):
            self._push(PADDING)
        self.reset()

    def _new_row(self, observation: Nest) -> int:
        self._replay.make_room()
        slot = self._pool.allocate()
        self._pool.write(slot, 0, jax.tree.leaves(observation))
        return slot

    def _write_extras(self, slot: int, extras: Mapping[str, np.ndarray]) -> None:
        values = [extras[name] for name in self._extras_names]
        self._pool.write(slot, self._extras_leaf, values)

    def _push(self, slot: int) -> None:
        """Appends a complete row and adds the item that ends with it, if one does."""
        self._window.append(slot)
        if len(self._window) > self._item_length:
            self._replay.leave_with(self._newest, self._window.pop(0))
        if len(self._window) == self._item_length:
            if self._start % self._replay.declaration.period == 0:
                self._newest = self._replay.insert(self._window)
            self._start += 1

    def state(self) -> np.ndarray:
        """Returns the newest item, the open row (-1 for none), the next start, and the window."""
        numbers = (-1 if number is None else number for number in (self._newest, self._open))
        return np.asarray([*numbers, self._start, *self._window], np.int64)

    def set_state(self, state: np.ndarray | None) -> None:
        """Goes back to a `state`; None is no running episode."""
        numbers = [-1, -1, 0] if state is None else state.tolist()
        newest, open_row, self._start, *self._window = numbers
        self._newest = None if newest == -1 else newest
        self._open = None if open_row == -1 else open_row


def _random_state(random: np.random.Generator) -> np.ndarray:
    """Returns the state of a Philox generator as `[13]` uint64."""
    state = random.bit_generator.state
    rest = [state["buffer_pos"], state["has_uint32"], state["uinteger"]]
    parts = [state["state"]["counter"], state["state"]["key"], state["buffer"], rest]
    return np.concatenate([np.asarray(part, np.uint64) for part in parts])


def _set_random_state(random: np.random.Generator, state: np.ndarray) -> None:
    state = np.asarray(state, np.uint64)
    random.bit_generator.state = {
        "bit_generator": "Philox",
        "state": {"counter": state[:4], "key": state[4:6]},
        "buffer": state[6:10],
        "buffer_pos": int(state[10]),
        "has_uint32": int(state[11]),
        "uinteger": int(state[12]),
    }
