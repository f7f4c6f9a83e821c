"""Checkpoints: the complete state from which a run resumes bit for bit.

Arrays and numbers of any tree are stored as its leaves in order, with their paths, types and
checksums, so that they are restored bit for bit, and damage and mismatches are reported by name.
"""

import logging
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mukoe.errors import UserError
from mukoe.learning.checkpoint_series import PART_PREFIX, CheckpointSeries
from mukoe.learning.stored_leaves import rebuild
from mukoe.types import Nest

_LOGGER = logging.getLogger(__name__)


class Checkpointer:
    """Checkpointer of trees in DIRECTORY/latest, DIRECTORY/best and DIRECTORY/run.

    One process writes; any number may read at the same time. Arrays that span several
    hosts must be replicated; one of the hosts calls `save`. Thread-safe.
    """

    def __init__(self, directory: str | os.PathLike[str], keep: int = 3):
        """Builds the checkpointer; the first save makes the directories.

        Args:
          directory: parent directory, such as WORKDIR/checkpoints.
          keep: number of latest checkpoints to keep.
        """
        directory = Path(directory).expanduser().absolute()
        self._latest = CheckpointSeries(directory / "latest", keep)
        self._best = CheckpointSeries(directory / "best", 1)
        # Two, so that a damaged one has a predecessor.
        self._runs = CheckpointSeries(directory / "run", 2)

    def save(self, step: int, state: Nest, metadata: Mapping[str, Any] | None = None) -> None:
        """Copies the state to the host and starts to write it.

        The state may be donated or changed as soon as this returns. Waits for the previous
        save, and warns if it failed.

        Args:
          step: name of the checkpoint, which replaces one of the same step, and later ones that
            precede the resumption of the run.
          state: tree of arrays, typed PRNG keys and Python numbers.
          metadata: JSON values.
        """
        self._latest.save(step, state, dict(metadata or {}))

    def save_best(
        self, step: int, state: Nest, score: float, metadata: Mapping[str, Any] | None = None
    ) -> bool:
        """Saves the state as the best one if its score is higher than the stored one's.

        Returns:
          Whether it was saved.
        """
        known = self.best_score()
        if known is not None and not score > known:
            return False
        self._best.save(step, state, {**(metadata or {}), "score": float(score)})
        return True

    def steps(self) -> list[int]:
        """Returns the steps of the latest checkpoints, in ascending order."""
        return self._latest.steps()

    def spread_steps(self, count: int) -> list[int]:
        """Returns at most `count` evenly spread of the latest steps, first and last included."""
        steps = self.steps()
        if len(steps) <= count:
            return steps
        if count == 1:
            return steps[-1:]
        return [steps[round(i)] for i in np.linspace(0, len(steps) - 1, count)]

    def latest_step(self) -> int | None:
        """Returns the step of the newest checkpoint, None without one."""
        return max(self.steps(), default=None)

    def best_score(self) -> float | None:
        """Returns the score of the best checkpoint, None without a readable one."""
        return self._best.score()

    def restore(
        self, like: Nest, *, step: int | None = None, best: bool = False, partial: bool = False
    ) -> tuple[Nest, dict[str, Any]]:
        """Reads a checkpoint.

        Without a `step`, a damaged newest checkpoint is skipped, with a warning, and the previous
        one is read.

        Args:
          like: tree of the same structure, of arrays or `jax.ShapeDtypeStruct`, which gives the
            kind of each leaf: JAX array (with its sharding), NumPy array, or number.
          step: step of the checkpoint; the newest by default.
          best: True to read the best checkpoint instead of the latest.
          partial: True to skip leaves that `like` does not have.

        Returns:
          The state and the metadata.

        Raises:
          UserError: there is none, none can be read, or its tree differs (names the first
            leaf that differs).
        """
        series = self._best if best else self._latest
        leaves, arrays, metadata = series.read(step)
        return rebuild(leaves, arrays, like, partial), metadata

    def save_run(
        self,
        step: int,
        state: Nest,
        parts: Mapping[str, np.ndarray],
        metadata: Mapping[str, Any],
    ) -> None:
        """Saves a complete run in a checkpoint of its own; see `save`.

        Args:
          step: name of the checkpoint.
          state: state of the learner.
          parts: named arrays of the other parts, which must not change any more.
          metadata: JSON values.
        """
        self._runs.save(step, state, dict(metadata), parts)

    def restore_run(self, like: Nest) -> tuple[Nest, dict[str, np.ndarray], dict[str, Any]] | None:
        """Reads the newest complete run; None without one, with a warning for damaged ones.

        Args:
          like: tree as for `restore`.

        Returns:
          The state, the parts and the metadata.

        Raises:
          UserError: the tree of the state differs.
        """
        self._runs.settle()
        if not self._runs.steps():
            return None
        try:
            leaves, arrays, metadata = self._runs.read(None)
        except UserError as error:
            _LOGGER.warning(f"{error}: resuming from the learner's checkpoint")
            return None
        pairs = list(zip(leaves, arrays, strict=True))
        parts = {
            leaf.path.removeprefix(PART_PREFIX): array
            for leaf, array in pairs
            if leaf.path.startswith(PART_PREFIX)
        }
        state = [pair for pair in pairs if not pair[0].path.startswith(PART_PREFIX)]
        like_state = rebuild(
            [leaf for leaf, _ in state], [array for _, array in state], like, False
        )
        return like_state, parts, metadata

    def has_run(self) -> bool:
        """Returns whether there is a checkpoint of `save_run`."""
        return bool(self._runs.steps())

    def read_run_parts(self) -> dict[str, np.ndarray]:
        """Returns the parts of the newest readable run, without the state.

        Raises:
          UserError: there is none, or none can be read.
        """
        leaves, arrays, _ = self._runs.read(None)
        return {
            leaf.path.removeprefix(PART_PREFIX): array
            for leaf, array in zip(leaves, arrays, strict=True)
            if leaf.path.startswith(PART_PREFIX)
        }

    def remove_runs(self) -> None:
        """Removes the checkpoints of `save_run`, outdated once a run no longer makes them."""
        self._runs.remove_all()

    def read_metadata(self) -> dict[str, Any]:
        """Returns the metadata of the newest readable checkpoint.

        Raises:
          UserError: there is none, or none can be read.
        """
        return self._latest.read(None)[2]

    def wait(self) -> None:
        """Waits until all saves are on the disk.

        Raises:
          UserError: it could not be written.
        """
        for series in (self._latest, self._best, self._runs):
            series.wait()

    def close(self, timeout: float = 10.0) -> bool:
        """Waits at most `timeout` seconds for the last save.

        Warns of a save that failed or is not finished in time.

        Returns:
          Whether all saves are on the disk.
        """
        finished: list[bool] = []
        thread = threading.Thread(
            target=lambda: finished.append(self._wait_and_warn()), daemon=True
        )
        thread.start()
        thread.join(timeout)
        if not finished:
            _LOGGER.warning(f"the last checkpoint was not written within {timeout:.0f} s")
        return finished == [True]

    def _wait_and_warn(self) -> bool:
        results = [series.settle() for series in (self._latest, self._best, self._runs)]
        return all(results)
