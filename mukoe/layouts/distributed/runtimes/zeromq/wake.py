"""Signal from any thread to one that polls sockets."""

import contextlib
import os


class Wake:
    """File that becomes readable when it is set."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def fileno(self) -> int:
        """Returns the descriptor to poll."""
        return self._reader

    def set(self) -> None:
        """Wakes the poll."""
        with contextlib.suppress(BlockingIOError, OSError):  # full: it is set already
            os.write(self._writer, b".")

    def clear(self) -> None:
        """Makes the file unreadable until it is set again."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._reader, 4096)

    def __del__(self) -> None:
        """Closes the file; nothing can set it any more."""
        os.close(self._reader)
        os.close(self._writer)
