"""Writer of Minari data sets, which `minari.load_dataset` opens.

The files are Minari's, with two differences in their content. Pictures are PNG, where Minari's own
writer compresses with loss; its reader decodes both. The infos have a group `mukoe` with what rows
hold beside observations, actions and rewards: discounts and stored extras.
"""

import contextlib
import io
import os
import shutil
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces

from mukoe.errors import UserError
from mukoe.replay.datasets.spaces import action_space, is_picture, observation_space, to_stored
from mukoe.replay.datasets.storage import OWN_METADATA, data_folder, require_minari
from mukoe.terminal.interruption import cleanup_at_exit
from mukoe.types import EnvironmentSpec, Row

_FILE = "main_data.hdf5"
_RENAME_SECONDS = 5.0


def check_name(name: str) -> Path:
    """Returns the folder of a new data set.

    Raises:
      UserError: the name is not one of Minari, or a data set has it.
    """
    folder = data_folder(name).parent
    if folder.exists():
        raise UserError(f"there is a data set '{name}' already, in {folder}; choose another name")
    return folder


class DatasetWriter:
    """Writer of one data set, a context manager.

    The data set appears under its name, complete, when the context ends without an error; until
    then it is a hidden folder beside it, which an error, Ctrl-C or SIGTERM removes.
    """

    def __init__(self, name: str, environment_spec: EnvironmentSpec, metadata: Mapping[str, Any]):
        """Makes the hidden folder.

        Args:
          name: name of the data set, such as cartpole/random-v0.
          environment_spec: spec of one environment.
          metadata: further metadata, JSON values.

        Raises:
          UserError: the package `minari` is missing, a data set has this name, its folder cannot
            be written, or Minari cannot store these observations.
        """
        require_minari()
        self.name = name
        self.episodes, self.steps = 0, 0
        self._folder = check_name(name)
        self._space = observation_space(environment_spec.observations)
        self._action_space = action_space(environment_spec)
        self._metadata = metadata
        self._discount = float(np.min(environment_spec.discounts.minimum))
        try:
            self._folder.parent.mkdir(parents=True, exist_ok=True)
            self._hidden = Path(tempfile.mkdtemp(prefix=".", dir=self._folder.parent))
        except OSError as error:
            raise UserError(f"the data set cannot be written: {error}") from error
        # Held while the hidden folder is renamed, or is removed by the thread that exits.
        self._moving = threading.Lock()
        self._exits = contextlib.ExitStack()
        self._discarded = False

    def __enter__(self) -> "DatasetWriter":
        import h5py
        from minari.dataset.minari_storage import MinariStorage

        self._exits.enter_context(cleanup_at_exit(self._remove))
        try:
            self._storage = MinariStorage.new(
                self._hidden / "data", self._space, self._action_space, data_format="hdf5"
            )
            self._file = h5py.File(self._hidden / "data" / _FILE, "w", track_order=True)
        except BaseException as error:
            self._close()
            if isinstance(error, OSError):
                raise UserError(f"the data set cannot be written: {error}") from error
            raise
        return self

    def __exit__(self, kind: Any, *error: Any) -> None:
        try:
            self._file.close()
            if kind is None and not self._discarded:
                self._complete()
        finally:
            self._close()

    def _close(self) -> None:
        shutil.rmtree(self._hidden, ignore_errors=True)
        self._exits.close()

    def _remove(self) -> None:
        """Removes the hidden folder before this process exits; it is not renamed after that."""
        if self._moving.acquire(timeout=_RENAME_SECONDS):
            shutil.rmtree(self._hidden, ignore_errors=True)

    def discard(self) -> None:
        """Makes the end of the context leave nothing."""
        self._discarded = True

    def write(self, episode: Row) -> None:
        """Writes an episode, rows `[L+1, ...]` with the final observation.

        Raises:
          UserError: the file cannot be written, for example on a full disk.
        """
        try:
            self._write_episode(episode)
        except OSError as error:
            raise UserError(f"data set '{self.name}' cannot be written: {error}") from error

    def _write_episode(self, episode: Row) -> None:
        length = len(episode.mask) - 1
        group = self._file.create_group(f"episode_{self.episodes}")
        group.attrs["id"] = self.episodes
        group.attrs["total_steps"] = length
        discount = np.asarray(episode.discount)
        terminated = np.arange(length) == length - 1
        terminated &= discount[:length] == 0
        _write(group, "observations", to_stored(episode.observation), self._space)
        _write(group, "actions", episode.action[:length])
        _write(group, "rewards", episode.reward[:length])
        _write(group, "terminations", terminated)
        _write(group, "truncations", (np.arange(length) == length - 1) & ~terminated)
        own = {"discount": discount, "extras": dict(episode.extras)}
        _write(group, "infos", {OWN_METADATA: own})
        self.episodes += 1
        self.steps += length

    def _complete(self) -> None:
        import minari

        if not self.episodes:
            raise UserError(f"no complete episode for data set '{self.name}': nothing was written")
        own = {"smallest_discount": self._discount, **self._metadata.get(OWN_METADATA, {})}
        self._storage.update_metadata(
            {
                **self._metadata,
                OWN_METADATA: own,
                "dataset_id": self.name,
                "minari_version": minari.__version__,
                "total_episodes": self.episodes,
                "total_steps": self.steps,
                "dataset_size": float(self._storage.get_size()),
            }
        )
        self._hidden.chmod(0o755)
        try:
            with self._moving:
                os.rename(self._hidden, self._folder)
        except OSError as error:
            raise UserError(f"the data set '{self.name}' cannot be written: {error}") from error


def _write(group: Any, key: str, value: Any, space: spaces.Space | None = None) -> None:
    """Writes a nest of arrays; pictures where the space is one."""
    if isinstance(value, dict | tuple):
        parts = value if isinstance(value, dict) else dict(enumerate(value))
        subgroup = group.create_group(key)
        for name, part in parts.items():
            inner = None if space is None else space[name]  # type: ignore[index]
            _write(
                subgroup, f"_index_{name}" if isinstance(value, tuple) else str(name), part, inner
            )
        return
    array = np.asarray(value)
    if space is not None and is_picture(array.shape[1:], array.dtype):
        _write_pictures(group, key, array)
        return
    group.create_dataset(
        key, data=array, chunks=True, maxshape=(None, *array.shape[1:]), compression="gzip"
    )


def _write_pictures(group: Any, key: str, frames: np.ndarray) -> None:
    """Writes frames `[T, H, W]` or `[T, H, W, C]` uint8 as PNG files."""
    import h5py
    from PIL import Image

    dataset = group.create_dataset(
        key, (len(frames),), h5py.vlen_dtype(np.uint8), chunks=True, maxshape=(None,)
    )
    for index, frame in enumerate(frames):
        file = io.BytesIO()
        Image.fromarray(frame).save(file, format="PNG", compress_level=1)
        dataset[index] = np.frombuffer(file.getvalue(), np.uint8)
