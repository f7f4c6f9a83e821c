"""Trials of a sweep: runs with different values of the varied fields, `WORKDIR/trial_N`."""

import dataclasses
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mukoe.configuration.exclusive_workdir import exclusive_workdir
from mukoe.layouts.common.experiment import RunConfig, TrainingConfig
from mukoe.sweeps.child_run import ChildRun
from mukoe.sweeps.config import SweepConfig
from mukoe.sweeps.side_by_side import signal_text
from mukoe.sweeps.study import Study
from mukoe.sweeps.sweep_page import make_sweep_page
from mukoe.system import write_atomically
from mukoe.terminal.interruption import STATUS_INTERRUPTED, collected_signals
from mukoe.terminal.progress_line import ProgressLine, erase_line, process_line
from mukoe.terminal.progress_text import Progress

if TYPE_CHECKING:
    import optuna

STUDY_FILE = "study.db"
"""Study of a sweep, in its workdir."""

PAGE, BEST_CONFIG = "sweep.html", "best.py"
"""Results of a sweep, in its workdir."""


@dataclasses.dataclass
class Running:
    """Trial that trains, the number of its known evaluations, and whether it is ended early."""

    trial: "optuna.Trial"
    child: ChildRun
    num_evaluations: int = 0
    is_pruned: bool = False


class Sweep:
    """Trials of a study, and their results; a subclass trains them.

    study: study of the workdir.
    """

    def __init__(self, workdir: Path, sweep: SweepConfig, config: TrainingConfig):
        """Opens the study of the workdir.

        Args:
          workdir: existing directory of the sweep.
          sweep: settings of the sweep.
          config: configuration that the trials vary.
        """
        if Path(sweep.config).is_file():
            # Trials on a cluster and users of `best.py` have other working directories.
            sweep = dataclasses.replace(sweep, config=str(Path(sweep.config).resolve()))
        self._workdir, self._sweep, self._config = workdir, sweep, config
        first = {name: _value(config, name) for name in sweep.space}
        self.study = Study(workdir / STUDY_FILE, sweep, first)
        self._running: dict[str, Running] = {}

    def train(self, resume_command: str) -> int:
        """Trains until all trials have ended, writes the results, and returns the exit status.

        Args:
          resume_command: command that continues the sweep.
        """
        with (
            exclusive_workdir(self._workdir),
            collected_signals() as signals,
            process_line() as line,
        ):
            self._train_trials(signals, line)
        erase_line()
        self._write_results()
        return self._summarise(signals, resume_command)

    def _train_trials(self, signals: Sequence[int], line: ProgressLine) -> None:
        """Trains until all trials have ended.

        Unfinished trials come first. Those that signals stop stay unfinished in the study.

        Args:
          signals: numbers of the received signals, which end the sweep.
          line: progress line.
        """
        raise NotImplementedError

    def _add(self, trial: "optuna.Trial") -> Running:
        """Returns a trial that is about to train, with its child run."""
        child = ChildRun(f"trial {trial.number}", self._workdir / f"trial_{trial.number}")
        running = Running(trial, child)
        self._running[child.name] = running
        return running

    def _flags(self, running: Running) -> list[str]:
        """Returns the flags of a new trial."""
        overrides = self._sweep.overrides_of(self.study.values(running.trial))
        changes = [f"--config.{field}={value}" for field, value in overrides.items()]
        return [f"--config={self._sweep.config}", *changes]

    def _prunes(self, running: Running) -> bool:
        """Returns whether a trial should end early, given its new evaluations."""
        returns = [value for _, value in running.child.evaluations()]
        if running.is_pruned or len(returns) == running.num_evaluations:
            return False
        running.num_evaluations = len(returns)
        running.is_pruned = self.study.should_prune(running.trial, returns)
        return running.is_pruned

    def _show(self, line: ProgressLine) -> None:
        """Shows the number of trials and their steps."""
        done = self.study.num_started - len(self._running)
        # Ray Tune draws the values of a trial before there is room for it.
        training = sum(running.child.workdir.exists() for running in self._running.values())
        text = f"{done}/{self._sweep.num_trials} trials, {training} training"
        steps = sum(running.child.steps() for running in self._running.values())
        line.update(Progress(text, steps=steps, advances=True))

    def _record(self, running: Running) -> str:
        """Records the end of a trial and returns a line on it."""
        child, trial = running.child, running.trial
        if child.has_finished():
            value = objective([value for _, value in child.evaluations()], self._config.run)
            self.study.finish(trial, value)
            return f"{child.name} finished, objective {value:.4g}"
        if running.is_pruned:
            self.study.prune(trial)
            return f"{child.name} pruned after {child.steps():,} steps"
        self.study.fail(trial)
        return f"{child.name} failed: {child.error_line()}"

    def _write_results(self) -> None:
        page = make_sweep_page(self.study.trials(), self.study.importances(), self._sweep)
        write_atomically(self._workdir / PAGE, page)
        best = self.study.best()
        if best is not None:
            overrides = self._sweep.overrides_of(best.params)
            text = best_config(self._sweep.config, overrides, best.number, float(best.value or 0))
            write_atomically(self._workdir / BEST_CONFIG, text)

    def _summarise(self, signals: Sequence[int], resume_command: str) -> int:
        best = self.study.best()
        count = self.study.num_started - len(self._running)
        print(f"ended: {signal_text(signals)}{count} of {self._sweep.num_trials} trials")
        if best is not None:
            values = ", ".join(f"{name}={value}" for name, value in best.params.items())
            print(f"best:          trial {best.number}, objective {best.value:.4g}: {values}")
            print(f"train with it: --config={self._workdir / BEST_CONFIG}")
        if signals:
            print(f"resume with:   {resume_command}")
        print(f"page:          {self._workdir / PAGE}")
        if signal.SIGINT in signals:
            return STATUS_INTERRUPTED
        return 0 if best is not None or signals else 1


def objective(returns: Sequence[float], run: RunConfig) -> float:
    """Returns the mean evaluation return over the budget; see `SweepConfig`.

    Args:
      returns: mean returns of the evaluations, in order; not empty.
      run: settings of the run.
    """
    steps = run.max_actor_steps or 0
    count = max(len(returns), steps // run.evaluation_period if run.evaluation_period else 0)
    kept = [*returns, *[returns[-1]] * (count - len(returns))]
    return sum(kept) / len(kept)


def best_config(config: str, overrides: Mapping[str, str], trial: int, value: float) -> str:
    """Returns a config file with the settings of a trial."""
    lines = "".join(f"    {field!r}: {text!r},\n" for field, text in overrides.items())
    return (
        f'"""Settings of trial {trial} of a sweep, whose objective was {value:.4g}."""\n\n'
        "from mukoe.configuration import apply_overrides, load_config_file\n\n"
        f"CHANGES = {{\n{lines}}}\n\n\n"
        "def get_config():\n"
        f'    """Returns the configuration of {config} with the changes."""\n'
        f"    return apply_overrides(load_config_file({config!r}), CHANGES)\n"
    )


def _value(config: Any, name: str) -> Any:
    for part in name.split("."):
        config = getattr(config, part)
    return config
