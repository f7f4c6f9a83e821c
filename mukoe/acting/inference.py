"""Central inference: many actors, one batched policy on one device.

    actor 0 --observation [B0, ...]--+                +--> actor 0: action, extras
    actor 1 --observation [B1, ...]--+--> one batch --+--> actor 1
    actor 2 --observation [B2, ...]--+                +--> actor 2

The policy's memory stays on the server, one slot for each environment, so a request
carries the newest frame only.
"""

import dataclasses
import functools
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent import futures
from typing import Any, NamedTuple

import chex
import jax
import numpy as np

from mukoe.acting.runners import make_act
from mukoe.acting.variables import VariableClient
from mukoe.errors import UserError
from mukoe.types import Array, Nest, Policy, PolicyParams


@dataclasses.dataclass(frozen=True)
class InferenceConfig:
    """How requests become batches."""

    # Environments in a batch at most.
    max_batch_size: int = 64
    # A batch that is not full leaves when its oldest request has waited this long.
    deadline_ms: float = 5.0
    # An answer that takes longer than this is an error, for the server and for the client.
    timeout_seconds: float = 60.0


class Answer(NamedTuple):
    """What a request gets, all from one version of the parameters.

    actions: `[B]` int32.
    extras: arrays `[B, ...]`.
    learner_steps: the updates that made the parameters.
    """

    actions: np.ndarray
    extras: Mapping[str, np.ndarray]
    learner_steps: int


@dataclasses.dataclass
class _Request:
    slots: np.ndarray
    leaves: list[np.ndarray]
    is_first: np.ndarray
    arrived: float
    answer: "futures.Future[Answer]"


def bucket_sizes(max_batch_size: int) -> list[int]:
    """Powers of two up to the maximum, and the maximum: the compiled batch sizes."""
    sizes = [1]
    while sizes[-1] * 2 < max_batch_size:
        sizes.append(sizes[-1] * 2)
    return sizes if max_batch_size == 1 else sizes + [max_batch_size]


class InferenceServer:
    """Answers `act` requests of many threads with one batched policy.

    `run` does the work in one thread; `open_session` and `act` may be called from any
    number of others, which wait for their answers.
    """

    def __init__(
        self,
        policy: Policy,
        observation_spec: Nest,
        variables: VariableClient,
        random_key: chex.PRNGKey,
        config: InferenceConfig,
        max_environments: int,
    ):
        """Makes a server; it answers once `run` has compiled every batch size.

        Args:
          policy: what it runs.
          observation_spec: of one environment, against which requests are checked.
          variables: where parameters come from.
          random_key: of the actions.
          config: how requests become batches.
          max_environments: of all sessions together; each has a slot of policy memory.
        """
        self._policy = policy
        self._specs, self._structure = jax.tree.flatten(observation_spec)
        self._variables = variables
        self._key = random_key
        self._config = config
        self._max_batch_size = min(config.max_batch_size, max_environments)
        self._buckets = bucket_sizes(self._max_batch_size)
        self._scratch_slot = max_environments
        self._memory = policy.initial_state(max_environments + 1)
        self._serve = jax.jit(
            functools.partial(_serve, make_act(policy)), donate_argnames=("memory",)
        )
        self._steps = 0
        self._sessions: dict[str, np.ndarray] = {}
        self._pending: list[_Request] = []
        self._changed = threading.Condition()
        self._stopped = False
        self._ready = threading.Event()
        self._statistics = _Statistics()

    def wait_until_ready(self) -> None:
        """Returns when everything is compiled.

        Raises TimeoutError where that takes too long: ask again.
        """
        if not self._ready.wait(self._config.timeout_seconds / 2):
            raise TimeoutError("the inference server is still compiling")

    def open_session(self, name: str, num_envs: int) -> None:
        """Reserves memory for an actor's environments; again for the same name is free.

        Raises UserError where the server has no room, or an actor's vector is too large.
        """
        if num_envs > self._config.max_batch_size:
            raise UserError(
                f"{name} has {num_envs} environments, more than the inference server's "
                f"max_batch_size {self._config.max_batch_size}: raise that, or use fewer"
            )
        with self._changed:
            if name in self._sessions and len(self._sessions[name]) == num_envs:
                return
            used = sum(len(slots) for slots in self._sessions.values())
            if name in self._sessions or used + num_envs > self._scratch_slot:
                raise UserError(
                    f"the inference server has room for {self._scratch_slot} environments: "
                    f"{used} are taken, and {name} asks for {num_envs}"
                )
            self._sessions[name] = np.arange(used, used + num_envs, dtype=np.int32)

    def act(self, name: str, leaves: Sequence[np.ndarray], is_first: np.ndarray) -> Answer:
        """Returns actions and extras for the environments of session `name`.

        Args:
          name: of an open session with `B` environments.
          leaves: the flat observation, arrays `[B, ...]`.
          is_first: `[B]` bool, where an episode starts.

        Raises KeyError for an unknown session, UserError for a malformed observation, and
        TimeoutError where no answer could be given in time.
        """
        slots = self._sessions[name]
        self._check(name, leaves, is_first, len(slots))
        request = _Request(
            slots, list(leaves), np.asarray(is_first), time.monotonic(), futures.Future()
        )
        with self._changed:
            if self._stopped:
                raise TimeoutError("the inference server is stopping")
            self._pending.append(request)
            self._changed.notify_all()
        answered, _ = futures.wait([request.answer], self._config.timeout_seconds)
        if not answered:
            raise TimeoutError(f"no answer for {name} within {self._config.timeout_seconds} s")
        return request.answer.result()

    def run(self, should_stop: Callable[[], bool]) -> None:
        """Serves until it should stop, then fails the requests that are left."""
        batch: list[_Request] = []
        try:
            self._compile(should_stop)
            self._ready.set()
            while not should_stop():
                if batch := self._next_batch():
                    self._answer(batch)
                self._variables.update()
        finally:
            with self._changed:
                self._stopped = True
                for request in [*batch, *self._pending]:
                    if not request.answer.done():
                        request.answer.set_exception(TimeoutError("the inference server stopped"))
                self._pending.clear()

    def metrics(self) -> dict[str, float]:
        """Counts and latencies since the last call."""
        return {
            **self._statistics.pop(),
            "learner_steps": float(self._variables.params.learner_steps),
            "variable_failures": float(self._variables.failures),
        }

    def _check(
        self, name: str, leaves: Sequence[np.ndarray], is_first: np.ndarray, num_envs: int
    ) -> None:
        got = [(np.shape(leaf), np.asarray(leaf).dtype) for leaf in leaves]
        expected = [((num_envs, *spec.shape), np.dtype(spec.dtype)) for spec in self._specs]
        if got != expected:
            raise UserError(f"{name} sent an observation of {got}, expected {expected}")
        if np.shape(is_first) != (num_envs,):
            raise UserError(f"{name} sent is_first {np.shape(is_first)}, expected {(num_envs,)}")

    def _compile(self, should_stop: Callable[[], bool]) -> None:
        for size in self._buckets:
            if should_stop():
                return
            leaves = [np.zeros((size, *spec.shape), spec.dtype) for spec in self._specs]
            slots = np.full(size, self._scratch_slot, np.int32)
            self._run_policy(leaves, np.ones(size, bool), slots)

    def _next_batch(self) -> list[_Request]:
        """Waits until a batch is full, or its oldest request may wait no longer."""
        with self._changed:
            if not self._pending:
                self._changed.wait(0.1)
            if not self._pending:
                return []
            leave_at = self._pending[0].arrived + self._config.deadline_ms / 1000
            while self._pending_environments() < self._full_batch():
                remaining = leave_at - time.monotonic()
                if remaining <= 0:
                    break
                self._changed.wait(remaining)
            batch: list[_Request] = []
            size = 0
            while self._pending:
                size += len(self._pending[0].slots)
                if size > self._max_batch_size:
                    break
                batch.append(self._pending.pop(0))
            return batch

    def _pending_environments(self) -> int:
        return sum(len(request.slots) for request in self._pending)

    def _full_batch(self) -> int:
        """A batch with every environment that there is cannot become fuller."""
        open_environments = sum(len(slots) for slots in self._sessions.values())
        return min(self._max_batch_size, open_environments)

    def _answer(self, batch: list[_Request]) -> None:
        started = time.monotonic()
        slots = np.concatenate([request.slots for request in batch])
        size = next(size for size in self._buckets if size >= len(slots))
        pad = functools.partial(_pad, size=size)
        leaves = [
            pad(np.concatenate(parts)) for parts in zip(*(r.leaves for r in batch), strict=True)
        ]
        is_first = pad(np.concatenate([request.is_first for request in batch]))
        padded_slots = np.full(size, self._scratch_slot, np.int32)
        padded_slots[: len(slots)] = slots
        action, extras, learner_steps = self._run_policy(leaves, is_first, padded_slots)
        start = 0
        for request in batch:
            part = slice(start, start + len(request.slots))
            start = part.stop
            mine = {name: value[part] for name, value in extras.items()}
            request.answer.set_result(Answer(action[part], mine, learner_steps))
        self._statistics.add(batch, len(slots) / self._max_batch_size, started)

    def _run_policy(
        self, leaves: list[np.ndarray], is_first: np.ndarray, slots: np.ndarray
    ) -> tuple[np.ndarray, dict[str, np.ndarray], int]:
        params = self._variables.params
        observation = jax.tree.unflatten(self._structure, leaves)
        action, extras, self._memory = self._serve(
            params, self._key, self._steps, observation, is_first, slots, self._memory
        )
        self._steps += 1
        return (
            np.asarray(action),
            {name: np.asarray(value) for name, value in extras.items()},
            int(params.learner_steps),
        )


def _serve(
    act: Callable,
    params: PolicyParams,
    key: chex.PRNGKey,
    step: Array,
    observation: Nest,
    is_first: Array,
    slots: Array,
    memory: Nest,
) -> tuple[Array, Mapping[str, Array], Nest]:
    state = jax.tree.map(lambda whole: whole[slots], memory)
    action, extras, state = act(params, key, step, observation, is_first, state)
    memory = jax.tree.map(lambda whole, part: whole.at[slots].set(part), memory, state)
    return action, extras, memory


def _pad(array: np.ndarray, size: int) -> np.ndarray:
    missing = size - len(array)
    return np.concatenate([array, np.zeros((missing, *array.shape[1:]), array.dtype)])


class _Statistics:
    """Latencies and counts of the answered requests since the last report."""

    _KEPT = 4096

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._clear()

    def _clear(self) -> None:
        self._since = time.monotonic()
        self._requests = 0
        self._environments = 0
        self._batches = 0
        self._fill = 0.0
        self._waits: list[float] = []
        self._latencies: list[float] = []

    def add(self, batch: list[_Request], fill: float, started: float) -> None:
        now = time.monotonic()
        with self._lock:
            self._requests += len(batch)
            self._environments += sum(len(request.slots) for request in batch)
            self._batches += 1
            self._fill += fill
            if len(self._waits) < self._KEPT:
                self._waits += [started - request.arrived for request in batch]
                self._latencies += [now - request.arrived for request in batch]

    def pop(self) -> dict[str, float]:
        with self._lock:
            elapsed = max(time.monotonic() - self._since, 1e-9)
            metrics = {
                "requests_per_second": self._requests / elapsed,
                "environments_per_second": self._environments / elapsed,
                "batch_fill": self._fill / max(self._batches, 1),
                **_percentiles("queue_wait_ms", self._waits),
                **_percentiles("latency_ms", self._latencies),
            }
            self._clear()
        return metrics


def _percentiles(name: str, seconds: list[float]) -> dict[str, float]:
    if not seconds:
        return {}
    values = np.percentile(np.asarray(seconds) * 1000, [50, 95, 99])
    return {f"{name}_p{p}": float(value) for p, value in zip((50, 95, 99), values, strict=True)}


class RemoteRunner:
    """Asks an inference server for actions; the counterpart of `LocalRunner`."""

    def __init__(self, server: Any, name: str, num_envs: int):
        """Knows its server; `open` comes before the first `act`.

        Args:
          server: an `InferenceServer`, or a remote client with its methods.
          name: unique among the actors of the server.
          num_envs: environments of this actor.
        """
        self._server = server
        self._name = name
        self._num_envs = num_envs
        self._learner_steps = 0

    def open(self) -> None:
        """Waits for the server and opens the session; see `InferenceServer`."""
        self._server.wait_until_ready()
        self._server.open_session(self._name, self._num_envs)

    def act(
        self, observation: Nest, is_first: np.ndarray
    ) -> tuple[np.ndarray, Mapping[str, np.ndarray]]:
        answer = self._server.act(self._name, jax.tree.leaves(observation), is_first)
        actions, extras, self._learner_steps = answer
        return actions, extras

    def update(self, wait: bool = False) -> None:
        """Nothing to do: the server keeps the parameters."""

    @property
    def learner_steps(self) -> int:
        return self._learner_steps
