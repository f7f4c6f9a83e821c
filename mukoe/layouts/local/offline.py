"""A run on stored data: the learner and the evaluator of a run, without an actor.

Schrittwieser et al. 2021 (MuZero Unplugged, arXiv:2104.06294). The same seed and the same data give
the same run, bit for bit. Periods and the length of the run count learner steps.
"""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from mukoe.acting.variables import DeviceVariableSource, VariableClient
from mukoe.agents.extensions import reanalyse_mode, rollout_of
from mukoe.errors import UserError
from mukoe.layouts.common.cadence import period_reached
from mukoe.layouts.common.checkpointing import RunCheckpointer
from mukoe.layouts.common.counting import Counter
from mukoe.layouts.common.evaluator import Evaluator
from mukoe.layouts.common.experiment import ExperimentConfig, RunConfig, check_experiment
from mukoe.layouts.common.learning_parts import make_learning_parts, make_run_checkpointer
from mukoe.layouts.common.offline_data import (
    OfflineData,
    check_data,
    learned_statistics,
    make_offline_replay,
)
from mukoe.layouts.common.reanalysis import ReplayReanalyser, check_reanalysis_in_process
from mukoe.layouts.common.reporting import EVALUATING, time_line
from mukoe.layouts.common.required_memory import RequiredMemory
from mukoe.layouts.common.resume_limits import ResumeLimits
from mukoe.layouts.common.run_state import NamedArrays, pack, unpack
from mukoe.layouts.common.seeds import SeededPart, random_seed
from mukoe.layouts.common.shutdown import learner_limit_reached
from mukoe.layouts.local.main_loop import run_to_end
from mukoe.learning.learner import Learner
from mukoe.observability.clipped_targets import ClippedTargets
from mukoe.observability.loggers.base import Logger
from mukoe.observability.loggers.factory import make_logger
from mukoe.terminal.progress_text import LEARNING, Progress
from mukoe.types import EnvironmentSpec

_CLOSE_SECONDS = 60.0


def check_offline(experiment: ExperimentConfig) -> EnvironmentSpec:
    """Checks an experiment without actors, and returns the spec of one environment.

    Raises:
      UserError: the run has no length in learner steps, the agent learns from rollouts or does not
        fit the environment, or it needs more memory than there is.
    """
    if rollout_of(experiment.builder):
        raise UserError("--offline needs an agent with replay: this one learns from rollouts")
    if experiment.run.max_learner_steps is None:
        raise UserError(
            "the length of a run with --offline is in learner steps: set "
            "--config.run.max_learner_steps, for example to 100000"
        )
    if experiment.builder.replay.demonstrated_items:
        raise UserError(
            "agent.replay.demonstration_fraction is for a run with actors: with --offline, set it "
            "to 0"
        )
    check_reanalysis_in_process(experiment)
    spec = check_experiment(experiment)
    memory = RequiredMemory(experiment, spec)
    memory.check_parameters()
    memory.check_evaluation()
    memory.check_batches(num_envs=1)
    return spec


def train_offline(
    experiment: ExperimentConfig,
    environment_spec: EnvironmentSpec,
    data: OfflineData,
    workdir: Path,
    resume: bool = False,
) -> int:
    """Learns from the data to the limit of learner steps or the target return.

    Args:
      experiment: agent, environment and settings.
      environment_spec: spec of one environment, from `check_offline`.
      data: episodes to learn from, checked by `check_data`.
      workdir: existing directory of the run.
      resume: True to continue from the newest checkpoint, if there is one; bit for bit if it
        has the run state.

    Returns:
      Exit status, see `run_to_end`.
    """
    make = functools.partial(make_offline_run, experiment, environment_spec, data, workdir, resume)
    return run_to_end(make, _expectation(experiment.run, data, workdir), experiment.run, workdir)


def check_offline_data(
    data: OfflineData, experiment: ExperimentConfig, environment_spec: EnvironmentSpec
) -> None:
    """Checks that the agent of an experiment can learn from the data; see `check_data`."""
    builder = experiment.builder
    policy = builder.make_policy(builder.make_networks(environment_spec), environment_spec)
    check_data(data, experiment, environment_spec, policy)


def make_offline_run(
    experiment: ExperimentConfig,
    environment_spec: EnvironmentSpec,
    data: OfflineData,
    workdir: Path,
    resume: bool = False,
    should_stop: Callable[[], bool] = lambda: False,
) -> "OfflineRun":
    """Builds the parts of a run, and restores them from the newest checkpoint.

    Args:
      experiment: agent, environment and settings.
      environment_spec: spec of one environment.
      data: episodes to learn from.
      workdir: existing directory of the run.
      resume: True to continue from the newest checkpoint, if there is one.
      should_stop: called before every step of an evaluation; True interrupts it.

    Raises:
      InterruptedResumeError: the environments of the evaluator were not restored in time.
    """
    settings = experiment.run
    learning = make_learning_parts(
        experiment,
        environment_spec,
        workdir,
        resume,
        1,
        make_filled_replay=lambda policy: make_offline_replay(
            experiment, environment_spec, policy, data
        ),
    )
    restored = learning.restored
    evaluator = Evaluator(
        experiment,
        environment_spec,
        VariableClient(DeviceVariableSource(learning.learner, jax.local_devices()[0])),
        random_seed(settings, {}, SeededPart.EVALUATOR),
        workdir,
        learning.checkpointer,
        learning.counter,
        settings.exact_resume_steps,
        blocks_run=True,
        steps_key="learner_steps",
    )
    evaluator.restore(
        unpack(restored.state, "evaluator"), ResumeLimits(settings.resume_seconds, should_stop)
    )
    statistics = data.missing_statistics(learning.policy.extras_spec)
    missing = learned_statistics(statistics, experiment.builder)
    is_searched = reanalyse_mode(experiment.builder) != "replay" or not missing
    run = OfflineRun(
        experiment=experiment,
        counter=learning.counter,
        learner=learning.learner,
        reanalyser=learning.reanalyser,
        evaluator=evaluator,
        logger=make_logger(workdir, "learner", "learner_steps", loggers=settings.loggers),
        num_rows=data.num_rows,
        num_steps=data.num_rows - len(data.episodes),
        is_searched=is_searched or bool(unpack(restored.state, "offline").get("is_searched")),
        should_stop=should_stop,
    )
    run.checkpoints = make_run_checkpointer(experiment, learning, 1, {}, run.state)
    return run


@dataclasses.dataclass
class OfflineRun:
    """Parts of a run on stored data, which advances one update at a time.

    experiment: agent, environment and settings.
    counter: counts and newest reports.
    learner: learner.
    reanalyser: reanalyser of the replay, which rewrites rows after each update; None for none.
    evaluator: evaluator of the newest parameters.
    logger: log of the learner.
    num_rows: number of rows in replay.
    num_steps: number of steps in replay, which are rows with an action.
    is_searched: False until rows without search statistics have been searched once, before the
      first update.
    should_stop: called before every step of an evaluation; True interrupts it.
    checkpoints: writer of the checkpoints that are due.
    metrics: metrics of the last update, possibly still on the device.
    reached_target: True once an evaluation has reached the target return.
    """

    experiment: ExperimentConfig
    counter: Counter
    learner: Learner
    reanalyser: ReplayReanalyser | None
    evaluator: Evaluator
    logger: Logger
    num_rows: int
    num_steps: int
    is_searched: bool
    should_stop: Callable[[], bool]
    checkpoints: RunCheckpointer = dataclasses.field(init=False)
    metrics: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    clipped_targets: ClippedTargets = dataclasses.field(default_factory=ClippedTargets)
    reached_target: bool = False

    @property
    def ended(self) -> bool:
        """True once the limit of learner steps or the target return is reached."""
        counts = self.counter.get_counts()
        return self.reached_target or learner_limit_reached(self.experiment.run, counts)

    def step(self) -> None:
        """Makes an update, or a step of the search of rows without search statistics before it.

        Writes logs, evaluates and saves where the step completes their period.
        """
        if self.evaluator.is_interrupted:
            self._evaluate()
            return
        if not self.is_searched:
            assert self.reanalyser is not None
            self.reanalyser.step()
            self.is_searched = self.reanalyser.has_finished_pass
            return
        metrics = self.learner.step()
        if self.reanalyser is not None:
            metrics = {**metrics, **self.reanalyser.step()}
        settings, steps = self.experiment.run, self.counter.get_counts()["learner_steps"]
        if searches := metrics.get("reanalysed_states"):
            # The rows are sampled as often as the run is long.
            metrics = {**metrics, "reanalysed_per_step": steps * searches / self.num_steps}
        self.metrics = metrics
        if period_reached(settings.log_period, steps, 1):
            self.write_logs()
        if period_reached(settings.evaluation_period, steps, 1):
            self._evaluate()
        self.checkpoints.save_if_due(steps, 1)

    def _evaluate(self) -> None:
        counts = self.counter.get_counts()
        self.reached_target = self.evaluator.evaluate(counts, self.should_stop)

    def write_logs(self) -> None:
        """Writes the metrics of the last update."""
        columns = self.learner.time_columns()
        self.logger.write({**self.counter.get_counts(), **self.metrics, **columns})
        self.counter.report(loss=float(self.metrics["loss"]))
        self.clipped_targets.check(self.metrics)

    def state(self) -> NamedArrays:
        """Returns the arrays of the run state beside those of the learning parts."""
        searched = {"is_searched": np.array(self.is_searched)}
        return pack(evaluator=self.evaluator.state(), offline=searched)

    def close(self) -> None:
        """Saves, and closes all files and environments."""
        self.counter.report(stage=("saving", None, None))
        self.checkpoints.save()
        if self.ended and self.metrics:
            self.write_logs()
        self.checkpoints.close(_CLOSE_SECONDS)
        self.release()
        self.counter.report(stage=("ended", None, None))

    def release(self) -> None:
        """Closes the log and the environments, without saving."""
        with contextlib.closing(self.logger):
            self.evaluator.close()

    def progress(self) -> Progress:
        """Returns the content of the progress line."""
        counts, reports = self.counter.snapshot()
        steps, total = counts.get("learner_steps", 0), self.experiment.run.max_learner_steps
        stage = reports.get("stage")
        if stage is None and reports.get("evaluation"):
            stage = (EVALUATING, *reports["evaluation"])
        if stage is None and not self.is_searched and self.reanalyser is not None:
            stage = ("searching rows", self.reanalyser.rewritten, self.num_rows)
        if stage is None and not self.metrics:
            stage = ("compiling the update", None, None)
        phase, done, limit = stage or (LEARNING, None, None)
        return Progress(
            phase=phase,
            phase_done=done,
            phase_total=limit,
            steps=steps,
            max_steps=total,
            best_return=reports.get("best_return"),
            loss=reports.get("loss"),
            advances=phase in (LEARNING, EVALUATING),
        )

    def time_line(self) -> str | None:
        """Returns the line of the shares of time."""
        return time_line([], self.learner.time_shares())


def _expectation(run: RunConfig, data: OfflineData, workdir: Path) -> str:
    """Returns a line about the data and the periods of a run, for its start."""
    evaluates = ", no evaluation"
    if run.evaluation_period:
        evaluates = f", {run.evaluation_episodes} evaluation episodes every"
        evaluates += f" {run.evaluation_period:,} learner steps"
    return (
        f"{run.max_learner_steps:,} learner steps in {workdir}, on {data.summary}{evaluates}, a "
        f"checkpoint every {run.checkpoint_seconds:g} s; Ctrl-C saves and ends"
    )
