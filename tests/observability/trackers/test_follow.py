"""Following a run with a tracker that fails, and the process that does so."""

import logging
import time

import pytest

from mukoe.errors import UserError
from mukoe.observability.trackers import tracker_process
from mukoe.observability.trackers.follow import exclusive_sender, follow
from mukoe.observability.trackers.tracker_process import TrackerProcess
from tests.observability.trackers.fake_tracker import FakeService, add_rows, make_workdir


def test_a_tracker_that_is_down_for_a_while_is_warned_of_once_and_gets_everything(tmp_path):
    workdir, service = make_workdir(tmp_path / "run"), FakeService(2)
    waits, warnings = [], []

    def wait(seconds):
        waits.append(seconds)
        add_rows(workdir, "learner", [(200 + 100 * len(waits), 10.0 * len(waits))], value_loss=0.1)
        if len(waits) == 4:
            service.calls_until_error = 10**9
        return len(waits) == 6

    assert follow(workdir, "fake", service, wait, warnings.append)
    (warning,) = warnings
    assert "the logger 'fake' failed (RuntimeError: server unreachable for now)" in warning
    assert "the run continues" in warning and f"mukoe sync --workdir={workdir}" in warning
    assert waits[1:4] == [60.0] * 3, "it is not asked more often"
    steps = [entry[0] for entry in service.only_run if len(entry) == 2]
    assert sorted(steps) == [100, 200, 200, *range(300, 900, 100)]
    assert service.only_run[-1] == "finished"


def test_what_a_tracker_missed_until_the_end_is_sent_later(tmp_path):
    workdir, service = make_workdir(tmp_path / "run"), FakeService(0)
    assert not follow(workdir, "fake", service, lambda _: True, lambda _: None)
    service.calls_until_error = 10**9
    assert follow(workdir, "fake", service, lambda _: True, lambda _: None)
    assert len(service.only_run) == 6


def test_one_process_sends_at_a_time(tmp_path):
    with exclusive_sender(tmp_path, "fake", wait=False):
        second = exclusive_sender(tmp_path, "fake", wait=False)
        with pytest.raises(UserError, match="another process sends"), second:
            pass
        with exclusive_sender(tmp_path, "other", wait=False):
            pass


def test_training_does_not_wait_for_a_server_that_is_unreachable(tmp_path, monkeypatch, caplog):
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    workdir = make_workdir(tmp_path / "run")
    # On busy cores the client alone takes longer than a run waits for it.
    monkeypatch.setattr(tracker_process, "_CLOSE_SECONDS", 200.0)
    logger = TrackerProcess(workdir, "mlflow")
    start = time.monotonic()
    with caplog.at_level(logging.WARNING, "mukoe"):
        for _ in range(100):
            logger.write({"actor_steps": 1})
        assert time.monotonic() - start < 1.0
        logger.close()
    (record,) = caplog.records
    assert "the logger 'mlflow' failed" in record.message and "mukoe sync" in record.message
    logger.close()


def test_a_process_that_does_not_end_is_killed_with_a_warning(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(tracker_process, "_CLOSE_SECONDS", 0.0)
    workdir = make_workdir(tmp_path / "run")
    logger = TrackerProcess(workdir, "mlflow")
    logger.write({"actor_steps": 1})
    with caplog.at_level(logging.WARNING, "mukoe"):
        logger.close()
    (record,) = caplog.records
    assert "'mlflow' did not end within 0 s" in record.message
    assert f"mukoe sync --workdir={workdir}" in record.message
