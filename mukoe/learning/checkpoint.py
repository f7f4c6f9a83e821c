"""Checkpoints: everything a run needs to go on as if nothing had happened.

Written by orbax, asynchronously, in a directory beside the final one that is renamed when it
is whole; in a bucket, in the final one, which then gets a file that says so. A tree is stored as
its leaves in order, with their names, types and checksums beside them, so that any tree of arrays
and numbers comes back bit for bit, and damage and mismatches are found by name.
"""

import dataclasses
import logging
import os
import shutil
import threading
import types
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint.path import atomicity

from mukoe.errors import UserError
from mukoe.types import Nest

_LOGGER = logging.getLogger(__name__)

_UNREADABLE = (OSError, ValueError, KeyError, TypeError, RuntimeError)
_PYTHON = {"bool": bool, "int": int, "float": float}
# Where Vertex AI mounts buckets, in which directories cannot be renamed.
_OBJECT_STORES = "/gcs/"


class _DamagedError(Exception):
    """A checkpoint does not hold what was written."""


@dataclasses.dataclass(frozen=True)
class _Leaf:
    """What is known of a stored leaf.

    path: its place in the tree, such as `.params['linear']['w']`.
    kind: `array`, `key` (a typed PRNG key), or the Python type `bool`, `int` or `float`.
    dtype, shape: of the stored array.
    checksum: CRC-32 of its bytes.
    implementation: of a typed PRNG key.
    """

    path: str
    kind: str
    dtype: str
    shape: tuple[int, ...]
    checksum: int
    implementation: str = ""


_PART = "part:"


class Checkpointer:
    """Saves and restores trees in DIRECTORY/latest, DIRECTORY/best and DIRECTORY/run.

    One process writes; any number may read at the same time. Arrays that span several
    hosts must be replicated, and then every host calls `save`. Safe to call from several
    threads.
    """

    def __init__(self, directory: str | os.PathLike[str], keep: int = 3):
        """Makes nothing yet; the directories are made by the first save.

        Args:
          directory: such as WORKDIR/checkpoints.
          keep: how many of the latest checkpoints stay.
        """
        directory = Path(directory).expanduser().absolute()
        self._latest = _Series(directory / "latest", keep)
        self._best = _Series(directory / "best", 1)
        # Two, so that a damaged one has one before it.
        self._runs = _Series(directory / "run", 2)

    def save(self, step: int, state: Nest, metadata: Mapping[str, Any] | None = None) -> None:
        """Copies the state to the host and starts to write it.

        The state may be donated or changed as soon as this returns. Waits for the save
        before, and warns if that one failed.

        Args:
          step: names the checkpoint; replaces one of the same name, and later ones, which
            a resumed run has gone back behind.
          state: a tree of arrays, typed PRNG keys and Python numbers.
          metadata: anything that JSON can hold.
        """
        self._latest.save(step, state, dict(metadata or {}))

    def save_best(
        self, step: int, state: Nest, score: float, metadata: Mapping[str, Any] | None = None
    ) -> bool:
        """Saves the state as the best one if its score is higher than the stored one's.

        Returns:
          Whether it was.
        """
        known = self.best_score()
        if known is not None and not score > known:
            return False
        self._best.save(step, state, {**(metadata or {}), "score": float(score)})
        return True

    def steps(self) -> list[int]:
        """Returns the steps of the latest checkpoints, in ascending order."""
        return self._latest.steps()

    def latest_step(self) -> int | None:
        """Returns the step of the newest checkpoint, None without one."""
        return max(self.steps(), default=None)

    def best_step(self) -> int | None:
        """Returns the step of the best checkpoint, None without one."""
        return max(self._best.steps(), default=None)

    def best_score(self) -> float | None:
        """Returns the score of the best checkpoint, None without a readable one."""
        return self._best.score()

    def restore(
        self, like: Nest, *, step: int | None = None, best: bool = False, partial: bool = False
    ) -> tuple[Nest, dict[str, Any]]:
        """Reads a checkpoint.

        Without a `step`, a newest checkpoint that is damaged is passed over, with a warning,
        for the one before.

        Args:
          like: a tree of the same structure, of arrays or `jax.ShapeDtypeStruct`; says
            where each leaf goes: JAX arrays (with their sharding), NumPy arrays, numbers.
          step: which one; the newest by default.
          best: read the best checkpoint instead of the latest.
          partial: leaves that `like` does not have are passed over.

        Returns:
          The state and the metadata.

        Raises:
          UserError: there is none, none can be read, or its tree is another (names the
            first leaf that differs).
        """
        series = self._best if best else self._latest
        leaves, arrays, metadata = series.read(step)
        return _rebuild(leaves, arrays, like, partial), metadata

    def save_run(
        self,
        step: int,
        state: Nest,
        parts: Mapping[str, np.ndarray],
        metadata: Mapping[str, Any],
    ) -> None:
        """Saves a whole run, in one checkpoint of its own; see `save`.

        Args:
          step: names the checkpoint.
          state: of the learner.
          parts: arrays with names of all else, which nobody changes any more.
          metadata: anything that JSON can hold.
        """
        self._runs.save(step, state, dict(metadata), parts)

    def restore_run(self, like: Nest) -> tuple[Nest, dict[str, np.ndarray], dict[str, Any]] | None:
        """Reads the newest run that is whole; None without one, and a warning for damaged ones.

        Args:
          like: as for `restore`.

        Returns:
          The state, the parts and the metadata.

        Raises:
          UserError: the tree of the state is another.
        """
        self._runs.settle()
        if not self._runs.steps():
            return None
        try:
            leaves, arrays, metadata = self._runs.read(None)
        except UserError as error:
            _LOGGER.warning(f"{error}: going on from the learner's checkpoint")
            return None
        pairs = list(zip(leaves, arrays, strict=True))
        parts = {
            leaf.path.removeprefix(_PART): array
            for leaf, array in pairs
            if leaf.path.startswith(_PART)
        }
        state = [pair for pair in pairs if not pair[0].path.startswith(_PART)]
        like_state = _rebuild(
            [leaf for leaf, _ in state], [array for _, array in state], like, False
        )
        return like_state, parts, metadata

    def remove_runs(self) -> None:
        """Removes what `save_run` has saved: a run that is no longer saved has moved on."""
        self._runs.remove_all()

    def read_metadata(self) -> dict[str, Any]:
        """Returns the metadata of the newest readable checkpoint.

        Raises:
          UserError: there is none, or none can be read.
        """
        return self._latest.read(None)[2]

    def wait(self) -> None:
        """Returns when what was saved is on the disk.

        Raises:
          UserError: it could not be written.
        """
        for series in (self._latest, self._best, self._runs):
            series.wait()

    def close(self, timeout: float = 10.0) -> bool:
        """Waits at most `timeout` seconds for the last save.

        A save that failed or is not finished in time gets a warning.

        Returns:
          Whether everything that was saved is on the disk.
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


class _Series:
    """The checkpoints of one directory, each in a directory named by its step."""

    def __init__(self, directory: Path, keep: int):
        self._directory = directory
        self._keep = keep
        self._lock = threading.RLock()
        self._writer: ocp.AsyncCheckpointer | None = None
        self._pending: int | None = None
        self._pending_score: float | None = None
        self._commits_by_file = str(directory).startswith(_OBJECT_STORES)

    def steps(self) -> list[int]:
        """Returns the steps of the whole checkpoints, in ascending order."""
        try:
            names = [path.name for path in self._directory.iterdir() if self._is_whole(path)]
        except OSError:
            return []
        return sorted(int(name) for name in names if name.isdecimal())

    def _is_whole(self, path: Path) -> bool:
        return not self._commits_by_file or (path / atomicity.COMMIT_SUCCESS_FILE).exists()

    def score(self) -> float | None:
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
        leaves, arrays = _to_host(state)
        for name, part in parts.items():
            part = np.asarray(part)
            if _is_stored(part.shape):
                arrays[str(len(leaves))] = part
            leaves.append(_describe(_PART + name, part, part))
        header = {"leaves": [dataclasses.asdict(leaf) for leaf in leaves], "metadata": metadata}
        with self._lock:
            self.settle()
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
        if not self._commits_by_file:
            return ocp.AsyncCheckpointer(ocp.CompositeCheckpointHandler())
        by_file = atomicity.CommitFileTemporaryPath
        options = ocp.CompositeOptions(temporary_path_class=by_file)
        return ocp.AsyncCheckpointer(
            ocp.CompositeCheckpointHandler(composite_options=options), temporary_path_class=by_file
        )

    def settle(self) -> bool:
        """Waits for the save under way; warns and returns False if it failed."""
        try:
            self.wait()
        except UserError as error:
            _LOGGER.warning(str(error))
            return False
        return True

    def wait(self) -> None:
        with self._lock:
            if self._writer is None or self._pending is None:
                return
            step, self._pending = self._pending, None
            try:
                self._writer.wait_until_finished()
            except _UNREADABLE as error:
                # A writer that failed once reports the same failure for ever.
                self._writer = None
                raise UserError(_failure(self._directory / str(step), error)) from error
            self._prune(step)

    def _prune(self, newest: int) -> None:
        """Removes what is beyond the newest save, and all but the last `keep` up to it."""
        if jax.process_index() != 0:
            return
        steps = self.steps()
        kept = [step for step in steps if step <= newest][-self._keep :]
        for step in set(steps) - set(kept):
            doomed = self._directory / str(step)
            if not self._commits_by_file:
                doomed = self._directory / f".removed-{step}"
                try:
                    os.replace(self._directory / str(step), doomed)
                except OSError:
                    continue
            shutil.rmtree(doomed, ignore_errors=True)

    def remove_all(self) -> None:
        """Removes every checkpoint."""
        self.settle()
        shutil.rmtree(self._directory, ignore_errors=True)
        self._writer = None

    def _remove_leftovers(self) -> None:
        """Removes what processes that were killed have left half written or half removed."""
        if jax.process_index() != 0:
            return
        for path in self._directory.iterdir():
            half = "orbax-checkpoint-tmp" in path.name or path.name.startswith(".removed-")
            if half or not self._is_whole(path):
                shutil.rmtree(path, ignore_errors=True)

    def read(self, step: int | None) -> tuple[list[_Leaf], list[np.ndarray], dict[str, Any]]:
        self.settle()
        steps = self.steps()
        if not steps:
            raise UserError(f"there is no checkpoint in {self._directory}")
        if step is not None and step not in steps:
            listed = ", ".join(map(str, steps))
            raise UserError(f"{self._directory} has no checkpoint {step}; it has {listed}")
        for candidate in [step] if step is not None else reversed(steps):
            try:
                return self._read_whole(candidate)
            except (*_UNREADABLE, _DamagedError) as error:
                reason = " ".join(str(error).split())[:200]
                _LOGGER.warning(
                    f"checkpoint {self._directory / str(candidate)} is damaged: {reason}"
                )
        tried = ", ".join(map(str, [step] if step is not None else steps))
        raise UserError(f"no checkpoint in {self._directory} can be read (tried {tried})")

    def _read_header(self, step: int) -> dict[str, Any]:
        reader = ocp.Checkpointer(ocp.CompositeCheckpointHandler())
        path = self._directory / str(step)
        return reader.restore(path, args=ocp.args.Composite(header=ocp.args.JsonRestore()))[
            "header"
        ]

    def _read_whole(self, step: int) -> tuple[list[_Leaf], list[np.ndarray], dict[str, Any]]:
        header = self._read_header(step)
        leaves = [_Leaf(**{**entry, "shape": tuple(entry["shape"])}) for entry in header["leaves"]]
        stored = {str(i): 0 for i, leaf in enumerate(leaves) if _is_stored(leaf.shape)}
        restore_args = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), stored)
        reader = ocp.Checkpointer(ocp.CompositeCheckpointHandler())
        found = reader.restore(
            self._directory / str(step),
            args=ocp.args.Composite(
                arrays=ocp.args.PyTreeRestore(stored, restore_args=restore_args)
            ),
        )["arrays"]
        arrays = [
            np.asarray(found[str(index)])
            if _is_stored(leaf.shape)
            else np.zeros(leaf.shape, np.dtype(leaf.dtype))
            for index, leaf in enumerate(leaves)
        ]
        for leaf, array in zip(leaves, arrays, strict=True):
            if (str(array.dtype), array.shape) != (leaf.dtype, leaf.shape):
                raise _DamagedError(f"{leaf.path} is {array.dtype}{list(array.shape)}")
            if _checksum(array) != leaf.checksum:
                raise _DamagedError(f"the bytes of {leaf.path} have changed")
        return leaves, arrays, header["metadata"]


def _failure(path: Path, error: Exception) -> str:
    reason = " ".join(str(error).split())[:200]
    return f"checkpoint {path} could not be written: {reason}"


def _is_stored(shape: tuple[int, ...]) -> bool:
    """Arrays without elements are described and not stored."""
    return 0 not in shape


def _checksum(array: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(array).view(np.uint8).reshape(-1).data)


def _is_key(leaf: Any) -> bool:
    return hasattr(leaf, "dtype") and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _to_host(state: Nest) -> tuple[list[_Leaf], dict[str, np.ndarray]]:
    """Copies the leaves, and returns their descriptions and, by number, their contents."""
    paths, _ = jax.tree_util.tree_flatten_with_path(state)
    raw = [
        (path, leaf, jax.random.key_data(leaf) if _is_key(leaf) else leaf) for path, leaf in paths
    ]
    for _, _, data in raw:
        if isinstance(data, jax.Array):
            data.copy_to_host_async()
    leaves, arrays = [], {}
    for index, (path, leaf, data) in enumerate(raw):
        # A copy: on the CPU a view would share the buffer, which may be donated next.
        array = np.array(data, copy=True)
        if array.dtype.kind in "OUS":
            raise TypeError(f"{jax.tree_util.keystr(path)} is a {type(leaf).__name__}")
        leaves.append(_describe(jax.tree_util.keystr(path), leaf, array))
        if _is_stored(array.shape):
            arrays[str(index)] = array
    return leaves, arrays


def _describe(path: str, leaf: Any, array: np.ndarray) -> _Leaf:
    kind, implementation = "array", ""
    if _is_key(leaf):
        kind, implementation = "key", str(jax.random.key_impl(leaf))
    elif type(leaf).__name__ in _PYTHON and not isinstance(leaf, np.generic):
        kind = type(leaf).__name__
    return _Leaf(path, kind, str(array.dtype), array.shape, _checksum(array), implementation)


def _rebuild(leaves: list[_Leaf], arrays: list[np.ndarray], like: Nest, partial: bool) -> Nest:
    """Puts the stored leaves in the place of those of `like`."""
    wanted, structure = jax.tree_util.tree_flatten_with_path(like)
    stored = {leaf.path: (leaf, array) for leaf, array in zip(leaves, arrays, strict=True)}
    names = [jax.tree_util.keystr(path) for path, _ in wanted]
    missing = [name for name in names if name not in stored]
    if missing:
        raise UserError(f"the checkpoint has no {missing[0]}; it was written by another agent")
    extra = [name for name in stored if name not in set(names)]
    if extra and not partial:
        raise UserError(f"the checkpoint has {extra[0]}, which this agent does not have")
    pairs = zip(names, wanted, strict=True)
    return structure.unflatten([_place(*stored[name], target) for name, (_, target) in pairs])


def _place(leaf: _Leaf, array: np.ndarray, target: Any) -> Any:
    """Makes a stored leaf what `target` is: a JAX array, a NumPy array or a number."""
    if leaf.kind in _PYTHON and not hasattr(target, "dtype"):
        return _PYTHON[leaf.kind](array.item())
    _check_fit(leaf, target)
    if leaf.kind == "key":
        value = jax.random.wrap_key_data(jnp.asarray(array), impl=leaf.implementation)
    elif isinstance(target, np.generic):
        return array[()]
    elif isinstance(target, np.ndarray):
        return array
    else:
        value = array
    sharding = getattr(target, "sharding", None)
    return jax.device_put(value, sharding)


def _check_fit(leaf: _Leaf, target: Any) -> None:
    if _is_key(target) != (leaf.kind == "key") or not hasattr(target, "shape"):
        raise UserError(
            f"the checkpoint's {leaf.path} is of kind {leaf.kind}, expected {type(target).__name__}"
        )
    shape, dtype = target.shape, str(target.dtype)
    if leaf.kind == "key":
        fits = leaf.shape[: len(shape)] == shape and len(leaf.shape) == len(shape) + 1
    else:
        fits = (leaf.shape, leaf.dtype) == (shape, dtype)
    if not fits:
        raise UserError(
            f"the checkpoint's {leaf.path} is {leaf.dtype}{list(leaf.shape)}, "
            f"expected {dtype}{list(shape)}"
        )
