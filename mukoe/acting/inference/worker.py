"""One device of a server: batches in, answers out, two batches under way at a time."""

import queue
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import chex
import jax
import numpy as np

from mukoe.acting.inference.batching import BatchQueue, BatchSizes, StagingArea
from mukoe.acting.inference.metrics import BatchRecord
from mukoe.acting.inference.parameters import ServerParameters
from mukoe.acting.inference.requests import Answer, Request
from mukoe.acting.inference.serving import Served
from mukoe.types import Nest

_BATCHES_UNDER_WAY = 2
_POLL_SECONDS = 0.1


class _UnderWay(NamedTuple):
    batch: list[Request]
    staging: StagingArea
    result: Nest
    learner_steps: int
    started: float


class Worker:
    """Serves the sessions of one device.

    One thread fills a batch and starts it on the device while the one before is computed;
    another waits for results and answers.
    """

    def __init__(
        self,
        index: int,
        device: jax.Device,
        served: Served,
        serve: Callable,
        parameters: ServerParameters,
        random_key: chex.PRNGKey,
        requests: BatchQueue,
        sizes: BatchSizes,
        num_slots: int,
        on_batch: Callable[[BatchRecord], None],
    ):
        """Puts the memory on the device.

        Args:
          index: index of the device on this server.
          device: device that computes.
          served: functions of the policy.
          serve: `served.serve`, jitted.
          parameters: parameters of the server.
          random_key: key of the actions.
          requests: queue of this device's sessions.
          sizes: compiled batch sizes.
          num_slots: number of memory slots of environments.
          on_batch: function called with the record of every answered batch.
        """
        self._index = index
        self._serve = serve
        self._parameters = parameters
        self._key = jax.device_put(random_key, device)
        self._requests = requests
        self._sizes = sizes
        self._on_batch = on_batch
        # One slot more, for padding.
        self._memory = jax.device_put(served.initial_memory(num_slots + 1), device)
        self._steps = 0
        self._free: queue.Queue[StagingArea] = queue.Queue()
        for _ in range(_BATCHES_UNDER_WAY):
            self._free.put(StagingArea(served.input_specs, sizes, num_slots))
        self._under_way: queue.Queue[_UnderWay] = queue.Queue()

    def compile(self, should_stop: Callable[[], bool]) -> None:
        """Compiles every batch size, and measures its cost on padding."""
        staging = self._free.get()
        for size in self._sizes.all:
            if should_stop():
                break
            self._run_blank(staging, size)
            start = time.monotonic()
            self._run_blank(staging, size)
            self._sizes.measured(size, time.monotonic() - start)
        self._steps = 0
        self._free.put(staging)

    def start_batches(self, should_stop: Callable[[], bool]) -> None:
        """Fills and starts batches until `should_stop` returns True."""
        while not should_stop():
            try:
                staging = self._free.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                continue
            batch = self._requests.take(_POLL_SECONDS)
            if not batch:
                self._free.put(staging)
                continue
            started = time.monotonic()
            try:
                result, learner_steps = self._start(*staging.fill(batch))
            except BaseException:
                _fail(batch)
                raise
            for request in batch:
                request.session.is_blank = False
            self._under_way.put(_UnderWay(batch, staging, result, learner_steps, started))

    def answer_batches(self, should_stop: Callable[[], bool]) -> None:
        """Waits for results and sets the answers until `should_stop` returns True."""
        while not should_stop():
            try:
                under_way = self._under_way.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                continue
            try:
                self._answer(under_way)
            except BaseException:
                _fail(under_way.batch)
                raise

    def close(self) -> None:
        """Fails unanswered requests; call after the threads have ended."""
        self._requests.close()
        while not self._under_way.empty():
            _fail(self._under_way.get().batch)

    def _run_blank(self, staging: StagingArea, size: int) -> None:
        result, _ = self._start(*staging.blank(size))
        jax.block_until_ready(result)

    def _start(
        self, leaves: list[np.ndarray], is_first: np.ndarray, slots: np.ndarray
    ) -> tuple[Nest, int]:
        version = self._parameters.newest
        assert version is not None, "parameters come before requests"
        params = version.on_devices[self._index]
        result, self._memory = self._serve(
            params, self._key, self._steps, leaves, is_first, slots, memory=self._memory
        )
        self._steps += 1
        return result, version.learner_steps

    def _answer(self, under_way: _UnderWay) -> None:
        leaves, structure = jax.tree.flatten(under_way.result)
        # Copies: results may share memory with the staging area.
        leaves = [np.array(leaf) for leaf in leaves]
        self._requests.finished()
        parts = [structure.unflatten(part) for part in _split(leaves, under_way.batch)]
        self._free.put(under_way.staging)
        now = time.monotonic()
        for request, part in zip(under_way.batch, parts, strict=True):
            request.session.last_used = now
            request.session.is_waiting = False
            seconds = now - request.arrived
            request.answer.set_result(Answer(part, under_way.learner_steps, seconds))
        self._on_batch(
            BatchRecord(
                environments=sum(request.size for request in under_way.batch),
                fill=sum(request.size for request in under_way.batch) / self._sizes.all[-1],
                waits=[under_way.started - request.arrived for request in under_way.batch],
                latencies=[now - request.arrived for request in under_way.batch],
                learner_steps=under_way.learner_steps,
            )
        )


def _split(
    leaves: Sequence[np.ndarray], batch: Sequence[Request]
) -> Iterator[Sequence[np.ndarray]]:
    end = 0
    for request in batch:
        part = slice(end, end + request.size)
        end = part.stop
        yield [leaf[part] for leaf in leaves]


def _fail(batch: Sequence[Request]) -> None:
    for request in batch:
        request.fail("the inference server stopped")
