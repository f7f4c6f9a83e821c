"""Time budget of an X-ray."""

import time


class Budget:
    """Budget in seconds, of which each measurement has a share from its own start on."""

    def __init__(self, seconds: float):
        """Starts with the whole budget."""
        self._seconds = seconds
        self.start(1.0)

    def start(self, share: float) -> None:
        """Starts a measurement with a share of the budget."""
        self._end = time.monotonic() + share * self._seconds

    def spent(self) -> bool:
        """Returns whether the share of the current measurement is spent."""
        return time.monotonic() > self._end
