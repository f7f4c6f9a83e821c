"""The Reverb server of a program, and its checkpoints."""

import contextlib
import logging
import os
import shutil
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import reverb

_LOGGER = logging.getLogger(__name__)


# A process that dies while it reads a checkpoint may have been killed by chance.
_MAX_TRIES = 2
_FILES = ("chunks.tfrecord", "tables.tfrecord")


def replay_folder(workdir: Path) -> Path:
    """Where a run's replay is saved; each checkpoint is a folder in it."""
    return workdir / "checkpoints" / "replay"


def _folder_before(folder: Path) -> Path:
    """Where the checkpoint before the newest one is kept."""
    return folder.with_name(f"{folder.name}_before")


def serve(
    make_tables: Callable[[], Sequence[reverb.Table]], port: int, folder: Path | None
) -> reverb.Server:
    """Starts a server with what its newest checkpoint has.

    A checkpoint that cannot be read, or over which two processes have died, is put aside, with a
    warning, for the one before it.

    Args:
      make_tables: makes empty tables.
      port: to listen at.
      folder: of `replay_folder`; None to save nothing.
    """
    if folder is None:
        return reverb.Server(make_tables(), port=port)
    folder.mkdir(parents=True, exist_ok=True)
    tries = folder.with_name(f"{folder.name}_tries")
    while True:
        newest = _checkpoints(folder)[-1:]
        # Reverb would be silent about a file that is missing, and empty.
        missing = [name for name in _FILES if newest and not (newest[0] / name).exists()]
        if missing:
            _fall_back(folder, newest[0], f"it has no {missing[0]}")
            continue
        if newest and _count_try(tries, newest[0]) > _MAX_TRIES:
            _fall_back(folder, newest[0], "processes have died over it")
            continue
        checkpointer = reverb.checkpointers.DefaultCheckpointer(str(folder))
        try:
            server = reverb.Server(make_tables(), port=port, checkpointer=checkpointer)
        except (RuntimeError, ValueError) as error:
            if not newest or "BuildAndStart" in str(error):  # the port is taken
                raise
            _fall_back(folder, newest[0], " ".join(str(error).split())[:200])
            continue
        tries.unlink(missing_ok=True)
        return server


def _count_try(tries: Path, checkpoint: Path) -> int:
    """Returns how often the checkpoint was tried without success, this time included."""
    count = 1
    with contextlib.suppress(OSError, ValueError):
        name, before = tries.read_text().split()
        count += int(before) * (name == checkpoint.name)
    with contextlib.suppress(OSError):  # a full disk
        tries.write_text(f"{checkpoint.name} {count}")
    return count


def _fall_back(folder: Path, checkpoint: Path, reason: str) -> None:
    _LOGGER.warning(f"replay checkpoint {checkpoint} cannot be read: {reason}")
    aside = folder.with_name(f"{folder.name}_damaged")
    shutil.rmtree(aside, ignore_errors=True)
    shutil.move(checkpoint, aside)
    for kept in _checkpoints(_folder_before(folder)):
        shutil.move(kept, folder / kept.name)


class ReplaySaver:
    """Has the server write checkpoints, one at a time, in a thread.

    While it writes one, the server takes and gives nothing. It removes the checkpoint before
    when the new one is whole; that one stays as hard links beside it.
    """

    def __init__(self, client: Any, workdir: Path):
        """Saves the replay of `client` in the workdir."""
        self._client = client
        self._folder = replay_folder(workdir)
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Starts a checkpoint, unless the last one still goes on."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._save, daemon=True)
            self._thread.start()

    def wait(self, seconds: float) -> None:
        """Waits for the checkpoint under way."""
        if self._thread is not None:
            self._thread.join(seconds)
            if self._thread.is_alive():
                _LOGGER.warning(f"the replay was not saved within {seconds:g} s")

    def _save(self) -> None:
        with contextlib.suppress(OSError):  # such as a folder on another machine
            self._keep_newest()
        try:
            self._client.checkpoint()
        except Exception as error:  # whatever the server has, such as a full disk
            reason = " ".join(str(error).split())[:200]
            _LOGGER.warning(f"the replay could not be saved: {reason}")

    def _keep_newest(self) -> None:
        before = _folder_before(self._folder)
        before.mkdir(parents=True, exist_ok=True)
        for newest in _checkpoints(self._folder)[-1:]:
            if not (before / newest.name).exists():
                beside = before / f".{newest.name}"
                shutil.rmtree(beside, ignore_errors=True)
                shutil.copytree(newest, beside, copy_function=os.link)
                os.replace(beside, before / newest.name)
            for old in _checkpoints(before):
                if old.name != newest.name:
                    shutil.rmtree(old, ignore_errors=True)


def _checkpoints(folder: Path) -> list[Path]:
    """The whole checkpoints of a folder, the newest last; their names are dates."""
    return sorted(path.parent for path in folder.glob("*/DONE"))
