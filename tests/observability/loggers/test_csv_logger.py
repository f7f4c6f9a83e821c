"""CSV logs over resumes, new columns and full disks."""

import csv
import sys

import jax.numpy as jnp
import numpy as np
import pytest

from mukoe.observability.loggers.csv_logger import CsvLogger


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_csv_holds_what_was_written(tmp_path):
    logger = CsvLogger(tmp_path / "deep" / "a.csv")
    logger.write({"steps": 1, "loss": 0.1})
    logger.write({"steps": np.int64(2), "loss": jnp.float32(0.5)})
    assert len(rows_of(tmp_path / "deep" / "a.csv")) == 2, "every row is flushed"
    logger.close()
    assert (tmp_path / "deep" / "a.csv").read_text() == "steps,loss\n1,0.1\n2,0.5\n"


def test_csv_takes_columns_that_come_later(tmp_path):
    path = tmp_path / "a.csv"
    logger = CsvLogger(path)
    logger.write({"steps": 1})
    logger.write({"steps": 2, "return": 7.0})
    logger.write({"return": 8.0})
    logger.close()
    assert path.read_text() == "steps,return\n1,\n2,7.0\n,8.0\n"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.csv"]


def test_csv_goes_on_from_the_resumed_step(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("steps,loss\n10,1.0\n20,2.0\n30,3.0\n40,4")  # killed in the last line
    logger = CsvLogger(path, steps_key="steps")
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
    logger = CsvLogger(path)
    logger.write({"steps": 5, "loss": 0.0})
    logger.close()
    assert [row["steps"] for row in rows_of(path)] == ["10", "20", "5"]


def test_arrays_with_several_elements_are_refused(tmp_path):
    with pytest.raises(TypeError, match=r"shape \(2,\)"):
        CsvLogger(tmp_path / "a.csv").write({"loss": np.zeros(2)})


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /dev/full")
@pytest.mark.faults
def test_full_disk_warns_once_and_the_log_recovers(tmp_path, capsys):
    path = tmp_path / "a.csv"
    logger = CsvLogger(path)
    logger.write({"steps": 1})
    kept = tmp_path / "kept.csv"
    path.rename(kept)
    logger.close()
    path.symlink_to("/dev/full")
    logger = CsvLogger(path)
    logger._columns, logger._resuming = ["steps"], False
    logger._file = open("/dev/full", "a")
    logger.write({"steps": 2})
    logger._file = open("/dev/full", "a")
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
