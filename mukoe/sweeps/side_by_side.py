"""Child processes that train side by side, as many at a time as the machine has cores for."""

import signal
import time
from collections.abc import Callable, Mapping, Sequence

from mukoe.layouts.common.experiment import TrainingConfig
from mukoe.sweeps.child_run import ChildRun
from mukoe.system import has_accelerator, process_environment

STOP_SECONDS = 120.0
"""Seconds in which a stopped run writes its last checkpoint, before it is killed."""

POLL_SECONDS = 0.5


def runs_at_once(config: TrainingConfig, layout: str, cores: int) -> int:
    """Returns the number of runs that the machine trains at a time.

    A run of one process takes a core and a run on the devices of one machine a core per actor
    thread; a distributed program, and a run on an accelerator, are the only one.

    Args:
      config: configuration of the runs.
      layout: 'local', 'sebulba' or 'distributed'.
      cores: number of cores of this process.
    """
    if layout == "distributed" or has_accelerator():
        return 1
    return max(1, cores // cores_of_run(config, layout))


def cores_of_run(config: TrainingConfig, layout: str) -> int:
    """Returns the number of cores that a run of one process takes."""
    return config.sebulba.num_actor_threads if layout == "sebulba" else 1


def environment_of(cores: int, at_once: int) -> Mapping[str, str]:
    """Returns the environment variables of a run, whose thread pools share the cores."""
    return process_environment(threads=max(1, cores // at_once)) if at_once > 1 else {}


class SideBySide:
    """Processes of runs that train side by side."""

    def __init__(self, at_once: int):
        """Starts without runs; `at_once` is the largest number of processes."""
        self._at_once = at_once
        self.running: list[ChildRun] = []

    @property
    def has_room(self) -> bool:
        """True if another run may be started."""
        return len(self.running) < self._at_once

    def start(
        self, run: ChildRun, flags: Sequence[str], environment: Mapping[str, str]
    ) -> ChildRun:
        """Starts a run and returns it."""
        run.start(flags, environment)
        self.running.append(run)
        return run

    def take_ended(self) -> list[tuple[ChildRun, int]]:
        """Returns the runs that have ended since the last call, with their exit statuses."""
        ended = [(run, status) for run in self.running if (status := run.poll()) is not None]
        self.running = [run for run in self.running if all(run is not other for other, _ in ended)]
        return ended

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """Stops all runs, each with a last checkpoint; kills those that take too long.

        Args:
          seconds: time after which they are killed.
        """
        for run in self.running:
            run.stop()
        end = time.monotonic() + seconds
        while any(run.poll() is None for run in self.running) and time.monotonic() < end:
            time.sleep(POLL_SECONDS / 5)
        self.kill()

    def kill(self) -> None:
        """Kills the processes of all runs."""
        for run in self.running:
            run.kill()


def wait_until(condition: Callable[[], object], seconds: float) -> None:
    """Waits for a condition for at most so many seconds."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(POLL_SECONDS / 5)


def signal_text(signals: Sequence[int]) -> str:
    """Returns the start of the line on the end of a command that signals have stopped."""
    return "Ctrl-C, " if signal.SIGINT in signals else "SIGTERM, " if signals else ""
