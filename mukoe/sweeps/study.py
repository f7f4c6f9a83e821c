"""The Optuna study of a sweep: trials, their values and their results, in WORKDIR/study.db."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna

from mukoe.sweeps.config import Choice, Domain, Integer, SweepConfig

_NAME = "sweep"
_FEWEST_FOR_IMPORTANCES = 4


class Study:
    """Study in a file, which a later process continues.

    Only one process opens it at a time.
    """

    def __init__(self, path: Path, sweep: SweepConfig, first: Mapping[str, Any]):
        """Opens the study, or makes it.

        Args:
          path: SQLite file.
          sweep: settings of the sweep.
          first: values of the first trial, by field; others than those of the space are ignored.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._space = sweep.space
        self._study = optuna.create_study(
            storage=f"sqlite:///{path}",
            study_name=_NAME,
            direction="maximize",
            pruner=_make_pruner(sweep),
            load_if_exists=True,
        )
        # The seed alone would draw the first trials again in a resumed sweep.
        seed = (sweep.seed + self.num_started) % 2**32
        self._study.sampler = _make_sampler(sweep.sampler, seed)
        if not self._study.trials and all(_is_in(sweep.space[name], first[name]) for name in first):
            self._study.enqueue_trial(dict(first))

    def unfinished(self) -> list[optuna.Trial]:
        """Returns the trials that an earlier process has started and not finished."""
        trials = self._study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.RUNNING])
        return [optuna.Trial(self._study, trial._trial_id) for trial in trials]

    @property
    def num_started(self) -> int:
        """Number of trials that have been started."""
        waiting = optuna.trial.TrialState.WAITING
        return sum(trial.state != waiting for trial in self._study.get_trials(deepcopy=False))

    def ask(self) -> optuna.Trial:
        """Starts a trial."""
        return self._study.ask()

    def values(self, trial: optuna.Trial) -> dict[str, Any]:
        """Returns the values of a trial, by field."""
        return {name: _suggest(trial, name, domain) for name, domain in self._space.items()}

    def should_prune(self, trial: optuna.Trial, returns: Sequence[float]) -> bool:
        """Returns whether a trial should end, given the evaluation returns so far."""
        known = self._study.get_trials(deepcopy=False)[trial.number].intermediate_values
        for index, value in enumerate(returns):
            if index not in known:
                trial.report(value, index)
        return bool(returns) and trial.should_prune()

    def finish(self, trial: optuna.Trial, objective: float) -> None:
        """Records the objective of a trial."""
        self._study.tell(trial, objective)

    def prune(self, trial: optuna.Trial) -> None:
        """Records that a trial was ended early."""
        self._study.tell(trial, state=optuna.trial.TrialState.PRUNED)

    def fail(self, trial: optuna.Trial) -> None:
        """Records that a trial failed."""
        self._study.tell(trial, state=optuna.trial.TrialState.FAIL)

    def trials(self) -> list[optuna.trial.FrozenTrial]:
        """Returns all trials that have been started, in order."""
        waiting = optuna.trial.TrialState.WAITING
        return [trial for trial in self._study.trials if trial.state != waiting]

    def best(self) -> optuna.trial.FrozenTrial | None:
        """Returns the finished trial of the highest objective; None without one."""
        return max(self._complete(), key=lambda trial: float(trial.value or 0.0), default=None)

    def importances(self) -> dict[str, float]:
        """Returns the share of each field in the variation of the objective.

        They are those of PED-ANOVA (Watanabe et al. 2023, arXiv:2304.10255); empty if there are too
        few finished trials.
        """
        complete = self._complete()
        objectives = {trial.value for trial in complete}
        if len(complete) < _FEWEST_FOR_IMPORTANCES or len(objectives) < 2:
            return {}
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        return dict(optuna.importance.get_param_importances(self._study, evaluator=evaluator))

    def _complete(self) -> list[optuna.trial.FrozenTrial]:
        states = [optuna.trial.TrialState.COMPLETE]
        return self._study.get_trials(deepcopy=False, states=states)


def _make_sampler(name: str, seed: int) -> optuna.samplers.BaseSampler:
    if name == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    if name == "gp":
        return optuna.samplers.GPSampler(seed=seed)
    # Trials that run side by side are not drawn close to each other.
    return optuna.samplers.TPESampler(seed=seed, constant_liar=True)


def _make_pruner(sweep: SweepConfig) -> optuna.pruners.BasePruner:
    if sweep.pruner == "none":
        return optuna.pruners.NopPruner()
    return optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=1)


def _suggest(trial: optuna.Trial, name: str, domain: Domain) -> Any:
    if isinstance(domain, Choice):
        return trial.suggest_categorical(name, domain.values)
    if isinstance(domain, Integer):
        return trial.suggest_int(name, domain.low, domain.high, log=domain.log)
    return trial.suggest_float(name, domain.low, domain.high, log=domain.log)


def _is_in(domain: Domain, value: Any) -> bool:
    if isinstance(domain, Choice):
        return value in domain.values
    return isinstance(value, int | float) and domain.low <= value <= domain.high
