"""Trials of a sweep that train side by side on this machine."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from mukoe.layouts.common.experiment import TrainingConfig
from mukoe.sweeps.config import SweepConfig
from mukoe.sweeps.side_by_side import POLL_SECONDS, SideBySide, wait_until
from mukoe.sweeps.sweep_runs import Running, Sweep
from mukoe.terminal.interruption import cleanup_at_exit
from mukoe.terminal.progress_line import ProgressLine


class LocalSweep(Sweep):
    """Trials as child processes."""

    def __init__(
        self,
        workdir: Path,
        sweep: SweepConfig,
        config: TrainingConfig,
        at_once: int,
        environment: Mapping[str, str],
    ):
        """Opens the study of the workdir.

        Args:
          workdir: existing directory of the sweep.
          sweep: settings of the sweep.
          config: configuration that the trials vary.
          at_once: number of trials that train at a time.
          environment: environment variables of the trials that the user has not set.
        """
        super().__init__(workdir, sweep, config)
        self._environment = environment
        self._group = SideBySide(at_once)

    def _train_trials(self, signals: Sequence[int], line: ProgressLine) -> None:
        with cleanup_at_exit(self._group.kill):
            for trial in self.study.unfinished():
                self._start(self._add(trial))
            while not signals and self._start_next():
                self._step(line)
                wait_until(lambda: signals, POLL_SECONDS)
            if signals:
                self._group.stop()

    def _start_next(self) -> bool:
        """Starts trials while there is room; returns False once all have ended."""
        while self._group.has_room and self.study.num_started < self._sweep.num_trials:
            self._start(self._add(self.study.ask()))
        return bool(self._running)

    def _start(self, running: Running) -> None:
        # Draws the values of the trial in any case.
        flags = self._flags(running)
        child = running.child
        self._group.start(child, ["--resume"] if child.exists else flags, self._environment)

    def _step(self, line: ProgressLine) -> None:
        """Prunes trials, and records those that have ended."""
        for running in self._running.values():
            if self._prunes(running):
                running.child.stop()
        for child, _ in self._group.take_ended():
            line.message(self._record(self._running.pop(child.name)))
        self._show(line)
