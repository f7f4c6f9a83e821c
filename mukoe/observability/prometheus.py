"""Numbers for Prometheus: a text page on a port of this machine."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

from mukoe.errors import UserError

LOOPBACK = "127.0.0.1"
ALL_INTERFACES = "0.0.0.0"

Labels = tuple[tuple[str, str], ...]
"""Pairs of name and value."""


class Metric(NamedTuple):
    """One metric as it is now.

    name: without the prefix; a counter gets the suffix `_total` on the page.
    kind: a 'counter' never falls, a 'gauge' may.
    description: one line.
    samples: values by labels, `()` where there are none.
    """

    name: str
    kind: Literal["counter", "gauge"]
    description: str
    samples: Mapping[Labels, float]


class Exporter:
    """Serves `http://ADDRESS:PORT/metrics` in threads of its own."""

    def __init__(
        self,
        port: int,
        prefix: str,
        read: Callable[[], Iterable[Metric]],
        labels: Labels = (),
        address: str = LOOPBACK,
    ):
        """Starts to serve.

        Args:
          port: to listen at; 0 for any that is free.
          prefix: of all names, such as 'mukoe_inference'.
          read: returns the metrics; called for each request of the page.
          labels: of all samples.
          address: of the interface, `LOOPBACK` or `ALL_INTERFACES`.

        Raises:
          UserError: the port is taken, or prometheus_client is not installed.
        """
        try:
            import prometheus_client
        except ImportError as error:
            raise UserError(
                "a Prometheus port needs the extra 'metrics': pip install 'mukoe[metrics]'"
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
        """Where it listens."""
        return self._server.server_port

    def close(self) -> None:
        """Stops serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(1.0)


class _Collector:
    """What `prometheus_client` asks for each page."""

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
        """Nothing: names are known when they are read."""
        return iter(())
