"""The learner: one class for every agent."""

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from mukoe.errors import UserError
from mukoe.learning.non_finite import NonFiniteUpdatesError
from mukoe.learning.prefetch import Prefetcher
from mukoe.learning.processes import (
    broadcast,
    fetch_rows,
    in_process_order,
    replicate,
    rows_of_this_process,
    shard_rows,
)
from mukoe.learning.update import (
    LearnerState,
    TargetUpdateConfig,
    UpdateFunction,
    gradient_update,
    update_if_complete,
)
from mukoe.observability.timings import Timings, time_columns
from mukoe.types import Array, LossFunction, Nest, Params, PolicyParams, Sample


class Logger(Protocol):
    """Logger of metrics."""

    def write(self, data: Mapping[str, Any]) -> None: ...


PriorityUpdater = Callable[[np.ndarray, np.ndarray], None]
"""`update_priorities(keys [B], priorities [B])`."""


class _PlacedSample(NamedTuple):
    keys: np.ndarray  # uint64, which JAX truncates to 32 bits: stays on the host
    sample: Sample


class _Update(NamedTuple):
    placed: _PlacedSample
    metrics: Mapping[str, Array]
    priorities: Array | None
    finite: Array
    # Whether every process had a sample; None for a learner of one process.
    complete: Array | None = None


class Learner:
    """Learner that minimises an agent's loss over samples, on all devices.

    The batch is sharded over the devices and the parameters are replicated, so the update
    equals that of one device with the whole batch. Method names are Acme's
    (`acme.core.Learner`).

    After `jax.distributed.initialize` the devices are those of all processes. Each process has a
    learner, whose samples are its part of the batch, all of one size, and all call `compile`,
    `step` and `share_state` in the same order. If the samples of one process end, `step` raises
    StopIteration in all processes after the same update.

    An update with a non-finite loss, gradient or parameter is skipped: it changes only the number
    of steps, and is counted in the metric `skipped_updates`.

    max_skipped_updates: number of consecutive skipped updates after which `step` raises.
    """

    max_skipped_updates = 10

    def __init__(
        self,
        loss: LossFunction,
        optimizer: optax.GradientTransformation,
        params: Params,
        dataset: Iterator[Sample],
        random_key: chex.PRNGKey,
        *,
        target_update: TargetUpdateConfig,
        loss_state: Nest = (),
        update_priorities: PriorityUpdater | None = None,
        logger: Logger | None = None,
        counter: Any | None = None,
        devices: Sequence[jax.Device] | None = None,
        prefetch_size: int = 0,
        update: UpdateFunction | None = None,
    ):
        """Builds the learner; nothing is compiled or read before the first step.

        Args:
          loss: pure function of the whole batch, which reduces over the batch.
          optimizer: optax chain.
          params: initial parameters.
          dataset: samples of NumPy arrays, all of one shape.
          random_key: random key of the loss.
          target_update: settings of the target parameters.
          loss_state: initial state of the loss; `()` for a stateless loss.
          update_priorities: function that receives the keys and priorities of each sample.
          logger: logger of the metrics of each step.
          counter: counter whose `increment(learner_steps=1)` is called at each step.
          devices: devices of the learner; those of all processes by default.
          prefetch_size: number of batches that a thread puts on the devices ahead of time; 0
            for none, which keeps everything in the caller's thread.
          update: update of the state by a sample; by default one gradient step.
        """
        self._update_function = functools.partial(
            update or gradient_update, loss, optimizer, target_update
        )
        self._state = LearnerState(
            params, params, optimizer.init(params), jnp.int32(0), random_key, loss_state
        )
        # Placed sample of a process without a further one, whose update is discarded.
        self._substitute: _PlacedSample | None = None
        self._ended = False
        self.use_devices(devices or jax.devices())
        self._update_priorities = update_priorities
        # The last update, whose metrics are computed while the next one is prepared.
        self._unchecked: _Update | None = None
        self._unsent_priorities: tuple[np.ndarray, Array] | None = None
        self._skipped = 0
        self._skipped_in_a_row = 0
        self._logger = logger
        self._counter = counter
        self._published: tuple[int, PolicyParams] | None = None
        self._publish_lock = threading.Lock()
        self._prefetcher: Prefetcher | None = None
        self._samples: Iterator[_PlacedSample]
        self._timings = Timings()
        self._has_stepped = False
        self._measured: set[str] = set()
        if prefetch_size:
            self._prefetcher = Prefetcher(dataset, self._place, prefetch_size)
            self._samples = self._prefetcher
        else:
            self._samples = map(self._place, dataset)

    def use_devices(self, devices: Sequence[jax.Device]) -> None:
        """Sets the devices; call it before the first step."""
        self._mesh = Mesh(np.array(in_process_order(devices)), ("data",))
        self._sharded = NamedSharding(self._mesh, PartitionSpec("data"))
        self._replicated = NamedSharding(self._mesh, PartitionSpec())
        self._spans_processes = not self._replicated.is_fully_addressable
        update = self._update_function
        if self._spans_processes:
            update = functools.partial(update_if_complete, update)
        self._update = jax.jit(update, out_shardings=self._replicated)
        self._state = self._replicate(self._state)

    @property
    def spans_processes(self) -> bool:
        """True if the devices belong to several processes."""
        return self._spans_processes

    @property
    def batch_sharding(self) -> NamedSharding:
        """Sharding of a batch over the devices."""
        return self._sharded

    @property
    def steps(self) -> int:
        """Number of updates so far."""
        return int(self._state.steps)

    def compile(self, sample: Sample) -> None:
        """Compiles the update; the state stays as it is.

        Args:
          sample: sample with the shapes and types of those of the dataset, which are not read.
        """
        self._substitute = self._place(sample)
        jax.block_until_ready(self._start_update(self._substitute, has_sample=True))

    def step(self) -> Mapping[str, Array]:
        """Makes one update and returns its metrics, still on the device.

        Raises:
          StopIteration: the dataset has ended, here or in another process.
          NonFiniteUpdatesError: the last `max_skipped_updates` updates were not finite.
        """
        self._timings.start()
        placed, has_sample = self._next_sample()
        self._lap("data")
        jax.block_until_ready(placed.sample)
        self._lap("transfer")
        self._state, *results = self._start_update(placed, has_sample)
        # Meanwhile the device computes this update, so it never idles here.
        self._check_last_update()
        if self._ended:  # This update was discarded too, since a dataset that has ended stays so.
            raise StopIteration
        self._send_priorities()
        self._lap("update")
        self._has_stepped = True
        self._unchecked = _Update(placed, *results)
        metrics = {**self._unchecked.metrics, "skipped_updates": self._skipped}
        counts = self._counter.increment(learner_steps=1) if self._counter else {}
        if self._logger:
            self._logger.write({**counts, **metrics, **self.time_columns()})
        return metrics

    def wait(self) -> None:
        """Waits for the last update, whose time is then that of learning."""
        jax.block_until_ready(self._state)
        self._lap("update")

    def time_columns(self) -> dict[str, float]:
        """Returns time shares and seconds of learning under their names in logs."""
        return {**time_columns(self.time_shares()), "learning_seconds": self._timings.total}

    def time_shares(self) -> dict[str, float]:
        """Fractions of the learning time after the first step, which compiles.

        `data` is the wait for replay, `transfer` the wait for transfers to the devices, and
        `update` the rest, without the parts of `measure`. A prefetched sample costs nothing.
        """
        return self._timings.shares()

    @contextlib.contextmanager
    def measure(self, part: str) -> Iterator[None]:
        """Waits for the last update, and then measures work between two updates as a part.

        The first measurement of a part is discarded, since it includes compilation.
        """
        self.wait()
        yield
        if part in self._measured:
            self._lap(part)
        if self._has_stepped:
            self._measured.add(part)

    def get_variables(self, names: Sequence[str] = ("policy",)) -> list[PolicyParams]:
        """Returns NumPy `PolicyParams` for each name; `policy` is the only name.

        Thread-safe while the learner steps.
        """
        if any(name != "policy" for name in names):
            raise UserError(f"unknown variables {list(names)}: this learner has 'policy'")
        with self._publish_lock:
            state = self._state
            steps = int(state.steps)
            if self._published is None or self._published[0] != steps:
                params = jax.tree.map(np.asarray, state.params)
                self._published = (steps, PolicyParams(params, np.int32(steps)))
            return [self._published[1] for _ in names]

    def device_variables(self) -> PolicyParams:
        """Returns the newest parameters on the learner's devices, possibly still being computed."""
        state = self._state
        return PolicyParams(state.params, state.steps)

    def save(self) -> LearnerState:
        """Returns the state as NumPy arrays."""
        return jax.tree.map(np.asarray, self._state)

    def restore(self, state: LearnerState) -> None:
        """Restores a saved state."""
        with self._publish_lock:
            self._state = self._replicate(state)
            self._published = None

    def share_state(self) -> None:
        """Replaces the state of the learners of all processes by that of the first process."""
        if self._spans_processes:
            self.restore(LearnerState(*broadcast(self.save())))

    def save_unsent(self) -> dict[str, np.ndarray]:
        """Returns the unsent priorities of the last update and the counts of skipped updates."""
        self._check_last_update()
        unsent = dict(zip(("keys", "priorities"), self._unsent_priorities or (), strict=False))
        counts = np.array([self._skipped, self._skipped_in_a_row], np.int64)
        return {"skipped": counts, **{name: np.asarray(value) for name, value in unsent.items()}}

    def restore_unsent(self, unsent: Mapping[str, np.ndarray]) -> None:
        """Restores the result of `save_unsent`."""
        self._skipped, self._skipped_in_a_row = unsent["skipped"].tolist()
        has_priorities = "keys" in unsent
        self._unsent_priorities = (unsent["keys"], unsent["priorities"]) if has_priorities else None

    def flush(self) -> None:
        """Sends the unsent priorities of the last update to replay."""
        self._check_last_update()
        self._send_priorities()

    def close(self) -> None:
        """Stops the prefetching; a waiting `step` raises StopIteration."""
        if self._prefetcher:
            self._prefetcher.close()

    def _replicate(self, state: LearnerState) -> LearnerState:
        return replicate(state, self._replicated)

    def _place(self, sample: Sample) -> _PlacedSample:
        batch_size = sample.probabilities.shape[0]
        num_devices = len(self._mesh.local_devices)
        if batch_size % num_devices:
            raise UserError(
                f"the batch size {batch_size} cannot be split evenly over the "
                f"{num_devices} devices of the learner: make it a multiple of that"
            )
        return _PlacedSample(sample.keys, shard_rows(sample._replace(keys=()), self._sharded))

    def _next_sample(self) -> tuple[_PlacedSample, bool]:
        """Returns the next sample and True; a substitute and False to end all processes."""
        try:
            placed = next(self._samples)
        except StopIteration:
            if not self._spans_processes or self._substitute is None:
                raise
            return self._substitute, False
        if self._spans_processes:
            self._substitute = placed
        return placed, True

    def _start_update(self, placed: _PlacedSample, has_sample: bool) -> tuple[Any, ...]:
        if not self._spans_processes:
            return self._update(self._state, placed.sample)
        flags = np.full(len(self._mesh.local_devices), has_sample)
        return self._update(self._state, placed.sample, shard_rows(flags, self._sharded))

    def _lap(self, part: str) -> None:
        if self._has_stepped:
            self._timings.lap(part)
        else:
            self._timings.start()

    def _check_last_update(self) -> None:
        last, self._unchecked = self._unchecked, None
        if last is None:
            return
        jax.block_until_ready(last.metrics)
        if last.complete is not None and not last.complete:
            self._ended = True
            return
        if last.finite:
            self._skipped_in_a_row = 0
            if last.priorities is not None:
                self._unsent_priorities = (last.placed.keys, self._own_rows(last.priorities))
            return
        self._skipped += 1
        self._skipped_in_a_row += 1
        if self._skipped_in_a_row >= self.max_skipped_updates:
            sample = jax.tree.map(fetch_rows, last.placed.sample)
            sample = sample._replace(keys=last.placed.keys)
            raise NonFiniteUpdatesError(self._skipped_in_a_row, sample)

    def _own_rows(self, priorities: Array) -> Array:
        if not self._spans_processes:
            return priorities
        return rows_of_this_process(priorities, self._sharded)

    def _send_priorities(self) -> None:
        """Sends the priorities of the previous update, which are computed by now."""
        if self._unsent_priorities is None:
            return
        keys, priorities = self._unsent_priorities
        self._unsent_priorities = None
        if self._update_priorities:
            self._update_priorities(keys, np.asarray(priorities, np.float64))
