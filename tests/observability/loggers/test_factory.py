"""Loggers by name, and their wall-clock time over resumes."""

import csv
import json
import subprocess
import sys
import types

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.metadata import (
    SESSION_START_INFO_TAG,
    parse_session_start_info_plugin_data,
)

from mukoe.configuration.workdir import VERSION
from mukoe.errors import UserError
from mukoe.observability.loggers.factory import make_logger
from mukoe.observability.trackers.tracker_process import TrackerProcess
from tests.observability.loggers.recorder import Recorder


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_logging_does_not_load_tensorflow(tmp_path):
    program = (
        "import sys\n"
        "from mukoe.observability.loggers.factory import make_logger\n"
        "logger = make_logger(sys.argv[1], 'learner', 'learner_steps')\n"
        "logger.write({'actor_steps': 1, 'loss': 2.0}); logger.close()\n"
        "sys.exit('tensorflow' in sys.modules or 'jax' in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program, tmp_path], check=True, timeout=60)
    accumulator = EventAccumulator(str(tmp_path / "tensorboard" / "learner"))
    accumulator.Reload()
    assert [(event.step, event.value) for event in accumulator.Scalars("loss/loss")] == [(1, 2.0)]


def test_wall_time_carries_on_over_resumes(tmp_path):
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "learner.csv").write_text("steps,wall_time\n1,50.0\n2,100.5\n")
    (tmp_path / "logs" / "evaluator.csv").write_text("steps,wall_time\n1,60.0\n")
    logger = make_logger(tmp_path, "evaluator", "steps")
    logger.write({"steps": 2})
    logger.close()
    row = rows_of(tmp_path / "logs" / "evaluator.csv")[-1]
    assert 100.5 <= float(row["wall_time"]) < 160.0
    assert row["steps"] == "2"


def test_loggers_of_other_modules_by_import_path(tmp_path):
    made = []

    def make_recorder(workdir, label, steps_key):
        made.append((workdir, label, steps_key, Recorder()))
        return made[-1][-1]

    module = types.ModuleType("my_loggers")
    module.make_recorder = make_recorder
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "my_loggers", module)
        loggers = ("csv", "my_loggers:make_recorder")
        logger = make_logger(tmp_path, "learner", "steps", loggers=loggers)
    logger.write({"steps": 1})
    logger.close()
    ((workdir, label, steps_key, recorder),) = made
    assert (workdir, label, steps_key) == (tmp_path, "learner", "steps")
    assert recorder.closed and recorder.entries[0].keys() == {"steps", "wall_time"}
    assert rows_of(tmp_path / "logs" / "learner.csv")[0]["steps"] == "1"
    assert not (tmp_path / "tensorboard").exists()


def test_unknown_logger_is_refused_with_the_nearest_name(tmp_path):
    with pytest.raises(UserError, match="unknown logger 'cvs': did you mean csv"):
        make_logger(tmp_path, "learner", "steps", loggers=("cvs",))


def test_all_nodes_have_one_axis_in_tensorboard(tmp_path):
    for label, steps_key in (("learner", "learner_steps"), ("actor_0", "actor_steps")):
        logger = make_logger(tmp_path, label, steps_key)
        logger.write({"actor_steps": 400, "learner_steps": 7, "value_loss": 2.0})
        logger.close()
    for label, tag in (("learner", "loss/value_loss"), ("actor_0", "search/value_loss")):
        accumulator = EventAccumulator(str(tmp_path / "tensorboard" / label))
        accumulator.Reload()
        assert [(event.step, event.value) for event in accumulator.Scalars(tag)] == [(400, 2.0)]


def test_the_configuration_is_in_the_hyper_parameters_tab(tmp_path):
    config = {"run": {"seed": 3}, "agent": {"discount": 0.5, "widths": [1, 2], "torso": None}}
    (tmp_path / "config.json").write_text(json.dumps({"version": VERSION, "config": config}))
    for _ in range(2):
        make_logger(tmp_path, "learner", "learner_steps").close()
    (path,) = (tmp_path / "tensorboard").glob("events.out.tfevents.*")
    accumulator = EventAccumulator(str(path))
    accumulator.Reload()
    content = accumulator.SummaryMetadata(SESSION_START_INFO_TAG).plugin_data.content
    found = parse_session_start_info_plugin_data(content)
    values = {name: value.WhichOneof("kind") for name, value in found.hparams.items()}
    assert values == {
        "run.seed": "number_value",
        "agent.discount": "number_value",
        "agent.widths": "string_value",
        "agent.torso": "string_value",
    }
    assert found.hparams["run.seed"].number_value == 3


def test_a_tracker_is_started_by_the_first_entry_of_the_learner_alone(tmp_path, monkeypatch):
    started = []
    monkeypatch.setattr(TrackerProcess, "_start", lambda self: started.append(self))
    for label in ("actor_0", "evaluator", "learner"):
        logger = make_logger(tmp_path, label, "steps", loggers=("csv", "wandb"))
        assert not started
        logger.write({"steps": 1})
        logger.write({"steps": 2})
        logger.close()
    assert len(started) == 1
