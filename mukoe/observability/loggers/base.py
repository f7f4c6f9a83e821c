"""Interface of loggers, and the parts that their implementations share."""

import logging
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

_LOGGER = logging.getLogger(__name__)


class Logger(Protocol):
    """Destination of entries, which are mappings of names to scalars.

    An implementation must not raise `OSError`: a full disk must not end a run. `WriteGuard`
    turns such errors into one warning.
    """

    def write(self, data: Mapping[str, Any]) -> None:
        """Writes one entry."""

    def close(self) -> None:
        """Writes pending entries and releases the files."""


def to_scalar(value: Any) -> Any:
    """Returns a Python scalar for a number or an array of one element; others unchanged.

    Raises:
      TypeError: the array has several elements.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    array = np.asarray(value)
    if array.size != 1:
        raise TypeError(f"a logger takes scalars, got an array of shape {array.shape}")
    return float(array) if array.dtype.kind not in "iubU" else array.item()


class WriteGuard:
    """Catches `OSError` of writes: the first one is logged as a warning, the run continues."""

    def __init__(self, name: str):
        """Makes a guard.

        Args:
          name: file or directory of the logger, for the warning.
        """
        self._name = name
        self._warned = False

    def run(self, write: Callable[[], None]) -> bool:
        """Calls `write` and returns whether it succeeded."""
        try:
            write()
        except OSError as error:
            if not self._warned:
                self._warned = True
                _LOGGER.warning(f"cannot write {self._name}: {error}; the run continues without it")
            return False
        return True
