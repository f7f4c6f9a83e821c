"""Trials of a sweep on a Ray cluster: Ray Tune schedules the Optuna study."""

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

# Tune reads them when it is imported or runs. Results are those of the study, and signals are
# collected by the sweep.
os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"
os.environ["RAY_CHDIR_TO_TRIAL_DIR"] = "0"
os.environ["RAY_AIR_NEW_OUTPUT"] = "0"

from ray import tune  # noqa: E402
from ray.tune.schedulers import FIFOScheduler, TrialScheduler  # noqa: E402
from ray.tune.search import Searcher  # noqa: E402
from ray.tune.stopper import Stopper  # noqa: E402

from mukoe.errors import UserError  # noqa: E402
from mukoe.layouts.common.experiment import TrainingConfig  # noqa: E402
from mukoe.layouts.distributed.ray.cluster import (  # noqa: E402
    GroupResources,
    describe_amounts,
    machines_for,
)
from mukoe.sweeps.child_run import ChildRun  # noqa: E402
from mukoe.sweeps.config import SweepConfig  # noqa: E402
from mukoe.sweeps.side_by_side import SideBySide, cores_of_run, wait_until  # noqa: E402
from mukoe.sweeps.sweep_runs import Sweep  # noqa: E402
from mukoe.system import process_environment  # noqa: E402
from mukoe.terminal.progress_line import ProgressLine  # noqa: E402

# Folder of the workdir with Tune's own state, which no command reads.
_TUNE_FOLDER = "ray_tune"
# Restarts of a trial whose machine or Ray worker dies; it resumes from its checkpoint.
_MAX_RESTARTS = 3
_REPORT_SECONDS = 1.0


class RaySweep(Sweep):
    """Trials as processes on the machines of a Ray cluster."""

    def __init__(
        self,
        workdir: Path,
        sweep: SweepConfig,
        config: TrainingConfig,
        resources: GroupResources,
        at_once: int | None,
    ):
        """Opens the study of the workdir; the process must be connected to a cluster.

        Args:
          workdir: existing directory of the sweep, in a folder shared by all machines.
          sweep: settings of the sweep.
          config: configuration that the trials vary.
          resources: resources that each trial reserves.
          at_once: number of trials that train at a time; None for as many as the cluster holds.
        """
        super().__init__(workdir, sweep, config)
        self._resources = resources
        self._at_once = at_once
        self._names: dict[str, str] = {}

    def _train_trials(self, signals: Sequence[int], line: ProgressLine) -> None:
        unfinished = self.study.unfinished()
        remaining = max(self._sweep.num_trials - self.study.num_started, 0)
        if not unfinished and not remaining:
            return

        def suggest(trial_id: str) -> dict[str, Any]:
            running = self._add(unfinished.pop(0) if unfinished else self.study.ask())
            name = self._names[trial_id] = running.child.name
            return {
                "name": name,
                "workdir": str(running.child.workdir),
                "flags": self._flags(running),
                "threads": max(1, int(self._resources.cpus)),
                "cpu_only": not self._resources.has_accelerator,
            }

        def complete(trial_id: str) -> None:
            running = self._running[self._names[trial_id]]
            if not signals or running.is_pruned or running.child.has_finished():
                line.message(self._record(self._running.pop(running.child.name)))

        def should_stop() -> bool:
            self._show(line)
            return bool(signals)

        # The sweep reports failed trials.
        logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
        tune.Tuner(
            tune.with_resources(_Trial, self._resources.amounts),
            tune_config=tune.TuneConfig(
                search_alg=_StudySearcher(suggest, complete),
                scheduler=_StudyPruner(lambda i: self._prunes(self._running[self._names[i]])),
                num_samples=len(unfinished) + remaining,
                max_concurrent_trials=self._at_once,
            ),
            run_config=tune.RunConfig(
                name=_TUNE_FOLDER,
                storage_path=str(self._workdir),
                stop=_SweepStopper(should_stop),
                failure_config=tune.FailureConfig(max_failures=_MAX_RESTARTS),
                # A trial writes its own checkpoints.
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                verbose=0,
            ),
        ).fit()


def resources_of_trial(
    config: TrainingConfig, layout: str, machines: Sequence[Mapping[str, Any]]
) -> GroupResources:
    """Returns the resources of a trial: its cores, and a GPU where the cluster has any.

    Args:
      config: configuration of the trials.
      layout: 'local' or 'sebulba'.
      machines: machines of the cluster, as Ray describes them.

    Raises:
      UserError: no machine has them.
    """
    has_gpu = any(machine["Resources"].get("GPU", 0) >= 1 for machine in machines)
    resources = GroupResources(cpus=cores_of_run(config, layout), gpus=int(has_gpu))
    offered = {machine["NodeID"]: machine["Resources"] for machine in machines}
    if not machines_for(resources.amounts, offered):
        raise UserError(
            f"no machine of the Ray cluster has {describe_amounts(resources.amounts)}, which a "
            "trial requires"
        )
    return resources


class _OfThisProcess:
    """Object that Tune copies and stores with its own state, which is never restored."""

    def __deepcopy__(self, memo: Any) -> "_OfThisProcess":
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {}


class _StudySearcher(_OfThisProcess, Searcher):
    """Source of the trials, which asks the study."""

    def __init__(self, suggest: Callable[[str], dict[str, Any]], complete: Callable[[str], None]):
        super().__init__()
        self._suggest, self._complete = suggest, complete

    def set_search_properties(self, *unused: Any, **also_unused: Any) -> bool:
        """Accepts that the space is that of the study."""
        return True

    def suggest(self, trial_id: str) -> dict[str, Any]:
        """Returns the settings of a new trial."""
        return self._suggest(trial_id)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Records the end of a trial."""
        self._complete(trial_id)

    def save(self, checkpoint_path: str) -> None:
        """Saves nothing: the study is in the workdir."""

    def restore(self, checkpoint_path: str) -> None:
        """Restores nothing; see `save`."""


class _StudyPruner(_OfThisProcess, FIFOScheduler):
    """Scheduler that ends the trials that the study prunes."""

    def __init__(self, prunes: Callable[[str], bool]):
        super().__init__()
        self._prunes = prunes

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Returns whether a trial ends or continues."""
        return TrialScheduler.STOP if self._prunes(trial.trial_id) else TrialScheduler.CONTINUE


class _SweepStopper(_OfThisProcess, Stopper):
    """End of all trials at a signal."""

    def __init__(self, should_stop: Callable[[], bool]):
        self._should_stop = should_stop

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Returns False: the run ends its trial by itself."""
        return False

    def stop_all(self) -> bool:
        """Returns True once the sweep has to end."""
        return self._should_stop()


class _Trial(tune.Trainable):
    """Ray actor that runs the process of a trial, which dies with it."""

    def setup(self, config: dict[str, Any]) -> None:
        """Starts the process, or resumes its run."""
        self._run = ChildRun(config["name"], Path(config["workdir"]))
        self._group = SideBySide(1)
        flags = ["--resume"] if self._run.exists else config["flags"]
        environment = process_environment(config["threads"], config["cpu_only"])
        self._group.start(self._run, flags, environment)

    def step(self) -> dict[str, Any]:
        """Returns whether the process has ended; its results are files of the workdir."""
        wait_until(lambda: self._run.poll() is not None, _REPORT_SECONDS)
        return {"done": self._run.poll() is not None}

    def cleanup(self) -> None:
        """Stops the process after a last checkpoint."""
        self._group.stop()
