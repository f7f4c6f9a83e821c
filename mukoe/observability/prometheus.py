"""Exporter of metrics for Prometheus, over HTTP."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

from mukoe.errors import UserError

LOOPBACK = "127.0.0.1"
ALL_INTERFACES = "0.0.0.0"

Labels = tuple[tuple[str, str], ...]
"""Pairs of label name and value."""


class Metric(NamedTuple):
    """Current values of one metric.

    name: name without the prefix; the exporter appends `_total` to a counter.
    kind: 'counter' for a non-decreasing value, else 'gauge'.
    description: help text of one line.
    samples: values by labels; `()` is the key without labels.
    """

    name: str
    kind: Literal["counter", "gauge"]
    description: str
    samples: Mapping[Labels, float]


class Exporter:
    """Serves `http://ADDRESS:PORT/metrics` in its own threads."""

    def __init__(
        self,
        port: int,
        prefix: str,
        read: Callable[[], Iterable[Metric]],
        labels: Labels = (),
        address: str = LOOPBACK,
    ):
        """Starts the server.

        Args:
          port: TCP port; 0 for any free one.
          prefix: prefix of all names, such as 'mukoe_inference'.
          read: function that returns the metrics; it is called for each request.
          labels: labels of all samples.
          address: address of the interface, `LOOPBACK` or `ALL_INTERFACES`.

        Raises:
          UserError: the port is taken, or prometheus_client is not installed.
        """
        try:
            import prometheus_client
        except ImportError as error:
            raise UserError(
                "a Prometheus port needs the extra 'metrics': pip install 'mukoe[metrics]' "
                f"({error})"
            ) from error
        registry = prometheus_client.CollectorRegistry()
        registry.register(_Collector(prefix, read, labels))
        try:
            self._server, self._thread = prometheus_client.start_http_server(
                port, addr=address, registry=registry
            )
        except (OSError, OverflowError) as error:
            raise UserError(
                f"cannot listen at port {port} for Prometheus ({error}); take another one"
            ) from error

    @property
    def port(self) -> int:
        """TCP port of the server."""
        return self._server.server_port

    def close(self) -> None:
        """Stops the server."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(1.0)


class _Collector:
    """Collector of `prometheus_client`, read for each request."""

    def __init__(self, prefix: str, read: Callable[[], Iterable[Metric]], labels: Labels):
        self._prefix = prefix
        self._read = read
        self._labels = labels

    def collect(self) -> Iterator[Any]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        families = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily}
        for metric in self._read():
            names = [name for labels in list(metric.samples)[:1] for name, _ in labels]
            family = families[metric.kind](
                f"{self._prefix}_{metric.name}",
                metric.description,
                labels=[*(name for name, _ in self._labels), *names],
            )
            for labels, value in metric.samples.items():
                values = [value for _, value in (*self._labels, *labels)]
                family.add_metric(values, value)
            yield family

    def describe(self) -> Iterator[Any]:
        """Returns no descriptions: the names are known after a read."""
        return iter(())
