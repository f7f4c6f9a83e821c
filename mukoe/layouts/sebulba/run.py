"""A run on the devices of one machine: actor threads, a learner thread, and logs and evaluation."""

import dataclasses
import functools
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import jax
import numpy as np

from mukoe.acting.rollouts import Rollout
from mukoe.acting.variables import VariableClient
from mukoe.agents.extensions import FollowsRunLength, rollout_of
from mukoe.configuration.exclusive_workdir import exclusive_workdir
from mukoe.environments.vector import VectorEnvironment
from mukoe.layouts.common.actor_log import make_network_timer
from mukoe.layouts.common.cadence import period_reached
from mukoe.layouts.common.checkpointing import RunCheckpointer
from mukoe.layouts.common.counting import Counter
from mukoe.layouts.common.evaluator import Evaluator
from mukoe.layouts.common.experiment import ExperimentConfig, RunConfig
from mukoe.layouts.common.learning_parts import (
    LearningParts,
    make_learning_parts,
    make_run_checkpointer,
)
from mukoe.layouts.common.reporting import expectation, make_progress, time_line
from mukoe.layouts.common.run_logger import RunLogger
from mukoe.layouts.common.seeds import SeededPart, random_seed
from mukoe.layouts.common.shutdown import (
    end_reason,
    exit_status,
    learner_limit_reached,
    print_summary,
    step_limit_reached,
)
from mukoe.layouts.sebulba.actor_thread import ActorMetrics, RolloutExchange, act
from mukoe.layouts.sebulba.collectors import Collector, make_collectors
from mukoe.layouts.sebulba.devices import actor_devices, learner_devices
from mukoe.layouts.sebulba.evaluation import Snapshot, SnapshotEvaluator
from mukoe.layouts.sebulba.exchange import Exchange
from mukoe.layouts.sebulba.threads import ThreadGroup
from mukoe.layouts.sebulba.updates import ReplayUpdates, RolloutDataset, RolloutUpdates, Updates
from mukoe.learning.learner import Learner
from mukoe.learning.non_finite import saving_bad_batches
from mukoe.replay.in_process import InProcessReplay
from mukoe.terminal.interruption import collected_signals
from mukoe.terminal.progress_line import process_line, show_phase
from mukoe.terminal.progress_text import Progress
from mukoe.types import EnvironmentSpec

_POLL_SECONDS = 0.5
_JOIN_SECONDS = 5.0
_CLOSE_SECONDS = 8.0


def train(
    experiment: ExperimentConfig,
    environment_spec: EnvironmentSpec,
    workdir: Path,
    resume: bool = False,
) -> int:
    """Trains to the step limit or the target return, and returns the exit status.

    Args:
      experiment: agent, environment and settings.
      environment_spec: spec of one environment, from `check`.
      workdir: existing directory of the run.
      resume: True to continue from the newest checkpoint, if there is one, with new episodes.

    Returns:
      0 at the end of the run and after SIGTERM, 130 after Ctrl-C; the last checkpoint is written
      in each case, or the status is 1.

    Raises:
      UserError: another process trains in the workdir.
      BaseException: the exception of the first thread that failed, which ends the run.
    """
    with (
        exclusive_workdir(workdir),
        collected_signals() as signals,
        process_line() as line,
        saving_bad_batches(workdir),
    ):
        show_phase("building agent and environments")
        run = make_run(experiment, environment_spec, workdir, resume)
        line.message(expectation(experiment, workdir))
        line.follow(run.progress)
        if not run.ended:
            run.start()
            while not signals and not run.wait(_POLL_SECONDS):
                pass
        run.close()
    settings, (counts, reports) = run.experiment.run, run.counter.snapshot()
    reason = end_reason(settings, counts, reports, signals)
    print_summary(reason, run.time_line(), workdir, settings, counts)
    return exit_status(signals, workdir, counts)


def make_run(
    experiment: ExperimentConfig,
    environment_spec: EnvironmentSpec,
    workdir: Path,
    resume: bool = False,
) -> "SebulbaRun":
    """Builds the parts of a run, and restores them from the newest checkpoint.

    Args:
      experiment: agent, environment and settings.
      environment_spec: spec of one environment, from `check`.
      workdir: existing directory of the run.
      resume: True to continue from the newest checkpoint, if there is one.
    """
    if rollout_of(experiment.builder) and isinstance(experiment.builder, FollowsRunLength):
        builder = experiment.builder.for_agent_steps(experiment.run.max_actor_steps)
        experiment = experiment.with_builder(builder)
    settings, config = experiment.run, experiment.sebulba
    devices = actor_devices(config)
    num_envs = len(devices) * settings.envs_per_actor
    exchange: RolloutExchange = Exchange(len(devices), config.staleness)
    threads = ThreadGroup(on_stop=exchange.close)

    # Learner and its updates of a round; a resumed run does not continue episodes.
    rollouts = None
    if rollout_of(experiment.builder) is not None:
        rollouts = RolloutDataset(exchange, len(config.learner_devices))
    learning = make_learning_parts(
        experiment,
        environment_spec,
        workdir,
        resume,
        num_envs,
        rollouts=rollouts,
        devices=learner_devices(config),
    )
    learner, counter, counts = learning.learner, learning.counter, learning.restored.counts
    updates = _make_updates(learning, exchange, threads, rollouts, num_envs, experiment.run)

    # Actors.
    environments, collectors = make_collectors(experiment, learning.policy, devices, counts)
    metrics = ActorMetrics(collectors)

    # Evaluation and logs.
    snapshot = Snapshot(learner.device_variables(), devices[0])
    variables = VariableClient(snapshot, period_updates=0)
    evaluator = _make_evaluator(experiment, environment_spec, workdir, learning, variables)
    network_timer = make_network_timer(
        experiment, environment_spec, variables, settings.envs_per_actor
    )
    return SebulbaRun(
        experiment=experiment,
        counter=counter,
        devices=devices,
        exchange=exchange,
        threads=threads,
        replay=learning.replay,
        learner=learner,
        updates=updates,
        environments=environments,
        collectors=collectors,
        metrics=metrics,
        evaluator=SnapshotEvaluator(evaluator, snapshot, variables, threads.stopped),
        logger=RunLogger(workdir, counter, metrics, learner, network_timer, settings.loggers),
        checkpoints=make_run_checkpointer(experiment, learning, num_envs, counts),
    )


def _make_evaluator(
    experiment: ExperimentConfig,
    environment_spec: EnvironmentSpec,
    workdir: Path,
    learning: LearningParts,
    variables: VariableClient,
) -> Evaluator:
    """Builds the evaluator of the parameters of `variables`."""
    return Evaluator(
        experiment,
        environment_spec,
        variables,
        random_seed(experiment.run, learning.restored.counts, SeededPart.EVALUATOR),
        workdir,
        learning.checkpointer,
        learning.counter,
        blocks_run=experiment.sebulba.staleness == 0,
    )


def _make_updates(
    learning: LearningParts,
    exchange: RolloutExchange,
    threads: ThreadGroup,
    rollouts: RolloutDataset | None,
    num_envs: int,
    run: RunConfig,
) -> Updates:
    """Builds the learner's updates of a round, from rollouts or from replay."""
    if rollouts is not None:
        return RolloutUpdates(learning.learner, rollouts)
    replay = learning.replay
    assert replay is not None
    adders = [replay.make_adder() for _ in range(num_envs)]
    for adder in adders:
        adder.reset()

    def ends() -> bool:
        counts = learning.counter.get_counts()
        return threads.stopped.is_set() or learner_limit_reached(run, counts)

    return ReplayUpdates(learning.learner, exchange, replay, adders, ends, learning.reanalyser)


@dataclasses.dataclass
class SebulbaRun:
    """Parts of a run, most of which work in threads between `start` and `close`.

    experiment: agent, environment and settings, with schedules over the steps of the run.
    counter: counts of the rollouts that have been learned from, and newest reports.
    devices: device of each actor thread.
    exchange: exchange of parameters and rollouts.
    threads: threads of the run.
    replay: replay; None for an agent that learns from rollouts.
    learner: learner.
    updates: the learner's updates of a round.
    environments: environments of each actor thread.
    collectors: collector of each actor thread.
    metrics: metrics of all actors.
    evaluator: evaluator of snapshots of the parameters.
    logger: logs of actors and learner.
    checkpoints: writer of the checkpoints that are due.
    """

    experiment: ExperimentConfig
    counter: Counter
    devices: Sequence[jax.Device]
    exchange: RolloutExchange
    threads: ThreadGroup
    replay: InProcessReplay | None
    learner: Learner
    updates: Updates
    environments: Sequence[VectorEnvironment]
    collectors: Sequence[Collector]
    metrics: ActorMetrics
    evaluator: SnapshotEvaluator
    logger: RunLogger
    checkpoints: RunCheckpointer

    @property
    def ended(self) -> bool:
        """True once the step limit is reached, such as that of a run that is resumed at its end."""
        return step_limit_reached(self.experiment.run, self.counter.get_counts())

    def start(self) -> None:
        """Starts the threads."""
        sharding = self.learner.batch_sharding if self.replay is None else None
        self.publish(0)
        for index, device in enumerate(self.devices):
            actor = functools.partial(
                act, self.exchange, index, device, self.collectors[index], sharding
            )
            self.threads.start(f"actor {index}", actor)
        self.threads.start("learner", self.learn)
        if not self.alternates:
            evaluate = functools.partial(self.evaluator.run, self.devices[0], self.threads.stop)
            self.threads.start("log", self.write_logs)
            self.threads.start("evaluator", evaluate)

    def wait(self, seconds: float) -> bool:
        """Waits for the end of the run or the failure of a thread; returns whether it came."""
        return self.threads.stopped.wait(seconds)

    def close(self) -> None:
        """Stops all threads, saves, and closes all files and environments.

        Raises:
          BaseException: the first exception of a thread; nothing is saved then.
        """
        self.threads.stop()
        self.threads.join(_JOIN_SECONDS)
        if not self.threads.failures:
            self.counter.report(stage=("saving", None, None))
            self.checkpoints.save()
            self.logger.write()
        self.checkpoints.close(_CLOSE_SECONDS)
        self.logger.close()
        self.evaluator.close()
        for environment in self.environments:
            environment.close()
        if self.threads.failures:
            raise self.threads.failures[0]
        self.counter.report(stage=("ended", None, None))

    def progress(self) -> Progress:
        """Returns the content of the progress line."""
        if self.replay is not None:
            self.logger.report_replay(self.replay)
        self.counter.report(has_acted=self.exchange.rounds_taken > 0)
        return make_progress(self.experiment, *self.counter.snapshot())

    @property
    def alternates(self) -> bool:
        """True if actors and learner alternate; the learner thread then logs and evaluates."""
        return self.experiment.sebulba.staleness == 0

    def time_line(self) -> str | None:
        """Returns the line of the shares of time."""
        acting = [collector.timings.shares() for collector in self.collectors]
        return time_line(acting, self.learner.time_shares())

    def learn(self) -> None:
        """Learns round by round, and stops all threads at the end of the run."""
        for round_index in itertools.count():
            counts, steps = self.learn_round(round_index)
            reached_target = self.complete_periods(counts, steps)
            if reached_target or self.ended:
                self.counter.report(stage=("finishing the evaluation", None, None))
                self.evaluator.wait_until_idle()
                self.threads.stop()
                return

    def learn_round(self, round_index: int) -> tuple[Mapping[str, int], int]:
        """Learns from a round; returns the counts after it and its agent steps."""
        learner_steps = self.counter.get_counts().get("learner_steps", 0)
        rollouts, metrics = self.updates.learn(round_index)
        self.publish(round_index + 1)
        steps = sum(rollout.steps for rollout in rollouts)
        counts = self.counter.increment(
            actor_steps=steps,
            environment_frames=sum(rollout.frames for rollout in rollouts),
            episodes=sum(len(rollout.episodes) for rollout in rollouts),
        )
        if metrics:
            staleness = learner_steps - np.mean([rollout.learner_steps for rollout in rollouts])
            metrics = {**metrics, "staleness": float(staleness)}
        self.log_round(counts, rollouts, metrics)
        return counts, steps

    def publish(self, rounds: int) -> None:
        """Starts to copy the newest parameters to the actors' devices."""
        params = self.learner.device_variables()
        devices = dict.fromkeys(self.devices)
        self.exchange.publish(
            rounds, {device: jax.device_put(params, device) for device in devices}
        )

    def log_round(
        self, counts: Mapping[str, int], rollouts: Sequence[Rollout], metrics: Mapping
    ) -> None:
        """Adds a round to the logs."""
        self.metrics.add(rollouts)
        episodes = [episode for rollout in rollouts for episode in rollout.episodes]
        self.logger.add(counts, episodes, metrics)

    def complete_periods(self, counts: Mapping[str, int], added: int) -> bool:
        """Logs, evaluates and saves after a round whose steps complete their period.

        Args:
          counts: counts of the run.
          added: agent steps of the round.

        Returns:
          Whether an evaluation in this thread reached the target return.
        """
        settings, reached_target = self.experiment.run, False
        if self.alternates and period_reached(settings.log_period, counts["actor_steps"], added):
            self.logger.write()
        if period_reached(settings.evaluation_period, counts["actor_steps"], added):
            params = self.learner.device_variables()
            if self.alternates:
                reached_target = self.evaluator.evaluate(params, counts)
            else:
                self.evaluator.request(params, counts)
        self.checkpoints.save_if_due(counts["actor_steps"], added)
        return reached_target

    def write_logs(self) -> None:
        """Writes rows every `run.log_seconds` until the run stops."""
        while not self.threads.stopped.wait(self.experiment.run.log_seconds):
            self.logger.write()
