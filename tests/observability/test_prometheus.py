"""Metrics as Prometheus reads them, on the loopback interface."""

import socket
import sys
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from mukoe.errors import UserError
from mukoe.observability.prometheus import Exporter, Metric


@pytest.fixture
def exporter():
    calls = []

    def read():
        calls.append(None)
        return [
            Metric("answers", "counter", "Answers given.", {(): 10.0 * len(calls)}),
            Metric("wait_seconds", "gauge", "Waits.", {(("quantile", "0.5"),): 0.25}),
        ]

    exporter = Exporter(0, "test", read, (("server", "s0"),))
    yield exporter
    exporter.close()


def get(exporter):
    url = f"http://127.0.0.1:{exporter.port}/metrics"
    with urllib.request.urlopen(url, timeout=5) as response:
        families = list(text_string_to_metric_families(response.read().decode()))
    return {family.name: family for family in families}


def test_every_page_has_the_values_of_its_moment(exporter):
    for expected in (10.0, 20.0):
        families = get(exporter)
        (answers,) = families["test_answers"].samples
        assert families["test_answers"].type == "counter"
        assert answers.name == "test_answers_total" and answers.value == expected
        (wait,) = families["test_wait_seconds"].samples
        assert wait.value == 0.25 and wait.labels == {"server": "s0", "quantile": "0.5"}
        assert families["test_wait_seconds"].documentation == "Waits."


def test_listens_on_the_loopback_interface_alone(exporter):
    assert exporter._server.server_address[0] == "127.0.0.1"


def test_a_taken_port_is_said_in_one_line(exporter):
    with pytest.raises(UserError, match=f"cannot listen at port {exporter.port} for Prometheus"):
        Exporter(exporter.port, "test", list)


def test_a_closed_exporter_lets_go_of_its_port():
    exporter = Exporter(0, "test", list)
    exporter.close()
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind(("127.0.0.1", exporter.port))


def test_says_which_extra_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(UserError, match=r"pip install 'mukoe\[metrics\]'"):
        Exporter(0, "test", list)
