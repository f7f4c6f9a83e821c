"""The layout of one process and one thread: actor and learner take turns.

No servers, and nothing that depends on the speed of the machine: the same seed gives the
same run, bit for bit.
"""

import contextlib
import signal
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax

from mukoe.acting.loop import EnvironmentLoop
from mukoe.acting.variables import VariableClient
from mukoe.errors import UserError
from mukoe.layouts.counting import Counter
from mukoe.layouts.evaluator import Evaluator
from mukoe.layouts.experiment import ExperimentConfig, check_experiment, random_seed
from mukoe.layouts.reporting import (
    ActorLog,
    counts_to_resume,
    make_network_timer,
    make_progress,
    time_line,
    what_next,
)
from mukoe.learning.checkpoint import Checkpointer
from mukoe.observability.loggers import make_logger
from mukoe.observability.progress import ProgressLine
from mukoe.observability.timings import time_columns
from mukoe.types import EnvironmentSpec

STATUS_INTERRUPTED = 130

_PROGRESS_SECONDS = 0.5
_SEED_ACTOR, _SEED_ENVIRONMENT, _SEED_EVALUATOR, _SEED_REPLAY = range(4)


def check(experiment: ExperimentConfig) -> EnvironmentSpec:
    """Says whether an experiment can run here, and returns the environment's spec.

    Raises:
      UserError: the agent does not fit the environment, or sets no `samples_per_insert`.
    """
    if experiment.builder.replay.samples_per_insert is None:
        raise UserError(
            "the local layout lets actor and learner take turns: give a number as "
            "agent.replay.samples_per_insert"
        )
    return check_experiment(experiment)


def train(
    experiment: ExperimentConfig,
    environment_spec: EnvironmentSpec,
    workdir: Path,
    resume: bool = False,
) -> int:
    """Trains to the step limit and returns the exit status.

    0 when it reached its end or got SIGTERM, 130 after Ctrl-C; a second Ctrl-C raises
    KeyboardInterrupt. The last checkpoint is written in each case.

    Args:
      experiment: agent, environment and settings.
      environment_spec: of `check`.
      workdir: where logs and checkpoints go; it exists.
      resume: go on from the newest checkpoint, where there is one.
    """
    run = LocalRun(
        experiment, environment_spec, workdir, counts_to_resume(workdir) if resume else {}
    )
    with _signals() as signals, ProgressLine() as line:
        shown = 0.0
        while not signals and not run.ended:
            run.step()
            if time.monotonic() - shown > _PROGRESS_SECONDS:
                line.update(make_progress(experiment, *run.counter.snapshot()))
                shown = time.monotonic()
        line.update(make_progress(experiment, *run.counter.snapshot()))
        run.close()
    if text := run.time_line():
        print(text)
    print(what_next(workdir))
    return STATUS_INTERRUPTED if signal.SIGINT in signals else 0


class LocalRun:
    """A run that goes on one step at a time.

    counter: its counts and newest reports.
    """

    def __init__(
        self,
        experiment: ExperimentConfig,
        environment_spec: EnvironmentSpec,
        workdir: Path,
        counts: Mapping[str, int],
    ):
        """Makes all parts.

        Args:
          experiment: agent, environment and settings.
          environment_spec: of `check`.
          workdir: where logs and checkpoints go; it exists.
          counts: of the newest checkpoint, to go on from it; empty for a new run.
        """
        self._experiment = experiment
        self._workdir = workdir
        self._start_counts = counts
        self._spec = environment_spec
        self._networks = experiment.builder.make_networks(self._spec)
        self.counter = Counter(counts)
        self._make_learner_and_loop()
        self._checkpointer = Checkpointer(
            workdir / "checkpoints", keep=experiment.run.keep_checkpoints
        )
        if counts:
            state, _ = self._checkpointer.restore(self._learner.save())
            self._learner.restore(state)
        self._actor_log = ActorLog(
            make_logger(workdir, "actor_0", "actor_steps"),
            make_network_timer(
                experiment, self._spec, self._variables, experiment.run.envs_per_actor
            ),
        )
        self._learner_log = make_logger(workdir, "learner", "learner_steps")
        self._evaluator = Evaluator(
            experiment,
            self._spec,
            self._variables,
            self._seed(_SEED_EVALUATOR),
            workdir,
            self._checkpointer,
            self.counter,
        )
        self._metrics: Mapping[str, Any] = {}
        self._saved_steps = self._learner.steps if counts else -1
        self._next_save = time.monotonic() + experiment.run.checkpoint_seconds
        self._logged_steps = counts.get("actor_steps", 0)
        self._reached_target = False

    @property
    def ended(self) -> bool:
        """Whether the step limit or the target return is reached."""
        steps = self.counter.get_counts().get("actor_steps", 0)
        return self._reached_target or steps >= self._experiment.run.max_actor_steps

    def step(self) -> None:
        """Makes one step in every environment, and the updates that are then due."""
        run = self._experiment.run
        before = self._loop.progress
        episodes = self._loop.step()
        steps = self._loop.progress.steps - before.steps
        counts = self.counter.increment(
            actor_steps=steps,
            environment_frames=self._loop.progress.frames - before.frames,
            episodes=len(episodes),
        )
        self._actor_log.add(episodes)
        while self._replay.can_sample():
            self._metrics = self._learner.step()
        if _passed(run.log_period, counts["actor_steps"], steps):
            self._log()
        if _passed(run.evaluation_period, counts["actor_steps"], steps):
            self._reached_target = self._evaluator.evaluate(self.counter.get_counts())
        due = time.monotonic() >= self._next_save
        if due or _passed(run.checkpoint_period, counts["actor_steps"], steps):
            self.save()

    def save(self) -> None:
        """Starts to write a checkpoint, unless this learner step has one."""
        self._next_save = time.monotonic() + self._experiment.run.checkpoint_seconds
        steps = self._learner.steps
        if steps != self._saved_steps:
            counts = self.counter.get_counts()
            self._checkpointer.save(steps, self._learner.save(), {"counts": counts})
            self._saved_steps = steps

    def close(self) -> None:
        """Saves, and closes all files."""
        self._log()
        self.save()
        self._checkpointer.close()
        for part in (self._actor_log, self._learner_log, self._evaluator):
            part.close()

    def time_line(self) -> str | None:
        """Says where the time went."""
        return time_line([self._actor_log.time_shares(self._loop)], self._learner.time_shares())

    def _make_learner_and_loop(self) -> None:
        experiment, spec, networks = self._experiment, self._spec, self._networks
        builder, num_envs = experiment.builder, experiment.run.envs_per_actor
        policy = builder.make_policy(networks, spec)
        self._replay = builder.make_in_process_replay(
            spec, policy, num_envs, self._seed(_SEED_REPLAY)
        )
        self._learner = builder.make_learner(
            jax.random.PRNGKey(experiment.run.seed),
            networks,
            builder.make_dataset_iterator(self._replay),
            None,
            spec,
            replay_client=self._replay,
            counter=self.counter,
        )
        self._variables = VariableClient(self._learner)
        actor = builder.make_actor(
            jax.random.PRNGKey(self._seed(_SEED_ACTOR)),
            policy,
            spec,
            self._variables,
            [builder.make_adder(self._replay, spec, policy) for _ in range(num_envs)],
            num_envs,
        )
        environment = experiment.environment_factory(self._seed(_SEED_ENVIRONMENT), num_envs, False)
        self._loop = EnvironmentLoop(environment, actor)

    def _seed(self, part: int) -> int:
        return random_seed(self._experiment.run, self._start_counts, part)

    def _log(self) -> None:
        counts = self.counter.get_counts()
        if counts.get("actor_steps", 0) == self._logged_steps:
            return
        self._logged_steps = counts.get("actor_steps", 0)
        replay = self._replay
        self.counter.report(
            replay_size=replay.size,
            samples_per_insert=replay.sampled / max(1, replay.inserted),
            **self._actor_log.write(self._loop, counts),
        )
        if self._metrics:
            columns = time_columns(self._learner.time_shares())
            self._learner_log.write({**counts, **self._metrics, **columns})
            self.counter.report(loss=float(self._metrics["loss"]))


def _passed(period: int, count: int, added: int) -> bool:
    """Whether a multiple of `period` was reached by what was `added` last; 0 is never."""
    return period > 0 and count // period > (count - added) // period


@contextlib.contextmanager
def _signals() -> Iterator[list[int]]:
    """Collects SIGINT and SIGTERM; after the first, Ctrl-C interrupts at once."""
    received: list[int] = []

    def receive(number: int, frame: Any) -> None:
        del frame
        received.append(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    old = {number: signal.signal(number, receive) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
