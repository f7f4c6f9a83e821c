"""Metrics of a server: counts since its start, percentiles of the newest requests."""

import collections
import threading
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from mukoe.observability.prometheus import Metric

_WINDOW = 4096
_PERCENTILES = (50, 95, 99)


class BatchRecord(NamedTuple):
    """An answered batch.

    environments: number of environments in the batch.
    fill: fraction of the largest batch, in (0, 1].
    waits: seconds of each request in the queue.
    latencies: seconds of each request from its arrival to its answer.
    learner_steps: learner step of the parameters.
    """

    environments: int
    fill: float
    waits: Sequence[float]
    latencies: Sequence[float]
    learner_steps: int


class Totals(NamedTuple):
    """Counts since the start.

    requests: number of answered requests.
    environments: number of environments in the answered requests.
    batches: number of batches.
    fill: sum of the fill of all batches.
    """

    requests: int = 0
    environments: int = 0
    batches: int = 0
    fill: float = 0.0


class ServerMetrics:
    """Counts and percentiles, in constant memory."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._totals = Totals()
        self._waits: collections.deque[float] = collections.deque(maxlen=_WINDOW)
        self._latencies: collections.deque[float] = collections.deque(maxlen=_WINDOW)
        self._last_totals = Totals()
        self._last_time = time.monotonic()
        self.used_learner_steps = 0

    def add(self, record: BatchRecord) -> None:
        """Counts an answered batch."""
        with self._lock:
            old = self._totals
            self._totals = Totals(
                requests=old.requests + len(record.waits),
                environments=old.environments + record.environments,
                batches=old.batches + 1,
                fill=old.fill + record.fill,
            )
            self._waits.extend(record.waits)
            self._latencies.extend(record.latencies)
            self.used_learner_steps = record.learner_steps

    @property
    def totals(self) -> Totals:
        """Counts since the start."""
        with self._lock:
            return self._totals

    def percentiles(self) -> Mapping[str, Mapping[int, float]]:
        """Seconds by percentile (50, 95, 99) of `queue_wait` and `latency`; `{}` before any."""
        with self._lock:
            seconds = {"queue_wait": list(self._waits), "latency": list(self._latencies)}
        return {
            name: dict(zip(_PERCENTILES, np.percentile(values, _PERCENTILES), strict=True))
            for name, values in seconds.items()
            if values
        }

    def rates(self) -> dict[str, float]:
        """Rates and the mean fill of batches since the last call; for one caller."""
        now, totals = time.monotonic(), self.totals
        seconds = max(now - self._last_time, 1e-9)
        new = [a - b for a, b in zip(totals, self._last_totals, strict=True)]
        self._last_time, self._last_totals = now, totals
        requests, environments, batches, fill = new
        return {
            "requests_per_second": requests / seconds,
            "environments_per_second": environments / seconds,
            "batch_fill": fill / max(batches, 1),
        }


_STATE_HELP = {
    "learner_steps": "Updates that made the parameters of the last answers.",
    "parameter_age": "Updates between the newest known parameters and those of the last answers.",
    "parameter_seconds": "Seconds since parameters were fetched.",
    "variable_failures": "Fetches of parameters that failed.",
    "sessions": "Actors with a session.",
}


def exported_metrics(metrics: ServerMetrics, state: Mapping[str, float]) -> list[Metric]:
    """Returns counters and gauges in the units of Prometheus (seconds).

    Args:
      metrics: counts and percentiles.
      state: values by the names in `_STATE_HELP`.
    """
    totals = metrics.totals
    return [
        Metric("requests", "counter", "Requests answered.", {(): totals.requests}),
        Metric("environments", "counter", "Environments answered.", {(): totals.environments}),
        Metric("batches", "counter", "Batches computed.", {(): totals.batches}),
        Metric("batch_fill", "counter", "Sum of the fill of all batches.", {(): totals.fill}),
        *(
            Metric(
                f"{name}_seconds",
                "gauge",
                f"Percentiles of the last {_WINDOW} requests.",
                {(("quantile", f"{p / 100:g}"),): value for p, value in values.items()},
            )
            for name, values in metrics.percentiles().items()
        ),
        *(Metric(name, "gauge", _STATE_HELP[name], {(): value}) for name, value in state.items()),
    ]
