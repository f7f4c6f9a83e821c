"""The learner: one class for every agent."""

import dataclasses
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
from mukoe.learning.prefetch import Prefetcher
from mukoe.observability.timings import Timings, shares, time_columns
from mukoe.types import Array, LossFunction, Nest, Params, PolicyParams, Sample


@dataclasses.dataclass(frozen=True)
class TargetUpdateConfig:
    """How the target parameters follow the online ones."""

    # Every this many updates ...
    period: int = 100
    # ... target <- (1 - rate) target + rate online. 1 copies.
    rate: float = 1.0


class LearnerState(NamedTuple):
    """Everything that an update changes.

    params, target_params, optimizer_state: trees of arrays.
    steps: `[]` int32, updates made so far.
    key: `[2]` uint32; update `i` uses `fold_in(key, i)`.
    loss_state: what the loss remembers; `()` for most.
    """

    params: Params
    target_params: Params
    optimizer_state: optax.OptState
    steps: Array
    key: chex.PRNGKey
    loss_state: Nest = ()


class Logger(Protocol):
    """Where metrics go."""

    def write(self, data: Mapping[str, Any]) -> None: ...


PriorityUpdater = Callable[[np.ndarray, np.ndarray], None]
"""`update_priorities(keys [B], priorities [B])`."""


class _PlacedSample(NamedTuple):
    keys: np.ndarray  # uint64, which JAX without 64 bit would cut: stays on the host
    sample: Sample


class Learner:
    """Minimises an agent's loss over samples, on all the local devices.

    The batch is sharded over the devices and the parameters are replicated, so the update
    equals that of one device with the whole batch. Method names are Acme's
    (`acme.core.Learner`).
    """

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
    ):
        """Builds the learner; nothing is compiled or read before the first step.

        Args:
          loss: pure, of the whole batch; its mean over the batch is the agent's business.
          optimizer: an optax chain.
          params: initial parameters.
          dataset: samples of NumPy arrays, all of one shape.
          random_key: for the loss.
          target_update: how target parameters follow.
          loss_state: what the loss remembers at first; `()` for a loss without memory.
          update_priorities: takes the keys and priorities of each sample.
          logger: gets the metrics of the steps.
          counter: `increment(learner_steps=1)` is called on it.
          devices: to learn on; all local ones by default.
          prefetch_size: batches that a thread puts on the devices ahead of time; 0 for
            none, which keeps everything in the caller's thread.
        """
        self._mesh = Mesh(np.array(devices or jax.local_devices()), ("data",))
        self._sharded = NamedSharding(self._mesh, PartitionSpec("data"))
        self._replicated = NamedSharding(self._mesh, PartitionSpec())
        self._update = jax.jit(
            functools.partial(_update, loss, optimizer, target_update),
            out_shardings=self._replicated,
        )
        self._state = self._replicate(
            LearnerState(
                params, params, optimizer.init(params), jnp.int32(0), random_key, loss_state
            )
        )
        self._update_priorities = update_priorities
        self._unsent_priorities: tuple[np.ndarray, Array] | None = None
        self._logger = logger
        self._counter = counter
        self._published: tuple[int, PolicyParams] | None = None
        self._publish_lock = threading.Lock()
        self._prefetcher: Prefetcher | None = None
        self._samples: Iterator[_PlacedSample]
        self._production = Timings()
        self._timings = Timings()
        self._previous: Mapping[str, Array] | None = None
        timed = self._timed(dataset)
        if prefetch_size:
            self._prefetcher = Prefetcher(timed, self._place, prefetch_size)
            self._samples = self._prefetcher
        else:
            self._samples = map(self._place, timed)

    @property
    def steps(self) -> int:
        """Updates made so far."""
        return int(self._state.steps)

    def step(self) -> Mapping[str, Array]:
        """Makes one update and returns its metrics, still on the device.

        Raises StopIteration where the dataset has ended.
        """
        self._timings.start()
        placed = next(self._samples)
        self._lap("data")
        self._state, metrics, priorities = self._update(self._state, placed.sample)
        self._send_priorities()
        # The device has this update to do meanwhile: it never waits here.
        jax.block_until_ready(self._previous)
        self._lap("update")
        self._previous = metrics
        if priorities is not None:
            self._unsent_priorities = (placed.keys, priorities)
        counts = self._counter.increment(learner_steps=1) if self._counter else {}
        if self._logger:
            self._logger.write({**counts, **metrics, **time_columns(self.time_shares())})
        return metrics

    def time_shares(self) -> dict[str, float]:
        """Fractions of the learning time after the first step, which compiles.

        `data` is spent in waiting for replay, `transfer` in waiting for samples on their way to
        the devices, `update` in all the rest. Waiting is divided in proportion to the time that
        either takes: a sample that was prepared ahead of time costs nothing.
        """
        seconds = dict(self._timings.seconds)
        if not seconds:
            return {}
        waited = seconds.pop("data")
        production = shares(self._production.seconds)
        parts = {part: waited * production[part] for part in ("data", "transfer")}
        return shares({**parts, **seconds})

    def get_variables(self, names: Sequence[str] = ("policy",)) -> list[PolicyParams]:
        """Returns NumPy `PolicyParams` for each name; `policy` is the only name.

        Safe to call from any thread while the learner steps.
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

    def save(self) -> LearnerState:
        """Returns the state as NumPy arrays."""
        return jax.tree.map(np.asarray, self._state)

    def restore(self, state: LearnerState) -> None:
        """Goes on from a saved state."""
        with self._publish_lock:
            self._state = self._replicate(state)
            self._published = None

    def flush(self) -> None:
        """Sends what the last update left to be sent to replay."""
        self._send_priorities()

    def close(self) -> None:
        """Ends the prefetching; a waiting `step` raises StopIteration."""
        if self._prefetcher:
            self._prefetcher.close()

    def _replicate(self, state: LearnerState) -> LearnerState:
        return jax.device_put(state, self._replicated)

    def _place(self, sample: Sample) -> _PlacedSample:
        batch_size = sample.probabilities.shape[0]
        if batch_size % self._mesh.size:
            raise UserError(
                f"the batch size {batch_size} cannot be split evenly over the "
                f"{self._mesh.size} devices of the learner: make it a multiple of that"
            )
        on_device = jax.device_put(sample._replace(keys=()), self._sharded)
        jax.block_until_ready(on_device)
        self._production.lap("transfer")
        return _PlacedSample(sample.keys, on_device)

    def _timed(self, dataset: Iterator[Sample]) -> Iterator[Sample]:
        while True:
            self._production.start()
            try:
                sample = next(dataset)
            except StopIteration:
                return
            self._production.lap("data")
            yield sample

    def _lap(self, part: str) -> None:
        if self._previous is None:
            self._timings.start()
        else:
            self._timings.lap(part)

    def _send_priorities(self) -> None:
        """Sends the previous update's priorities, whose computation has ended by now."""
        if self._unsent_priorities is None:
            return
        keys, priorities = self._unsent_priorities
        self._unsent_priorities = None
        if self._update_priorities:
            self._update_priorities(keys, np.asarray(priorities, np.float64))


def _update(
    loss: LossFunction,
    optimizer: optax.GradientTransformation,
    target_update: TargetUpdateConfig,
    state: LearnerState,
    sample: Sample,
) -> tuple[LearnerState, Mapping[str, Array], Array | None]:
    key = jax.random.fold_in(state.key, state.steps)
    memory = (state.loss_state,) if jax.tree.leaves(state.loss_state) else ()
    gradients, extra = jax.grad(loss, has_aux=True)(
        state.params, state.target_params, sample, key, *memory
    )
    updates, optimizer_state = optimizer.update(gradients, state.optimizer_state, state.params)
    params = optax.apply_updates(state.params, updates)
    steps = state.steps + 1
    target_params = optax.periodic_update(
        optax.incremental_update(params, state.target_params, target_update.rate),
        state.target_params,
        steps,
        target_update.period,
    )
    metrics = {
        **extra.metrics,
        "gradient_norm": optax.global_norm(gradients),
        "parameter_norm": optax.global_norm(params),
    }
    return (
        LearnerState(params, target_params, optimizer_state, steps, state.key, extra.loss_state),
        metrics,
        extra.priorities,
    )
