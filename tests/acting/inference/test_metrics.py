"""Metrics of a server for a logger, Prometheus and Grafana."""

import json
import re
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from mukoe.acting.inference.metrics import BatchRecord, ServerMetrics
from mukoe.observability.prometheus import Exporter
from tests.acting.inference.tiny_policy import Source, make_server, running

DASHBOARD = Path(__file__).parents[3] / "docs" / "grafana-dashboard.json"


def record(waits, latencies, environments=6, fill=0.75):
    return BatchRecord(environments, fill, waits, latencies, learner_steps=3)


def test_percentiles_are_those_of_the_last_requests_and_memory_is_bounded():
    metrics = ServerMetrics()
    latencies = np.random.default_rng(0).random((400, 20))
    for row in latencies:
        metrics.add(record(row / 2, row))
    window = latencies.ravel()[-4096:]
    for name, expected in (("latency", window), ("queue_wait", window / 2)):
        for percentile in (50, 95, 99):
            value = metrics.percentiles()[name][percentile]
            assert value == pytest.approx(np.percentile(expected, percentile))
    assert len(metrics._waits) == len(metrics._latencies) == 4096
    assert metrics.totals.requests == 8000


def test_rates_are_those_since_the_last_call(monkeypatch):
    now = [10.0]
    monkeypatch.setattr("mukoe.acting.inference.metrics.time.monotonic", lambda: now[0])
    metrics = ServerMetrics()
    metrics.add(record([0.1, 0.1], [0.2, 0.2], fill=0.5))
    now[0] += 5
    metrics.rates()
    metrics.add(record([0.1] * 3, [0.2] * 3, environments=4, fill=1.0))
    metrics.add(record([0.1], [0.2], environments=2, fill=0.5))
    now[0] += 2
    assert metrics.rates() == {
        "requests_per_second": 2.0,
        "environments_per_second": 3.0,
        "batch_fill": 0.75,
    }


@pytest.fixture(scope="module")
def page():
    source = Source(7)
    server = make_server(source=source)
    server.open_session("actor", 3)
    with running(server):
        for _ in range(5):
            server.act("actor", [np.ones((3, 2), np.float32)], np.ones(3, bool))
        exporter = Exporter(
            0, "mukoe_inference", server.exported_metrics, (("server", "inference_0"),)
        )
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{exporter.port}/metrics", timeout=5
            ) as r:
                return r.read().decode()
        finally:
            exporter.close()


def test_page_says_what_was_served(page):
    samples = {
        (sample.name, sample.labels.get("quantile")): sample
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }
    values = {key: sample.value for key, sample in samples.items()}
    assert all(sample.labels["server"] == "inference_0" for sample in samples.values())
    assert values["mukoe_inference_requests_total", None] == 5
    assert values["mukoe_inference_environments_total", None] == 15
    assert values["mukoe_inference_batches_total", None] == 5
    assert values["mukoe_inference_batch_fill_total", None] == 5 * 0.75
    assert values["mukoe_inference_learner_steps", None] == 7
    assert values["mukoe_inference_parameter_age", None] == 0
    assert values["mukoe_inference_sessions", None] == 1
    latencies = [values["mukoe_inference_latency_seconds", q] for q in ("0.5", "0.95", "0.99")]
    waits = [values["mukoe_inference_queue_wait_seconds", q] for q in ("0.5", "0.95", "0.99")]
    assert 0 < latencies[0] <= latencies[1] <= latencies[2] < 10
    assert 0 <= waits[0] < latencies[0]


def test_dashboard_shows_every_metric_and_no_other(page):
    exported = {
        sample.name for family in text_string_to_metric_families(page) for sample in family.samples
    }
    dashboard = json.loads(DASHBOARD.read_text())
    expressions = [t["expr"] for panel in dashboard["panels"] for t in panel["targets"]]
    shown = set(re.findall(r"mukoe_\w+", " ".join(expressions)))
    assert shown == exported
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
