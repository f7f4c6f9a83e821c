"""Reverb server of a program, and its checkpoints."""

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


# A process that dies while it reads a checkpoint may have been killed for another reason.
_MAX_TRIES = 2
_FILES = ("chunks.tfrecord", "tables.tfrecord")


def replay_folder(workdir: Path) -> Path:
    """Returns the folder of a run's replay checkpoints, each of which is a folder in it."""
    return workdir / "checkpoints" / "replay"


def _folder_before(folder: Path) -> Path:
    """Returns the folder of the checkpoint before the newest one."""
    return folder.with_name(f"{folder.name}_before")


def serve(
    make_tables: Callable[[], Sequence[reverb.Table]], port: int, folder: Path | None
) -> reverb.Server:
    """Starts a server with the content of its newest checkpoint.

    A checkpoint that cannot be read, or that two processes died while reading, is moved aside with
    a warning, and the one before it is used.

    Args:
      make_tables: function that makes empty tables.
      port: port of the server.
      folder: folder of `replay_folder`; None to save nothing.
    """
    if folder is None:
        return reverb.Server(make_tables(), port=port)
    folder.mkdir(parents=True, exist_ok=True)
    tries = folder.with_name(f"{folder.name}_tries")
    while True:
        newest = _checkpoints(folder)[-1:]
        # Reverb starts empty, without an error, if a file is missing.
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
    """Returns the number of tries to read the checkpoint, with this one."""
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

    The server serves nothing while it writes. It removes the checkpoint before when the new one is
    complete; hard links keep the former in another folder.
    """

    def __init__(self, client: Any, workdir: Path):
        """Prepares checkpoints of a server.

        Args:
          client: client of the server.
          workdir: directory of the run.
        """
        self._client = client
        self._folder = replay_folder(workdir)
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Starts a checkpoint, unless one is being written."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._save, daemon=True)
            self._thread.start()

    def wait(self, seconds: float) -> None:
        """Waits for the checkpoint that is being written, for at most `seconds`."""
        if self._thread is not None:
            self._thread.join(seconds)
            if self._thread.is_alive():
                _LOGGER.warning(f"the replay was not saved within {seconds:g} s")

    def _save(self) -> None:
        with contextlib.suppress(OSError):  # for example, the folder is on another machine
            self._keep_newest()
        try:
            self._client.checkpoint()
        except Exception as error:  # any error of the server, such as a full disk
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
    """Returns the complete checkpoints of a folder, the newest last; their names are dates."""
    return sorted(path.parent for path in folder.glob("*/DONE"))
