"""Checkpoints of a replay: NumPy files, the newest and the one before it."""

import datetime
import logging
import os
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np

T = TypeVar("T")

_LOGGER = logging.getLogger(__name__)

_KEPT = 2


def replay_folder(workdir: Path, index: int = 0, num_replays: int = 1) -> Path:
    """Returns the folder of the checkpoints of one of several replay nodes."""
    name = "replay" if num_replays == 1 else f"replay_{index}_of_{num_replays}"
    return workdir / "checkpoints" / name


def save_replay(folder: Path, state: Mapping[str, np.ndarray]) -> None:
    """Writes a checkpoint, and removes all but the newest ones.

    Args:
      folder: folder of `replay_folder`.
      state: arrays by name.

    Raises:
      OSError: the file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for torn in folder.glob(".*.tmp"):
        torn.unlink()
    name = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%d-%H%M%S-%f")
    beside = folder / f".{name}.tmp"
    with open(beside, "wb") as file:
        np.savez(file, allow_pickle=False, **state)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, folder / f"{name}.npz")
    for old in _checkpoints(folder)[_KEPT:]:
        old.unlink()


def restore_replay(folder: Path, restore: Callable[[Mapping[str, np.ndarray]], T]) -> T | None:
    """Returns the replay of the newest checkpoint; None without one.

    A checkpoint that cannot be read is renamed with a warning, and the one before it is used.

    Args:
      folder: folder of `replay_folder`.
      restore: function that makes a replay with the content of a checkpoint.
    """
    for path in _checkpoints(folder):
        try:
            with np.load(path) as arrays:
                state = dict(arrays)
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            _LOGGER.warning(f"replay checkpoint {path} cannot be read: {error}")
            path.rename(path.with_suffix(".damaged"))
            continue
        restored = restore(state)
        print(f"restored the replay from {path}", flush=True)  # to the node's log
        return restored
    return None


def _checkpoints(folder: Path) -> list[Path]:
    """Returns the checkpoints of a folder, the newest first; their names are dates."""
    return sorted(folder.glob("*.npz"), reverse=True)
