"""Ctrl-C and SIGTERM in programs.

Python calls signal handlers in the main thread between two bytecodes. A compilation delays them by
minutes, and a KeyboardInterrupt within an import or a callback may become another error. A program
therefore has a thread that receives the signals' numbers through a pipe (`signal.set_wakeup_fd`).
"""

import collections
import contextlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from types import FrameType

from mukoe.terminal.progress_line import active_line

STATUS_INTERRUPTED, STATUS_TERMINATED = 130, 143

_EXITS: dict[int, tuple[str, int]] = {
    signal.SIGINT: ("interrupted", STATUS_INTERRUPTED),
    signal.SIGTERM: ("terminated", STATUS_TERMINATED),
}
"""Line and exit status by signal."""

_ANNOUNCE_SECONDS = 1.0
# No signal has this number.
_CHANGE = b"\0"


class _Listener:
    """Thread that reacts to signals while the main thread may be busy in a library.

    Changes of the collection go through the same pipe as the signals. A signal that was collected
    is thus never taken for one that came later.
    """

    def __init__(self) -> None:
        self._changes: collections.deque[_Collection | None] = collections.deque()
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        threading.Thread(target=self._listen, name="signals", daemon=True).start()

    def collect(self, collection: "_Collection | None") -> None:
        """Gives the signals from now on to a collection; None where Ctrl-C exits."""
        self._changes.append(collection)
        os.write(self._writer, _CHANGE)

    def _listen(self) -> None:
        collection: _Collection | None = None
        while number := os.read(self._reader, 1):
            if number == _CHANGE:
                if collection is not None:
                    collection.close()
                collection = self._changes.popleft()
            elif collection is not None:
                collection.notice(number[0])
            elif number[0] in _EXITS and signal.getsignal(number[0]) is _exit_handler:
                _exit_handler(number[0], None)


class _Collection:
    """Signals that one part of the program collects, and their announcements."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self._interrupts = 0
        self._timer: threading.Timer | None = None

    def notice(self, number: int) -> None:
        """Announces the end a little later; at the second Ctrl-C, exits at once."""
        self._interrupts += number == signal.SIGINT
        if self._interrupts > 1:
            exit_interrupted("interrupted again: exits without a last checkpoint")
        if self._timer is None and number in (signal.SIGINT, signal.SIGTERM):
            self._timer = threading.Timer(_ANNOUNCE_SECONDS, self._announce, [number])
            self._timer.daemon = True
            self._timer.start()

    def close(self) -> None:
        """Cancels an announcement that is no longer needed."""
        if self._timer is not None:
            self._timer.cancel()

    def _announce(self, number: int) -> None:
        line = active_line()
        if line is None:
            return
        name = "Ctrl-C" if number == signal.SIGINT else "SIGTERM"
        line.message(
            f"{name}: ends after the current step ({line.phase}) and a last checkpoint; "
            "Ctrl-C again exits at once"
        )


_cleanups: list[Callable[[], None]] = []
_unfinished: list[threading.Thread] = []
_listener: _Listener | None = None
_exiting = threading.Lock()


def exit_on_interrupt() -> None:
    """Makes Ctrl-C and SIGTERM exit this process at once, with one line and status 130 or 143.

    A program calls this before it imports anything that takes time. Parts of a program that handle
    these signals themselves replace this behaviour.
    """
    global _listener
    if _listener is not None:
        return
    for number in _EXITS:
        signal.signal(number, _exit_handler)
    _listener = _Listener()
    os.register_at_fork(after_in_child=_forget)


@contextlib.contextmanager
def collected_signals() -> Iterator[list[int]]:
    """Collects SIGINT and SIGTERM instead of ending the process.

    A second Ctrl-C exits at once after `exit_on_interrupt`, and raises KeyboardInterrupt otherwise.
    """
    collection = _Collection()

    def receive(number: int, frame: FrameType | None) -> None:
        del frame
        collection.numbers.append(number)
        if _listener is None:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    old = {number: signal.signal(number, receive) for number in (signal.SIGINT, signal.SIGTERM)}
    if _listener is not None:
        _listener.collect(collection)
    try:
        yield collection.numbers
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
        if _listener is not None:
            _listener.collect(None)


@contextlib.contextmanager
def raised_interrupts() -> Iterator[None]:
    """Makes Ctrl-C raise KeyboardInterrupt, and a second one within the context exit at once."""
    old = signal.signal(signal.SIGINT, signal.default_int_handler)
    if _listener is not None:
        _listener.collect(_Collection())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, old)
        if _listener is not None:
            _listener.collect(None)


@contextlib.contextmanager
def cleanup_at_exit(cleanup: Callable[[], None]) -> Iterator[None]:
    """Has a function called where Ctrl-C or SIGTERM exits within the context.

    Args:
      cleanup: function that any thread may call, at any time; it must return soon.
    """
    _cleanups.append(cleanup)
    try:
        yield
    finally:
        _cleanups.remove(cleanup)


def abandon(thread: threading.Thread) -> None:
    """Leaves a thread that does not end; `exit_past_threads` then exits at once."""
    _unfinished.append(thread)


def exit_past_threads(status: int, error: Exception | None = None) -> None:
    """Exits without the finalization of the interpreter if an abandoned thread still runs.

    A finalization while a thread compiles or computes in XLA aborts the process.

    Args:
      status: exit status.
      error: exception that ends the program; its traceback is printed.
    """
    if not any(thread.is_alive() for thread in _unfinished):
        return
    if error is not None:
        traceback.print_exception(error)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, AttributeError):  # closed or missing
            stream.flush()
    os._exit(status)


def exit_interrupted(line: str, status: int = STATUS_INTERRUPTED) -> None:
    """Exits with a line on the standard error, which replaces an unfinished line of a terminal."""
    if not _exiting.acquire(blocking=False):
        return  # The other thread exits.
    for cleanup in list(_cleanups):
        with contextlib.suppress(OSError):
            cleanup()
    clear = "\r\x1b[K" if sys.stderr is not None and sys.stderr.isatty() else ""
    with contextlib.suppress(OSError):
        os.write(2, f"{clear}{line}\n".encode())
    os._exit(status)


def _exit_handler(number: int, frame: FrameType | None) -> None:
    del frame
    exit_interrupted(*_EXITS[number])


def _forget() -> None:
    """Gives a forked process the default behaviour, since the pipe belongs to its parent."""
    global _listener
    _cleanups.clear()
    if _listener is None:
        return
    _listener = None
    with contextlib.suppress(ValueError):  # another thread than the main one has forked
        signal.set_wakeup_fd(-1)
        if signal.getsignal(signal.SIGINT) is _exit_handler:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if signal.getsignal(signal.SIGTERM) is _exit_handler:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
