"""Inference server: sessions, parameters, and one worker per device."""

import functools
import threading
import time
from collections.abc import Callable, Sequence
from concurrent import futures

import chex
import jax
import numpy as np

from mukoe.acting.inference.batching import BatchQueue, BatchSizes, bucket_sizes
from mukoe.acting.inference.config import InferenceConfig
from mukoe.acting.inference.metrics import ServerMetrics, exported_metrics
from mukoe.acting.inference.parameters import ServerParameters
from mukoe.acting.inference.requests import Answer, InputCheck, Request
from mukoe.acting.inference.serving import Served
from mukoe.acting.inference.sessions import Sessions
from mukoe.acting.inference.worker import Worker
from mukoe.acting.runners import jit_with_memory
from mukoe.acting.variables import VariableClient
from mukoe.errors import UserError
from mukoe.observability.prometheus import Metric
from mukoe.types import Nest, Policy, PolicyParams

_READY_SECONDS = 1.0
_REFRESH_SECONDS = 0.05
_POLL_SECONDS = 0.02
_JOIN_SECONDS = 5.0


class InferenceServer:
    """Answers the requests of many threads with one batched policy.

    `run` serves in threads of its own; the other methods are thread-safe. An error of a request
    is raised to its caller only.
    """

    def __init__(
        self,
        policy: Policy,
        observation_spec: Nest,
        variables: VariableClient,
        random_key: chex.PRNGKey,
        config: InferenceConfig,
        max_environments: int,
        smallest_batch: int = 1,
        split: bool = False,
    ):
        """Makes a server; it answers once `run` has compiled every batch size.

        Args:
          policy: batched policy.
          observation_spec: observation spec of one environment, for the check of requests.
          variables: client of the parameters.
          random_key: key of the actions.
          config: batch sizes, deadline and timeouts.
          max_environments: number of environments of all sessions; each has a memory slot.
          smallest_batch: smallest compiled batch size, such as the environments of one session.
          split: True to answer with search roots, from which actors search.
        """
        devices = jax.local_devices()[: config.devices or None]
        max_batch_size = min(config.max_batch_size, max_environments)
        # The device with the fewest environments always has room for one session more.
        num_slots = min(max_environments, -(-max_environments // len(devices)) + max_batch_size)
        served = Served(policy, observation_spec, split)
        self._config = config
        action_spec = policy.split.action_spec if split and policy.split else None
        self._check = InputCheck(observation_spec, action_spec)
        self._sessions = Sessions(len(devices), num_slots, config.timeout_seconds)
        search_params = policy.split.search_params if split and policy.split else None
        self._parameters = ServerParameters(variables, devices, search_params)
        self._metrics = ServerMetrics()
        self._serve = jit_with_memory(served.serve, "memory")
        sizes = [BatchSizes(bucket_sizes(max_batch_size, smallest_batch)) for _ in devices]
        self._queues = [
            BatchQueue(
                sizes[index],
                config.deadline_ms / 1000,
                functools.partial(self._sessions.expected, index),
            )
            for index in range(len(devices))
        ]
        keys = [random_key] if len(devices) == 1 else jax.random.split(random_key, len(devices))
        self._workers = [
            Worker(
                index,
                device,
                served,
                self._serve,
                self._parameters,
                keys[index],
                self._queues[index],
                sizes[index],
                num_slots,
                self._metrics.add,
            )
            for index, device in enumerate(devices)
        ]
        self._ready = threading.Event()
        self._stopping = threading.Event()
        self._error: BaseException | None = None

    def wait_until_ready(self) -> bool:
        """Returns True once everything is compiled; False after a second, to be called again."""
        return self._ready.wait(_READY_SECONDS)

    def open_session(self, name: str, num_envs: int) -> None:
        """Opens a session with blank memory; replaces a session of the same name.

        Args:
          name: unique name of the session.
          num_envs: number of environments.

        Raises:
          UserError: all slots are in use, or the session has more environments than a batch.
        """
        if not 0 < num_envs <= self._config.max_batch_size:
            raise UserError(
                f"{name} has {num_envs} environments, the inference server takes 1 to "
                f"max_batch_size {self._config.max_batch_size} of them: raise that, or use fewer"
            )
        for ended in self._sessions.open(name, num_envs):
            self._queues[ended.worker].drop(ended)

    def submit(
        self,
        name: str,
        leaves: Sequence[np.ndarray],
        is_first: np.ndarray,
        previous_action: np.ndarray | None = None,
    ) -> "futures.Future[Answer]":
        """Queues a request and returns the future of its answer.

        Args:
          name: name of an open session with `B` environments.
          leaves: flat observation, arrays `[B, ...]`; unchanged until the answer.
          is_first: `[B]` bool, True at the first step of an episode.
          previous_action: `[B, ...]`, action after the last request (any value before the
            first one); only for a split policy.

        Raises:
          UserError: the session is unknown, or the request malformed.
          TimeoutError: the server is stopping.
        """
        session = self._sessions.get(name)
        inputs = self._check(name, len(session.slots), leaves, is_first, previous_action)
        request = Request(session, inputs, is_first)
        self._queues[session.worker].add(request)
        return request.answer

    def act(
        self,
        name: str,
        leaves: Sequence[np.ndarray],
        is_first: np.ndarray,
        previous_action: np.ndarray | None = None,
    ) -> Answer:
        """Calls `submit` and waits for the answer.

        Raises:
          UserError: the session is unknown, or the request malformed.
          TimeoutError: there is no answer in time, or the server is stopping.
        """
        answer = self.submit(name, leaves, is_first, previous_action)
        try:
            return answer.result(self._config.timeout_seconds)
        except futures.TimeoutError as error:
            if answer.done():
                raise
            raise TimeoutError(
                f"no answer for {name} within {self._config.timeout_seconds} s"
            ) from error

    def get_parameters(self, learner_steps: int) -> PolicyParams:
        """Returns the search parameters of the version that an answer names.

        Args:
          learner_steps: learner step of the version.

        Raises:
          LookupError: the version is no longer kept.
        """
        return self._parameters.get(learner_steps)

    def newest_params(self) -> PolicyParams | None:
        """Returns the newest parameters on the first device; None before there are any."""
        newest = self._parameters.newest
        return None if newest is None else newest.on_devices[0]

    def run(self, should_stop: Callable[[], bool]) -> None:
        """Serves until `should_stop` returns True, then fails pending requests."""

        def stops() -> bool:
            return self._stopping.is_set() or should_stop()

        try:
            self._parameters.refresh()
            self._together([worker.compile for worker in self._workers], stops)
            self._ready.set()
            parts: list[Callable[[Callable[[], bool]], None]] = [self._refresh]
            for worker in self._workers:
                parts += [worker.start_batches, worker.answer_batches]
            self._together(parts, stops)
        finally:
            self._stopping.set()
            for worker in self._workers:
                worker.close()

    def _together(
        self, parts: Sequence[Callable[[Callable[[], bool]], None]], stops: Callable[[], bool]
    ) -> None:
        """Runs each part in a thread; raises the first error, which ends them all."""

        def run(part: Callable[[Callable[[], bool]], None]) -> None:
            try:
                part(stops)
            except BaseException as error:
                self._error = self._error or error
                self._stopping.set()

        threads = [threading.Thread(target=run, args=(part,), daemon=True) for part in parts]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads) and not stops():
            time.sleep(_POLL_SECONDS)
        for thread in threads:
            thread.join(_JOIN_SECONDS)
        if self._error is not None:
            raise self._error

    def _refresh(self, stops: Callable[[], bool]) -> None:
        while not stops():
            self._parameters.refresh()
            self._stopping.wait(_REFRESH_SECONDS)

    def metrics(self) -> dict[str, float]:
        """Rates since the last call, and latencies of the last requests in milliseconds."""
        percentiles = {
            f"{name}_ms_p{percentile}": float(seconds * 1000)
            for name, values in self._metrics.percentiles().items()
            for percentile, seconds in values.items()
        }
        return {**self._metrics.rates(), **percentiles, **self._state()}

    def _state(self) -> dict[str, float]:
        newest = self._parameters.newest
        if newest is None:
            return {}
        requested = self._metrics.totals.requests > 0
        used = self._metrics.used_learner_steps if requested else newest.learner_steps
        return {
            "learner_steps": float(used),
            "parameter_age": float(self._parameters.age(used)),
            "parameter_seconds": self._parameters.seconds_since_fetched,
            "variable_failures": float(self._parameters.failures),
            "sessions": float(len(self._sessions)),
        }

    def exported_metrics(self) -> list[Metric]:
        """Returns the same numbers as counters and gauges for a scraper."""
        return exported_metrics(self._metrics, self._state())
