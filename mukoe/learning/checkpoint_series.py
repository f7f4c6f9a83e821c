"""Checkpoints of one directory.

Orbax writes a checkpoint asynchronously to a temporary directory, which is renamed once it is
complete. In a bucket, where directories cannot be renamed, it writes to the final directory and
adds a commit file.
"""

import dataclasses
import logging
import os
import re
import shutil
import threading
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint.path import atomicity

from mukoe.errors import UserError
from mukoe.learning.stored_leaves import StoredLeaf, checksum, describe, is_stored, to_host
from mukoe.types import Nest

_LOGGER = logging.getLogger(__name__)

_UNREADABLE = (OSError, ValueError, KeyError, TypeError, RuntimeError)
# Mount point of buckets on Vertex AI.
_OBJECT_STORES = "/gcs/"
# Prefix of the paths of the parts of a run, which are not leaves of its state.
PART_PREFIX = "part:"


def _drop_failed_saves(record: logging.LogRecord) -> bool:
    """Returns False for the errors that Orbax logs of a save that failed.

    They are tracebacks of pages; a series reports the failure in one line.
    """
    return record.levelno < logging.ERROR or "orbax" not in record.pathname


logging.getLogger("absl").addFilter(_drop_failed_saves)


class DamagedError(Exception):
    """Error for a checkpoint that differs from what was written."""


class CheckpointSeries:
    """Checkpoints of one directory, each in a subdirectory named by its step.

    One save at a time in a process: Orbax takes the directories and the signals of a save from one
    counter of the process, so that two of them mix up their files or wait for each other forever.
    """

    # Held before the lock of a series, never after it.
    _saving = threading.Lock()
    _latest_save: ClassVar["CheckpointSeries | None"] = None

    def __init__(self, directory: Path, keep: int):
        self._directory = directory
        self._keep = keep
        self._lock = threading.RLock()
        self._writer: ocp.AsyncCheckpointer | None = None
        self._pending: int | None = None
        self._pending_score: float | None = None
        self._commits_by_file = str(directory).startswith(_OBJECT_STORES)

    def steps(self) -> list[int]:
        """Returns the steps of the complete checkpoints, in ascending order."""
        try:
            names = [path.name for path in self._directory.iterdir() if self._is_complete(path)]
        except OSError:
            return []
        return sorted(int(name) for name in names if name.isdecimal())

    def _is_complete(self, path: Path) -> bool:
        return not self._commits_by_file or (path / atomicity.COMMIT_SUCCESS_FILE).exists()

    def score(self) -> float | None:
        """Returns the score of the newest readable checkpoint, None without one."""
        with self._lock:
            if self._pending is not None:
                return self._pending_score
            for step in reversed(self.steps()):
                try:
                    return float(self._read_header(step)["metadata"]["score"])
                except _UNREADABLE:
                    continue
        return None

    def save(
        self,
        step: int,
        state: Nest,
        metadata: dict[str, Any],
        parts: Mapping[str, np.ndarray] = types.MappingProxyType({}),
    ) -> None:
        """Starts to write a checkpoint; see `Checkpointer.save` and `save_run`."""
        leaves, arrays = to_host(state)
        for name, part in parts.items():
            part = np.asarray(part)
            if is_stored(part.shape):
                arrays[str(len(leaves))] = part
            leaves.append(describe(PART_PREFIX + name, part, part))
        header = {"leaves": [dataclasses.asdict(leaf) for leaf in leaves], "metadata": metadata}
        with CheckpointSeries._saving, self._lock:
            self.settle()
            if CheckpointSeries._latest_save is not None:
                CheckpointSeries._latest_save.settle()
            CheckpointSeries._latest_save = self
            try:
                self._start(step, arrays, header)
            except _UNREADABLE as error:
                self._writer = None
                _LOGGER.warning(_failure(self._directory / str(step), error))
                return
            self._pending, self._pending_score = step, metadata.get("score")

    def _start(self, step: int, arrays: Mapping[str, np.ndarray], header: Any) -> None:
        if self._writer is None:
            self._directory.mkdir(parents=True, exist_ok=True)
            self._remove_leftovers()
            self._writer = self._make_writer()
        self._writer.save(
            self._directory / str(step),
            args=ocp.args.Composite(
                arrays=ocp.args.PyTreeSave(dict(arrays)), header=ocp.args.JsonSave(header)
            ),
            force=True,
        )

    def _make_writer(self) -> ocp.AsyncCheckpointer:
        alone = _this_process()
        if not self._commits_by_file:
            options = ocp.CompositeOptions(multiprocessing_options=alone)
            return ocp.AsyncCheckpointer(
                ocp.CompositeCheckpointHandler(composite_options=options),
                multiprocessing_options=alone,
            )
        by_file = atomicity.CommitFileTemporaryPath
        options = ocp.CompositeOptions(multiprocessing_options=alone, temporary_path_class=by_file)
        return ocp.AsyncCheckpointer(
            ocp.CompositeCheckpointHandler(composite_options=options),
            multiprocessing_options=alone,
            temporary_path_class=by_file,
        )

    def settle(self) -> bool:
        """Waits for the pending save; warns and returns False if it failed."""
        try:
            self.wait()
        except UserError as error:
            _LOGGER.warning(str(error))
            return False
        return True

    def wait(self) -> None:
        """Waits for the pending save.

        Raises:
          UserError: it could not be written.
        """
        with self._lock:
            if self._writer is None or self._pending is None:
                return
            step, self._pending = self._pending, None
            try:
                self._writer.wait_until_finished()
            except _UNREADABLE as error:
                # A writer that failed once reports the same failure at every later call.
                self._writer = None
                raise UserError(_failure(self._directory / str(step), error)) from error
            self._prune(step)

    def _prune(self, newest: int) -> None:
        """Removes checkpoints after the newest save, and all but the last `keep` up to it."""
        if jax.process_index() != 0:
            return
        steps = self.steps()
        kept = [step for step in steps if step <= newest][-self._keep :]
        for step in set(steps) - set(kept):
            removed = self._directory / str(step)
            if not self._commits_by_file:
                removed = self._directory / f".removed-{step}"
                try:
                    os.replace(self._directory / str(step), removed)
                except OSError:
                    continue
            shutil.rmtree(removed, ignore_errors=True)

    def remove_all(self) -> None:
        """Removes every checkpoint."""
        self.settle()
        shutil.rmtree(self._directory, ignore_errors=True)
        self._writer = None

    def _remove_leftovers(self) -> None:
        """Removes partly written or partly removed checkpoints of killed processes."""
        if jax.process_index() != 0:
            return
        for path in self._directory.iterdir():
            partial = "orbax-checkpoint-tmp" in path.name or path.name.startswith(".removed-")
            if partial or not self._is_complete(path):
                shutil.rmtree(path, ignore_errors=True)

    def read(self, step: int | None) -> tuple[list[StoredLeaf], list[np.ndarray], dict[str, Any]]:
        """Reads a checkpoint, the newest readable one without a step.

        Returns:
          The leaves, their arrays, and the metadata.

        Raises:
          UserError: there is none, or none can be read.
        """
        self.settle()
        steps = self.steps()
        if not steps:
            raise UserError(f"there is no checkpoint in {self._directory}")
        if step is not None and step not in steps:
            listed = ", ".join(map(str, steps))
            raise UserError(f"{self._directory} has no checkpoint {step}; it has {listed}")
        for candidate in [step] if step is not None else reversed(steps):
            try:
                return self._read_complete(candidate)
            except (*_UNREADABLE, DamagedError) as error:
                reason = " ".join(str(error).split())[:200]
                _LOGGER.warning(
                    f"checkpoint {self._directory / str(candidate)} is damaged: {reason}"
                )
        tried = ", ".join(map(str, [step] if step is not None else steps))
        raise UserError(f"no checkpoint in {self._directory} can be read (tried {tried})")

    def read_metadata(self, step: int) -> dict[str, Any]:
        """Returns the metadata of a checkpoint, without reading its arrays.

        Raises:
          UserError: it cannot be read.
        """
        try:
            return self._read_header(step)["metadata"]
        except _UNREADABLE as error:
            path = self._directory / str(step)
            raise UserError(f"checkpoint {path} cannot be read: {error}") from error

    def _read_header(self, step: int) -> dict[str, Any]:
        reader = _make_reader()
        path = self._directory / str(step)
        return reader.restore(path, args=ocp.args.Composite(header=ocp.args.JsonRestore()))[
            "header"
        ]

    def _read_complete(
        self, step: int
    ) -> tuple[list[StoredLeaf], list[np.ndarray], dict[str, Any]]:
        header = self._read_header(step)
        leaves = [
            StoredLeaf(**{**entry, "shape": tuple(entry["shape"])}) for entry in header["leaves"]
        ]
        stored = {str(i): 0 for i, leaf in enumerate(leaves) if is_stored(leaf.shape)}
        restore_args = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), stored)
        reader = _make_reader()
        found = reader.restore(
            self._directory / str(step),
            args=ocp.args.Composite(
                arrays=ocp.args.PyTreeRestore(stored, restore_args=restore_args)
            ),
        )["arrays"]
        arrays = [
            np.asarray(found[str(index)])
            if is_stored(leaf.shape)
            else np.zeros(leaf.shape, np.dtype(leaf.dtype))
            for index, leaf in enumerate(leaves)
        ]
        for leaf, array in zip(leaves, arrays, strict=True):
            if (str(array.dtype), array.shape) != (leaf.dtype, leaf.shape):
                raise DamagedError(f"{leaf.path} is {array.dtype}{list(array.shape)}")
            if checksum(array) != leaf.checksum:
                raise DamagedError(f"the bytes of {leaf.path} have changed")
        return leaves, arrays, header["metadata"]


def _failure(path: Path, error: Exception) -> str:
    text = " ".join(str(error).split())
    # TensorStore appends the operating system's error to pages of its own settings.
    code = re.search(r"\[OS error (\d+)|os_error_code='(\d+)'", text)
    reason = os.strerror(int(code[1] or code[2])) if code else text[:200]
    return f"checkpoint {path} could not be written: {reason}"


def _make_reader() -> ocp.Checkpointer:
    alone = _this_process()
    options = ocp.CompositeOptions(multiprocessing_options=alone)
    return ocp.Checkpointer(
        ocp.CompositeCheckpointHandler(composite_options=options), multiprocessing_options=alone
    )


def _this_process() -> ocp.options.MultiprocessingOptions:
    """Returns options with which orbax waits for no other process of `jax.distributed`."""
    if jax.process_count() == 1:
        return ocp.options.MultiprocessingOptions()
    own = jax.process_index()
    return ocp.options.MultiprocessingOptions(
        primary_host=own, active_processes={own}, barrier_sync_key_prefix=f"process_{own}"
    )
