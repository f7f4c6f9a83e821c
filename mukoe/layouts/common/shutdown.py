"""How a run of one process ends, and when something in its course is due."""

import contextlib
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mukoe.layouts.common.reporting import what_next

STATUS_INTERRUPTED = 130


@contextlib.contextmanager
def collected_signals() -> Iterator[list[int]]:
    """Collects SIGINT and SIGTERM; after the first, Ctrl-C interrupts at once."""
    received: list[int] = []

    def receive(number: int, frame: Any) -> None:
        del frame
        received.append(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    old = {number: signal.signal(number, receive) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def tell_end(time_line: str | None, workdir: Path, signals: Sequence[int]) -> int:
    """Says where the time went and what can be done next; returns the exit status."""
    if time_line:
        print(time_line)
    print(what_next(workdir))
    return STATUS_INTERRUPTED if signal.SIGINT in signals else 0


def passed(period: int, count: int, added: int) -> bool:
    """Whether a multiple of `period` was reached by what was `added` last; 0 is never."""
    return period > 0 and count // period > (count - added) // period
