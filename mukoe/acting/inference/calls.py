"""Calls of servers in the background, with or without a transport."""

import time
from collections.abc import Callable
from concurrent import futures
from typing import Any, TypeVar

from mukoe.errors import UserError

SLICE_SECONDS = 0.2

NO_SESSION = "has no session on this server"

T = TypeVar("T")


def start_call(server: Any, method: str, *arguments: Any) -> "futures.Future[Any]":
    """Calls a method in the background; never raises."""
    if hasattr(server, "futures"):  # a courier client
        return getattr(server.futures, method)(*arguments)
    future: futures.Future[Any] = futures.Future()
    try:
        if method == "act":
            return server.submit(*arguments)
        future.set_result(getattr(server, method)(*arguments))
    except Exception as error:  # raised by `result`, as with a courier client
        future.set_exception(error)
    return future


def result_of(future: "futures.Future[T]", seconds: float, should_stop: Callable[[], bool]) -> T:
    """Waits for the result of a call.

    Args:
      future: result of `start_call`.
      seconds: longest wait.
      should_stop: predicate that ends the wait.

    Raises:
      TimeoutError: there is no result in time, or the program stops.
    """
    end = time.monotonic() + seconds
    while True:
        done, _ = futures.wait([future], min(SLICE_SECONDS, seconds))
        if done:
            return future.result()
        if should_stop() or time.monotonic() > end:
            future.cancel()
            reason = "the program stops" if should_stop() else f"after {seconds:g} s"
            raise TimeoutError(f"no answer from an inference server: {reason}")


def pause(should_stop: Callable[[], bool]) -> None:
    """Waits before the next try.

    Args:
      should_stop: predicate that ends the tries.

    Raises:
      TimeoutError: the program stops.
    """
    if should_stop():
        raise TimeoutError("no answer from an inference server: the program stops")
    time.sleep(SLICE_SECONDS)


def raise_if_refused(error: Exception) -> None:
    """Raises a UserError of the server, which any other server would raise too.

    Courier transmits only the text of an error.
    """
    if NO_SESSION in str(error):
        return
    line = last_line(error)
    if isinstance(error, UserError) or line.startswith("mukoe.errors.UserError: "):
        raise UserError(line.removeprefix("mukoe.errors.UserError: ")) from error


def last_line(error: Exception) -> str:
    """Returns the last line of an error's text, or its type."""
    return (str(error).strip() or type(error).__name__).splitlines()[-1]
