"""Real clients in their offline modes; their files are read by their own readers."""

import importlib.util
import itertools
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from mukoe.errors import UserError
from mukoe.observability.trackers.sender import Sender
from mukoe.observability.trackers.service import check_trackers, load_service
from tests.observability.trackers.fake_tracker import GIF, add_rows, make_workdir

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def workdir(tmp_path):
    return make_workdir(tmp_path / "run")


def send_twice(workdir, name):
    """Sends a run, and new rows from a second process of the run."""
    check_trackers(("csv", name))
    for steps in (300, 400):
        videos = workdir / f"videos_{steps}"
        videos.mkdir()
        Sender(workdir, name, load_service(name), videos).finish()
        add_rows(workdir, "learner", [(steps, steps / 10.0)], value_loss=0.25)


LOSSES = [(100, 0.5), (200, 0.5), (300, 0.25)]


def test_mlflow_in_a_database_of_the_workdir(workdir, monkeypatch):
    pytest.importorskip("mlflow")
    from mlflow.tracking import MlflowClient

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    send_twice(workdir, "mlflow")
    client = MlflowClient(f"sqlite:///{workdir / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("mukoe")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.run_name == "run" and run.info.status == "FINISHED"
    assert run.data.params["run.seed"] == "3" and run.data.params["agent.widths"] == "[1, 2]"
    history = client.get_metric_history(run.info.run_id, "loss/value_loss")
    assert [(metric.step, metric.value) for metric in history] == LOSSES
    assert run.data.metrics["evaluation/episode_return"] == 9.0
    (video,) = client.list_artifacts(run.info.run_id, "evaluation/episode")
    assert (workdir / "mlflow_artifacts").rglob("000000200.gif").__next__().read_bytes() == GIF
    assert video.path.endswith("000000200.gif")
    (checkpoint,) = client.list_artifacts(run.info.run_id, "checkpoints/best")
    assert checkpoint.path == "checkpoints/best/7"


def test_trackio_in_its_database_by_the_command_that_sends_later(workdir, monkeypatch, tmp_path):
    pytest.importorskip("trackio")
    from trackio import Api, sqlite_storage, utils

    environment = {**os.environ, "TRACKIO_DIR": str(tmp_path / "trackio")}
    command = [sys.executable, ROOT / "programs" / "sync.py", f"--workdir={workdir}"]
    for steps in (300, 400):
        sync = [*command, "--log=trackio"]
        subprocess.run(sync, env=environment, cwd=ROOT, check=True, timeout=120)
        add_rows(workdir, "learner", [(steps, steps / 10.0)], value_loss=0.25)
    for module in (utils, sqlite_storage):
        monkeypatch.setattr(module, "TRACKIO_DIR", tmp_path / "trackio")
    (run,) = Api().runs("mukoe")
    assert run.name.startswith("run-") and run.config["run.seed"] == 3
    logs = sqlite_storage.SQLiteStorage.get_logs("mukoe", run.name)
    losses = [(log["step"], log["loss/value_loss"]) for log in logs if "loss/value_loss" in log]
    assert losses == LOSSES
    assert [log["evaluation/episode_return"] for log in logs if "evaluation/episode_return" in log]
    assert any("evaluation/episode" in log for log in logs)


def records_of(path):
    """Yields the records of a file of wandb: LevelDB's log format with protobufs of wandb."""
    from wandb.proto import wandb_internal_pb2

    data, position, parts = path.read_bytes(), 7, b""
    while position + 7 <= len(data):
        left = 32768 - position % 32768
        if left < 7:
            position += left
            continue
        _, size, kind = struct.unpack("<IHB", data[position : position + 7])
        parts += data[position + 7 : position + 7 + size]
        position += 7 + size
        if kind in (1, 4):  # a whole record, or the last part of one
            yield wandb_internal_pb2.Record.FromString(parts)
            parts = b""


def test_wandb_offline(workdir, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    send_twice(workdir, "wandb")
    paths = sorted(workdir.glob("wandb/offline-run-*/run-*.wandb"), key=lambda p: p.stat().st_mtime)
    runs = [list(records_of(path)) for path in paths]
    assert len({path.name for path in paths}) == 1, "both processes write one run"
    config = {
        item.key or item.nested_key[0]: item.value_json
        for item in next(r.run for r in runs[0] if r.HasField("run")).config.update
    }
    assert config["run.seed"] == "3" and config["agent.widths"] == "[1,2]"
    rows = [
        {".".join(item.nested_key) or item.key: item.value_json for item in record.history.item}
        for record in itertools.chain(*runs)
        if record.HasField("history")
    ]
    losses = [
        (int(row["steps"]), float(row["loss/value_loss"]))
        for row in rows
        if "loss/value_loss" in row
    ]
    assert losses == LOSSES
    assert any("evaluation/episode_return" in row for row in rows)
    gifs = workdir.glob("wandb/offline-run-*/files/**/*.gif")
    assert [path.read_bytes() for path in gifs] == [GIF]
    artifacts = [record.artifact for record in itertools.chain(*runs)]
    assert [artifact.name for artifact in artifacts if artifact.type == "model"]


def test_wandb_without_an_api_key_is_one_line(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UserError, match="'wandb' has no API key: run 'wandb login'"):
        check_trackers(("csv", "wandb"))


@pytest.mark.parametrize("name", ["wandb", "mlflow", "trackio"])
def test_a_missing_package_is_one_line(name, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda package: None)
    message = rf"needs the package {name}: pip install 'mukoe\[trackers\]'.*CPython 3.11"
    with pytest.raises(UserError, match=message):
        check_trackers(("csv", name))
