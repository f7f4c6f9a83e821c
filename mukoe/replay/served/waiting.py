"""Calls that are repeated until they are done or the program stops."""

import time
from collections.abc import Callable
from concurrent import futures
from typing import TypeVar

from mukoe.errors import UserError

T = TypeVar("T")

_POLL_SECONDS = 0.2
_RETRY_SECONDS = 0.5
_GIVE_UP_SECONDS = 600.0


def result_unless_stopped(future: "futures.Future[T]", should_stop: Callable[[], bool]) -> T | None:
    """Waits for a result; returns None if the program stops first."""
    while not futures.wait([future], _POLL_SECONDS).done:
        if should_stop():
            return None
    return future.result()


def call_until_done(
    call: Callable[[], "futures.Future[bool | None]"], should_stop: Callable[[], bool]
) -> None:
    """Repeats a call until it returns True, or the program stops.

    Raises:
      UserError: the server refuses the call.
      Exception: the server has been unavailable for ten minutes.
    """
    give_up_at = time.monotonic() + _GIVE_UP_SECONDS
    while not should_stop():
        try:
            if result_unless_stopped(call(), should_stop):
                return
            give_up_at = time.monotonic() + _GIVE_UP_SECONDS
        except UserError:
            raise
        except Exception:  # the transport's errors have no common class
            if time.monotonic() > give_up_at:
                raise
            time.sleep(_RETRY_SECONDS)
