"""Reanalysis of stored sequences on an inference server."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import chex
import jax
import numpy as np

from mukoe.acting.inference.calls import last_line, pause, raise_if_refused, result_of, start_call
from mukoe.acting.inference.config import InferenceConfig
from mukoe.errors import UserError
from mukoe.types import Array, PolicyParams, Sample

_POLL_SECONDS = 0.1


class Renewed(NamedTuple):
    """Reanalysed sequences.

    extras: extras `[B, T, ...]` of the rows, with the new statistics.
    metrics: metrics of the change.
    learner_steps: learner step of the parameters of the search.
    """

    extras: Mapping[str, np.ndarray]
    metrics: Mapping[str, float]
    learner_steps: int


class Reanalysis:
    """Searches of sampled sequences, one batch after the other; thread-safe."""

    def __init__(
        self,
        renew: Callable[[PolicyParams, chex.PRNGKey, Sample], tuple[Sample, dict[str, Array]]],
        random_key: chex.PRNGKey,
    ):
        """Compiles nothing before the first search.

        Args:
          renew: `(params, key, sample) -> (sample with new statistics, metrics of their change)`.
          random_key: key of the searches; search `i` uses `fold_in(key, i)`.
        """
        self._renew = jax.jit(renew)
        self._key = random_key
        self._steps = 0
        self._lock = threading.Lock()

    def search(self, params: PolicyParams, sample: Sample) -> Renewed:
        """Computes the new statistics of a sample with the parameters."""
        with self._lock:
            key = jax.random.fold_in(self._key, self._steps)
            self._steps += 1
            placed = sample._replace(keys=(), learner_steps=params.learner_steps)
            renewed, metrics = self._renew(params, key, placed)
            return Renewed(
                extras=jax.tree.map(np.asarray, dict(renewed.rows.extras)),
                metrics={name: float(value) for name, value in metrics.items()},
                learner_steps=int(params.learner_steps),
            )


class ServedReanalysis:
    """Reanalysis with the parameters of a server, for remote reanalysers.

    Its batches have one size, so that nothing is compiled while it serves.
    """

    def __init__(
        self,
        reanalysis: Reanalysis,
        sample: Sample,
        newest_params: Callable[[], PolicyParams | None],
    ):
        """Compiles nothing; see `compile`.

        Args:
          reanalysis: searches of sampled sequences.
          sample: sample of zeros with the shapes and types of every request.
          newest_params: function that returns the newest parameters; None before there are any.
        """
        self._reanalysis = reanalysis
        self._sample = sample
        self._newest_params = newest_params
        self._ready = threading.Event()
        self._failure: Exception | None = None

    def compile(self, stop: threading.Event) -> None:
        """Waits for parameters and compiles the search, unless the program stops first."""
        while (params := self._newest_params()) is None:
            if stop.wait(_POLL_SECONDS):
                return
        try:
            self._reanalysis.search(params, self._sample)
        except Exception as error:  # any error of the agent's search
            self._failure = error
            raise
        self._ready.set()

    def search(self, leaves: Sequence[np.ndarray], probabilities: np.ndarray) -> Renewed | None:
        """Computes the new statistics of sequences; returns None while the search is compiled.

        Args:
          leaves: flat rows, arrays `[B, T, ...]`.
          probabilities: `[B]` probabilities of the sample.

        Raises:
          UserError: the arrays do not have the shapes and types of a request, or the search could
            not be compiled.
        """
        if self._failure is not None:
            raise UserError(
                f"the server's reanalysis cannot be compiled: {last_line(self._failure)}"
            ) from self._failure
        expected, structure = jax.tree.flatten((self._sample.rows, self._sample.probabilities))
        got = [*leaves, probabilities]
        kinds = [[(array.shape, array.dtype) for array in arrays] for arrays in (got, expected)]
        if kinds[0] != kinds[1]:
            raise UserError(f"a reanalyser sent arrays of {kinds[0]}, expected {kinds[1]}")
        params = self._newest_params()
        if params is None or not self._ready.is_set():
            return None
        rows, probabilities = jax.tree.unflatten(structure, got)
        return self._reanalysis.search(params, Sample((), probabilities, rows))


class RemoteReanalysis:
    """Client of the reanalysis on inference servers, with failover."""

    def __init__(
        self,
        servers: Sequence[Any],
        config: InferenceConfig,
        should_stop: Callable[[], bool] = lambda: False,
    ):
        """Stores the servers.

        Args:
          servers: servers with a method `reanalyse`, in order of preference.
          config: timeouts.
          should_stop: predicate that ends every wait with a TimeoutError.
        """
        self._servers = servers
        self._config = config
        self._should_stop = should_stop
        self._current = 0

    def search(self, sample: Sample) -> Renewed:
        """Returns the new statistics of a sample from the first server that answers.

        Raises:
          TimeoutError: no server has answered for `give_up_seconds` (a compiling server does), or
            the program stops.
          UserError: a server refuses the sample.
        """
        arguments = (jax.tree.leaves(sample.rows), sample.probabilities)
        give_up_at = time.monotonic() + self._config.give_up_seconds
        error: Exception = TimeoutError("it is still compiling")
        while time.monotonic() < give_up_at:
            server = self._servers[self._current]
            try:
                call = start_call(server, "reanalyse", *arguments)
                answer = result_of(call, self._config.timeout_seconds, self._should_stop)
            except Exception as failure:  # the transport's errors have no common class
                raise_if_refused(failure)
                error, self._current = failure, (self._current + 1) % len(self._servers)
            else:
                if answer is not None:
                    return Renewed(*answer)
                give_up_at = time.monotonic() + self._config.give_up_seconds
            pause(self._should_stop)
        raise TimeoutError(
            f"none of {len(self._servers)} inference servers has reanalysed for "
            f"{self._config.give_up_seconds:g} s; the last error was: {last_line(error)}"
        )
