"""Checkpoints in a mounted bucket, in which no directory can be renamed."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from orbax.checkpoint.path import atomicity

from mukoe.learning import checkpoint_series
from mukoe.learning.checkpoint import Checkpointer


@pytest.fixture
def bucket(tmp_path, monkeypatch):
    def refusing(rename):
        def renamed(source, target, **arguments):
            if Path(source).is_dir():
                raise OSError(errno.EMFILE, "Too many open files", str(source))
            return rename(source, target, **arguments)

        return renamed

    for name in ("rename", "replace"):
        monkeypatch.setattr(os, name, refusing(getattr(os, name)))
    monkeypatch.setattr(checkpoint_series, "_OBJECT_STORES", str(tmp_path))
    return tmp_path


def test_they_are_saved_restored_and_pruned(bucket):
    saved = Checkpointer(bucket, keep=2)
    for step in range(4):
        saved.save(step, {"w": np.full(3, step)}, {"counts": step})
    saved.save_best(3, {"w": np.full(3, 3)}, score=1.0)
    saved.wait()
    stored = Checkpointer(bucket)
    assert stored.steps() == [2, 3]
    assert [path.name for path in (bucket / "best").iterdir()] == ["3"]
    state, metadata = stored.restore({"w": np.zeros(3, int)})
    np.testing.assert_array_equal(state["w"], np.full(3, 3))
    assert metadata["counts"] == 3
    assert sorted(path.name for path in (bucket / "latest").iterdir()) == ["2", "3"]


def test_one_that_was_not_finished_is_none(bucket):
    saved = Checkpointer(bucket)
    for step in range(2):
        saved.save(step, {"w": np.ones(3)})
    saved.wait()
    (bucket / "latest" / "1" / atomicity.COMMIT_SUCCESS_FILE).unlink()
    stored = Checkpointer(bucket)
    assert stored.steps() == [0]
    stored.save(2, {"w": np.ones(3)})
    stored.wait()
    assert sorted(path.name for path in (bucket / "latest").iterdir()) == ["0", "2"]
