"""Calls that are repeated until they are done or the program stops."""

import time
from collections.abc import Callable
from concurrent import futures
from typing import TypeVar

from mukoe.errors import UserError

T = TypeVar("T")

_POLL_SECONDS = 0.2
# Pause between calls to a server that is unavailable, and longest time of that.
RETRY_SECONDS = 0.5
GIVE_UP_SECONDS = 600.0


def result_unless_stopped(future: "futures.Future[T]", should_stop: Callable[[], bool]) -> T | None:
    """Waits for a result; returns None if the program stops first."""
    while not futures.wait([future], _POLL_SECONDS).done:
        if should_stop():
            return None
    return future.result()


def retried(call: Callable[[], "futures.Future[T]"], should_stop: Callable[[], bool]) -> T | None:
    """Repeats a call while the server is unavailable; returns None if the program stops first.

    Raises:
      UserError: the server refuses the call.
      Exception: the server has been unavailable for ten minutes.
    """
    give_up_at = time.monotonic() + GIVE_UP_SECONDS
    while not should_stop():
        try:
            return result_unless_stopped(call(), should_stop)
        except UserError:
            raise
        except Exception:  # the transport's errors have no common class
            if time.monotonic() > give_up_at:
                raise
            time.sleep(RETRY_SECONDS)
    return None


def call_until_done(
    call: Callable[[], "futures.Future[bool | None]"], should_stop: Callable[[], bool]
) -> None:
    """Repeats a call until it returns True, or the program stops; raises as `retried`."""
    while not should_stop():
        if retried(call, should_stop):
            return
