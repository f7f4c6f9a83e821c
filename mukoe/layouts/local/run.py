"""A run of one process and one thread: actor and learner alternate.

There are no servers, and nothing depends on the speed of the machine: the same seed gives the
same run, bit for bit.
"""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax

from mukoe.acting.variables import DeviceVariableSource, VariableClient
from mukoe.layouts.common.actor_log import make_network_timer
from mukoe.layouts.common.cadence import period_reached
from mukoe.layouts.common.checkpointing import RunCheckpointer
from mukoe.layouts.common.counting import Counter
from mukoe.layouts.common.demonstrations import Demonstrations
from mukoe.layouts.common.evaluator import Evaluator
from mukoe.layouts.common.experiment import ExperimentConfig
from mukoe.layouts.common.learning_parts import make_learning_parts, make_run_checkpointer
from mukoe.layouts.common.offline_data import OfflineData
from mukoe.layouts.common.reanalysis import ReplayReanalyser
from mukoe.layouts.common.reporting import expectation, make_progress, time_line
from mukoe.layouts.common.resume_limits import ResumeLimits
from mukoe.layouts.common.run_logger import RunLogger
from mukoe.layouts.common.run_state import NamedArrays, pack, unpack
from mukoe.layouts.common.seeds import SeededPart, random_seed
from mukoe.layouts.common.shutdown import learner_limit_reached, step_limit_reached
from mukoe.layouts.local.main_loop import run_to_end
from mukoe.layouts.local.resume import ActingParts, make_acting_parts, resume_acting
from mukoe.learning.checkpoint import Checkpointer
from mukoe.learning.learner import Learner
from mukoe.replay.in_process import InProcessReplay
from mukoe.terminal.progress_text import Progress
from mukoe.types import EnvironmentSpec

_CLOSE_SECONDS = 60.0


def train(
    experiment: ExperimentConfig,
    environment_spec: EnvironmentSpec,
    workdir: Path,
    resume: bool = False,
    demonstrations: OfflineData | None = None,
) -> int:
    """Trains to the step limit or the target return, and returns the exit status.

    Args:
      experiment: agent, environment and settings.
      environment_spec: spec of one environment, from `check`.
      workdir: existing directory of the run.
      resume: True to continue from the newest checkpoint, if there is one; bit for bit if it
        has the run state.
      demonstrations: episodes of `select_demonstrations`; None for none.

    Returns:
      Exit status, see `run_to_end`.
    """
    make = functools.partial(
        make_run, experiment, environment_spec, workdir, resume, demonstrations=demonstrations
    )
    shown = None if demonstrations is None else demonstrations.summary
    return run_to_end(make, expectation(experiment, workdir, shown), experiment.run, workdir)


def make_run(
    experiment: ExperimentConfig,
    environment_spec: EnvironmentSpec,
    workdir: Path,
    resume: bool = False,
    should_stop: Callable[[], bool] = lambda: False,
    demonstrations: OfflineData | None = None,
) -> "LocalRun":
    """Builds the parts of a run, and restores them from the newest checkpoint.

    Args:
      experiment: agent, environment and settings.
      environment_spec: spec of one environment, from `check`.
      workdir: existing directory of the run.
      resume: True to continue from the newest checkpoint, if there is one.
      should_stop: called before every step of an evaluation, and of the repetition of actions
        that restores environments; True interrupts it.
      demonstrations: episodes of `select_demonstrations`; None for none.

    Raises:
      InterruptedResumeError: the repetition was interrupted; the workdir is unchanged.
    """
    settings, num_envs = experiment.run, experiment.run.envs_per_actor
    learning = make_learning_parts(
        experiment, environment_spec, workdir, resume, num_envs, demonstrations=demonstrations
    )
    replay, learner, counter = learning.replay, learning.learner, learning.counter
    restored = learning.restored
    assert replay is not None

    # Environments and actor.
    variables = VariableClient(DeviceVariableSource(learner, jax.local_devices()[0]))
    adders = [replay.make_adder() for _ in range(num_envs)]
    make_acting = functools.partial(
        make_acting_parts, experiment, learning.policy, variables, adders
    )
    limits = ResumeLimits(settings.resume_seconds, should_stop)
    acting = resume_acting(make_acting, adders, restored, limits)

    # Evaluation and logs.
    evaluator = Evaluator(
        experiment,
        environment_spec,
        variables,
        random_seed(settings, acting.start_counts, SeededPart.EVALUATOR),
        workdir,
        learning.checkpointer,
        counter,
        settings.exact_resume_steps,
        blocks_run=True,
    )
    network_timer = make_network_timer(experiment, environment_spec, variables, num_envs)
    logger = RunLogger(workdir, counter, acting.loop, learner, network_timer, settings.loggers)
    if restored.state:
        if acting.start_counts == restored.start_counts:
            with contextlib.ExitStack() as on_failure:
                on_failure.callback(acting.environment.close)
                evaluator.restore(unpack(restored.state, "evaluator"), limits)
                on_failure.pop_all()
        logger.restore(unpack(restored.state, "log"))

    def acting_state() -> NamedArrays:
        return pack(acting=acting.state(), evaluator=evaluator.state(), log=logger.state())

    return LocalRun(
        experiment=experiment,
        counter=counter,
        replay=replay,
        learner=learner,
        reanalyser=learning.reanalyser,
        demonstrations=learning.demonstrations,
        acting=acting,
        evaluator=evaluator,
        logger=logger,
        checkpointer=learning.checkpointer,
        checkpoints=make_run_checkpointer(
            experiment, learning, num_envs, acting.start_counts, acting_state
        ),
        should_stop=should_stop,
    )


@dataclasses.dataclass
class LocalRun:
    """Parts of a run, which advances one step at a time.

    experiment: agent, environment and settings.
    counter: counts and newest reports.
    replay: replay of the actor's rows.
    learner: learner, which makes the updates that replay allows after each step.
    reanalyser: reanalyser of the replay, which rewrites rows after each update; None for none.
    demonstrations: demonstrations beside the actor's rows; None for none.
    acting: environments, actor and their loop.
    evaluator: evaluator of the newest parameters.
    logger: logs of actor and learner.
    checkpointer: stored checkpoints.
    checkpoints: writer of the checkpoints that are due.
    should_stop: called before every step of an evaluation; True interrupts it.
    reached_target: True once an evaluation has reached the target return.
    """

    experiment: ExperimentConfig
    counter: Counter
    replay: InProcessReplay
    learner: Learner
    reanalyser: ReplayReanalyser | None
    demonstrations: Demonstrations | None
    acting: ActingParts
    evaluator: Evaluator
    logger: RunLogger
    checkpointer: Checkpointer
    checkpoints: RunCheckpointer
    should_stop: Callable[[], bool]
    reached_target: bool = False

    @property
    def ended(self) -> bool:
        """True once the step limit or the target return is reached."""
        counts = self.counter.get_counts()
        return self.reached_target or step_limit_reached(self.experiment.run, counts)

    @property
    def _has_learned(self) -> bool:
        return learner_limit_reached(self.experiment.run, self.counter.get_counts())

    def step(self) -> None:
        """Makes one step in every environment, and then the updates that replay allows.

        Writes logs, evaluates and saves where the step completes their period. An evaluation that
        was interrupted before the run was resumed comes first.
        """
        if self.evaluator.is_interrupted:
            self._evaluate()
            return
        if self.demonstrations is not None and not self.demonstrations.is_searched:
            self._search_demonstrations(self.demonstrations)
            return
        settings, loop = self.experiment.run, self.acting.loop
        before = loop.progress
        episodes = loop.step()
        added = loop.progress.steps - before.steps
        self.counter.increment(
            actor_steps=added,
            environment_frames=loop.progress.frames - before.frames,
            episodes=len(episodes),
        )
        metrics: Mapping[str, Any] = {}
        while self.replay.can_sample() and not self._has_learned:
            metrics = self._update()
        if metrics:
            self.learner.wait()
        counts = self.counter.get_counts()
        self.logger.add(counts, episodes, metrics)
        if period_reached(settings.log_period, counts["actor_steps"], added):
            self.write_logs()
        if period_reached(settings.evaluation_period, counts["actor_steps"], added):
            self._evaluate()
        self.checkpoints.save_if_due(counts["actor_steps"], added)

    def _update(self) -> Mapping[str, Any]:
        """Makes an update, and rewrites the rows that follow it."""
        metrics = self.learner.step()
        if self.reanalyser is None:
            return metrics
        metrics = {**metrics, **self.reanalyser.step()}
        if self.demonstrations is not None:
            self.demonstrations.step()
            metrics["reanalysed_per_step"] += self.demonstrations.rewritten / self.replay.inserted
        return metrics

    def _search_demonstrations(self, demonstrations: Demonstrations) -> None:
        """Makes a step of the search of demonstrations without search statistics."""
        demonstrations.step()
        is_searched = demonstrations.is_searched
        self.counter.report(stage=None if is_searched else demonstrations.stage)

    def _evaluate(self) -> None:
        counts = self.counter.get_counts()
        self.reached_target = self.evaluator.evaluate(counts, self.should_stop)

    def write_logs(self) -> None:
        """Writes a row of each log."""
        self.logger.report_replay(self.replay)
        self.logger.write()

    def close(self) -> None:
        """Saves, and closes all files and environments."""
        self.counter.report(stage=("saving", None, None))
        self.checkpoints.save()
        # An interrupted run writes no row here, so that the resumed one has the same rows as an
        # uninterrupted one.
        if self.ended or not self.checkpoints.saves_run_state:
            self.write_logs()
        self.checkpoints.close(_CLOSE_SECONDS)
        self.release()
        self.counter.report(stage=("ended", None, None))

    def release(self) -> None:
        """Closes logs and environments, without saving."""
        self.logger.close()
        self.evaluator.close()
        self.acting.environment.close()

    def progress(self) -> Progress:
        """Returns the content of the progress line."""
        self.logger.report_replay(self.replay)
        return make_progress(self.experiment, *self.counter.snapshot())

    def time_line(self) -> str | None:
        """Returns the line of the shares of time."""
        return time_line([self.logger.time_shares()], self.learner.time_shares())
