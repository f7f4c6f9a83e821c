"""Remote calls that are retried while the peer is unavailable."""

import threading
from collections.abc import Callable

from mukoe.acting.variables import VariableClient
from mukoe.layouts.distributed.nodes.runtime import Runtime

_RETRY_SECONDS = 0.5


def call_until_available(
    call: Callable[[], object], runtime: Runtime, stop: threading.Event
) -> bool:
    """Retries a call until the peer is available; returns False if the program stops first.

    Raises:
      Exception: an error of the call that does not mean an unavailable peer.
    """
    while not stop.is_set():
        try:
            call()
            return True
        except Exception as error:  # the transport decides which errors may be retried
            if not runtime.is_unavailable(error):
                raise
            stop.wait(_RETRY_SECONDS)
    return False


def fetch_parameters(variables: VariableClient, runtime: Runtime, stop: threading.Event) -> bool:
    """Fetches the newest parameters, as `call_until_available`."""
    return call_until_available(lambda: variables.update(wait=True), runtime, stop)
