"""Event files as TensorBoard reads them."""

import jax.numpy as jnp
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mukoe.observability.loggers.tensorboard_logger import TensorBoardLogger


def scalars_of(directory, tag):
    accumulator = EventAccumulator(str(directory))
    accumulator.Reload()
    return [(event.step, event.value) for event in accumulator.Scalars(tag)]


@pytest.mark.faults
def test_tensorboard_failure_does_not_end_the_run(tmp_path, capsys):
    (tmp_path / "taken").write_text("a file")
    logger = TensorBoardLogger(tmp_path / "taken")
    logger.write({"steps": 1, "loss": 1.0})
    logger.write({"steps": 2, "loss": 1.0})
    logger.close()
    assert capsys.readouterr().err.count("warning:") == 1


def test_tensorboard_reads_the_events(tmp_path):
    logger = TensorBoardLogger(tmp_path, "learner_steps")
    logger.write({"learner_steps": 10, "loss": jnp.float32(0.5), "note": "text"})
    logger.write({"loss": 0.25})
    assert scalars_of(tmp_path, "loss") == [(10, 0.5), (10, 0.25)], "readable while it is open"
    logger.close()
    accumulator = EventAccumulator(str(tmp_path))
    accumulator.Reload()
    assert accumulator.Tags()["scalars"] == ["loss"]


def test_another_count_is_the_axis_where_the_first_one_is_missing(tmp_path):
    logger = TensorBoardLogger(tmp_path, "actor_steps", other_key="learner_steps")
    logger.write({"learner_steps": 3, "loss": 1.0})
    logger.write({"actor_steps": 40, "learner_steps": 5, "loss": 2.0})
    logger.close()
    assert scalars_of(tmp_path, "loss") == [(3, 1.0), (40, 2.0)]


def test_tensorboard_goes_on_in_the_same_directory(tmp_path):
    first = TensorBoardLogger(tmp_path)
    for step in (1, 2, 3, 4):
        first.write({"steps": step, "loss": float(step)})
    first.close()
    second = TensorBoardLogger(tmp_path)
    for step in (3, 4, 5):
        second.write({"steps": step, "loss": 10.0 * step})
    second.close()
    expected = [(1, 1.0), (2, 2.0), (3, 30.0), (4, 40.0), (5, 50.0)]
    assert scalars_of(tmp_path, "loss") == expected
