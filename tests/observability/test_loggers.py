"""Logs: what TensorBoard and a CSV reader see, over resumes, new columns and full disks."""

import csv
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mukoe.observability import loggers


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def scalars_of(directory, tag):
    accumulator = EventAccumulator(str(directory))
    accumulator.Reload()
    return [(event.step, event.value) for event in accumulator.Scalars(tag)]


class Recorder:
    def __init__(self):
        self.entries = []
        self.closed = False

    def write(self, data):
        self.entries.append(dict(data))

    def close(self):
        self.closed = True


def test_csv_holds_what_was_written(tmp_path):
    logger = loggers.CsvLogger(tmp_path / "deep" / "a.csv")
    logger.write({"steps": 1, "loss": 0.1})
    logger.write({"steps": np.int64(2), "loss": jnp.float32(0.5)})
    assert len(rows_of(tmp_path / "deep" / "a.csv")) == 2, "every row is flushed"
    logger.close()
    assert (tmp_path / "deep" / "a.csv").read_text() == "steps,loss\n1,0.1\n2,0.5\n"


def test_csv_takes_columns_that_come_later(tmp_path):
    path = tmp_path / "a.csv"
    logger = loggers.CsvLogger(path)
    logger.write({"steps": 1})
    logger.write({"steps": 2, "return": 7.0})
    logger.write({"return": 8.0})
    logger.close()
    assert path.read_text() == "steps,return\n1,\n2,7.0\n,8.0\n"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.csv"]


def test_csv_goes_on_from_the_resumed_step(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("steps,loss\n10,1.0\n20,2.0\n30,3.0\n40,4")  # killed in the last line
    logger = loggers.CsvLogger(path, steps_key="steps")
    logger.write({"steps": 30, "loss": 3.5})
    logger.write({"steps": 20, "loss": 9.0})  # in one run nothing is dropped
    logger.close()
    assert [(row["steps"], row["loss"]) for row in rows_of(path)] == [
        ("10", "1.0"),
        ("20", "2.0"),
        ("30", "3.5"),
        ("20", "9.0"),
    ]


def test_csv_without_steps_keeps_every_whole_row(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("steps,loss\n10,1.0\n20,2.0\n3")
    logger = loggers.CsvLogger(path)
    logger.write({"steps": 5, "loss": 0.0})
    logger.close()
    assert [row["steps"] for row in rows_of(path)] == ["10", "20", "5"]


def test_arrays_with_several_elements_are_refused(tmp_path):
    with pytest.raises(TypeError, match=r"shape \(2,\)"):
        loggers.CsvLogger(tmp_path / "a.csv").write({"loss": np.zeros(2)})


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /dev/full")
@pytest.mark.faults
def test_full_disk_warns_once_and_the_log_recovers(tmp_path, capsys):
    path = tmp_path / "a.csv"
    logger = loggers.CsvLogger(path)
    logger.write({"steps": 1})
    kept = tmp_path / "kept.csv"
    path.rename(kept)
    logger.close()
    path.symlink_to("/dev/full")
    logger = loggers.CsvLogger(path)
    logger._columns, logger._resuming = ["steps"], False
    logger._file = open("/dev/full", "a")  # noqa: SIM115
    logger.write({"steps": 2})
    logger._file = open("/dev/full", "a")  # noqa: SIM115
    logger.write({"steps": 3})
    path.unlink()
    kept.rename(path)
    logger.write({"steps": 4})
    logger.close()
    assert [row["steps"] for row in rows_of(path)] == ["1", "4"]
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "No space left" in error
    assert str(path) in error


@pytest.mark.faults
def test_tensorboard_failure_does_not_end_the_run(tmp_path, capsys):
    (tmp_path / "taken").write_text("a file")
    logger = loggers.TensorBoardLogger(tmp_path / "taken")
    logger.write({"steps": 1, "loss": 1.0})
    logger.write({"steps": 2, "loss": 1.0})
    logger.close()
    assert capsys.readouterr().err.count("warning:") == 1


def test_tensorboard_reads_the_events(tmp_path):
    logger = loggers.TensorBoardLogger(tmp_path, "learner_steps")
    logger.write({"learner_steps": 10, "loss": jnp.float32(0.5), "note": "text"})
    logger.write({"loss": 0.25})
    assert scalars_of(tmp_path, "loss") == [(10, 0.5), (10, 0.25)], "readable while it is open"
    logger.close()
    accumulator = EventAccumulator(str(tmp_path))
    accumulator.Reload()
    assert accumulator.Tags()["scalars"] == ["loss"]


def test_tensorboard_goes_on_in_the_same_directory(tmp_path):
    first = loggers.TensorBoardLogger(tmp_path)
    for step in (1, 2, 3, 4):
        first.write({"steps": step, "loss": float(step)})
    first.close()
    second = loggers.TensorBoardLogger(tmp_path)
    for step in (3, 4, 5):
        second.write({"steps": step, "loss": 10.0 * step})
    second.close()
    expected = [(1, 1.0), (2, 2.0), (3, 30.0), (4, 40.0), (5, 50.0)]
    assert scalars_of(tmp_path, "loss") == expected


def test_logging_does_not_load_tensorflow(tmp_path):
    program = (
        "import sys\n"
        "from mukoe.observability import make_logger\n"
        "logger = make_logger(sys.argv[1], 'learner', 'steps')\n"
        "logger.write({'steps': 1, 'loss': 2.0}); logger.close()\n"
        "sys.exit('tensorflow' in sys.modules or 'jax' in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program, tmp_path], check=True, timeout=60)
    assert scalars_of(tmp_path / "tensorboard" / "learner", "loss") == [(1, 2.0)]


def test_time_filter_passes_one_entry_per_interval():
    now = [0.0]
    recorder = Recorder()
    logger = loggers.TimeFilter(recorder, 10.0, clock=lambda: now[0])
    for now[0] in (0.0, 5.0, 9.9, 10.0, 15.0, 21.0):
        logger.write({"at": now[0]})
    logger.close()
    assert [entry["at"] for entry in recorder.entries] == [0.0, 10.0, 21.0]
    assert recorder.closed


def test_dispatcher_writes_to_all():
    recorders = [Recorder(), Recorder()]
    dispatcher = loggers.Dispatcher(recorders)
    dispatcher.write({"a": 1})
    dispatcher.close()
    assert [r.entries for r in recorders] == [[{"a": 1}]] * 2
    assert all(r.closed for r in recorders)


def test_wall_time_carries_on_over_resumes(tmp_path):
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "learner.csv").write_text("steps,wall_time\n1,50.0\n2,100.5\n")
    (tmp_path / "logs" / "evaluator.csv").write_text("steps,wall_time\n1,60.0\n")
    logger = loggers.make_logger(tmp_path, "evaluator", "steps")
    logger.write({"steps": 2})
    logger.close()
    row = rows_of(tmp_path / "logs" / "evaluator.csv")[-1]
    assert 100.5 <= float(row["wall_time"]) < 160.0
    assert row["steps"] == "2"
