"""The layout of one process and one thread: actor and learner take turns.

No servers, and nothing that depends on the speed of the machine: the same seed gives the
same run, bit for bit.
"""

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from mukoe.acting.loop import EnvironmentLoop
from mukoe.acting.runners import LocalRunner
from mukoe.acting.variables import VariableClient
from mukoe.environments.recording import RecordedVector
from mukoe.errors import UserError
from mukoe.layouts.common.counting import Counter
from mukoe.layouts.common.evaluator import Evaluator
from mukoe.layouts.common.experiment import (
    ExperimentConfig,
    check_experiment,
    random_seed,
    saves_replay,
)
from mukoe.layouts.common.reporting import (
    ActorLog,
    make_network_timer,
    make_progress,
    time_line,
)
from mukoe.layouts.common.required_memory import RequiredMemory
from mukoe.layouts.common.run_state import (
    Parts,
    episode_arrays,
    episodes_of,
    pack,
    tree_arrays,
    tree_of,
    unpack,
)
from mukoe.layouts.common.shutdown import collected_signals, passed, tell_end
from mukoe.learning.checkpoint import Checkpointer
from mukoe.learning.non_finite import saving_bad_batches
from mukoe.observability.loggers.factory import make_logger
from mukoe.observability.progress import ProgressLine
from mukoe.observability.timings import time_columns
from mukoe.replay.in_process import bytes_required
from mukoe.types import EnvironmentSpec

_LOGGER = logging.getLogger(__name__)

_PROGRESS_SECONDS = 0.5
_CLOSE_SECONDS = 60.0
_SEED_ACTOR, _SEED_ENVIRONMENT, _SEED_EVALUATOR, _SEED_REPLAY = range(4)


def check(experiment: ExperimentConfig) -> EnvironmentSpec:
    """Says whether an experiment can run here, and returns the environment's spec.

    Raises:
      UserError: the agent does not fit the environment, sets no `samples_per_insert`, or
        needs more memory than there is.
    """
    if experiment.builder.replay.samples_per_insert is None:
        raise UserError(
            "the local layout lets actor and learner take turns: give a number as "
            "agent.replay.samples_per_insert"
        )
    spec = check_experiment(experiment)
    num_envs = experiment.run.envs_per_actor
    memory = RequiredMemory(experiment, spec)
    memory.check_parameters()
    memory.check_replay(memory.replay_bytes(num_envs))
    memory.check_acting(num_envs, "lower run.envs_per_actor or the simulations")
    memory.check_evaluation()
    memory.check_batches(num_envs)
    return spec


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
      resume: go on from the newest checkpoint, where there is one: bit for bit where it has
        the whole run.
    """
    with collected_signals() as signals, ProgressLine() as line, saving_bad_batches(workdir):
        run = LocalRun(experiment, environment_spec, workdir, resume)
        shown = 0.0
        while not signals and not run.ended:
            run.step()
            if time.monotonic() - shown > _PROGRESS_SECONDS:
                line.update(make_progress(experiment, *run.counter.snapshot()))
                shown = time.monotonic()
        line.update(make_progress(experiment, *run.counter.snapshot()))
        run.close()
    return tell_end(run.time_line(), workdir, signals)


class LocalRun:
    """A run that goes on one step at a time.

    counter: its counts and newest reports.
    """

    def __init__(
        self,
        experiment: ExperimentConfig,
        environment_spec: EnvironmentSpec,
        workdir: Path,
        resume: bool = False,
    ):
        """Makes all parts.

        Args:
          experiment: agent, environment and settings.
          environment_spec: of `check`.
          workdir: where logs and checkpoints go; it exists.
          resume: go on from the newest checkpoint, where there is one.
        """
        self._experiment = experiment
        self._workdir = workdir
        self._spec = environment_spec
        self._networks = experiment.builder.make_networks(self._spec)
        self._policy = experiment.builder.make_policy(self._networks, self._spec)
        self._checkpointer = Checkpointer(
            workdir / "checkpoints", keep=experiment.run.keep_checkpoints
        )
        self.counter = Counter()
        # The counts when the environments were made: their seeds follow from them.
        self._start_counts: Mapping[str, int] = {}
        self._make_learner()
        parts = self._restore_learner() if resume else {}
        counts = self.counter.get_counts()
        self._make_loop(unpack(parts, "acting"))
        self._evaluator = self._make_evaluator(unpack(parts, "evaluator"))
        self._actor_log = ActorLog(
            make_logger(workdir, "actor_0", "actor_steps"),
            make_network_timer(
                experiment, self._spec, self._variables, experiment.run.envs_per_actor
            ),
        )
        self._learner_log = make_logger(workdir, "learner", "learner_steps")
        self._metrics: Mapping[str, Any] = {}
        self._logged_steps = counts.get("actor_steps", 0)
        self._restore_log(unpack(parts, "log"))
        self._saved_steps = self._learner.steps if counts else -1
        self._next_save = time.monotonic() + experiment.run.checkpoint_seconds
        self._saves_replay = saves_replay(
            experiment,
            bytes_required(
                experiment.builder.replay, self._replay.row_spec, experiment.run.envs_per_actor
            ),
        )
        self._next_replay_save = time.monotonic() + experiment.run.replay_checkpoint_seconds
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
        if passed(run.log_period, counts["actor_steps"], steps):
            self._log()
        if passed(run.evaluation_period, counts["actor_steps"], steps):
            self._reached_target = self._evaluator.evaluate(self.counter.get_counts())
        due = time.monotonic() >= self._next_save
        if due or passed(run.checkpoint_period, counts["actor_steps"], steps):
            self.save()

    def save(self) -> None:
        """Starts to write a checkpoint, unless this learner step has one."""
        now = time.monotonic()
        self._next_save = now + self._experiment.run.checkpoint_seconds
        steps = self._learner.steps
        if steps != self._saved_steps:
            counts = self.counter.get_counts()
            self._checkpointer.save(steps, self._learner.save(), {"counts": counts})
            self._saved_steps = steps
        if not self._saves_replay:
            self._checkpointer.remove_runs()
        elif now >= self._next_replay_save:
            self.save_run()

    def save_run(self) -> None:
        """Starts to write a checkpoint of everything, to go on as if nothing had happened."""
        self._next_replay_save = time.monotonic() + self._experiment.run.replay_checkpoint_seconds
        counts = self.counter.get_counts()
        metadata = {"counts": counts, "start_counts": dict(self._start_counts)}
        self._checkpointer.save_run(
            counts.get("actor_steps", 0), self._learner.save(), self._parts(), metadata
        )

    def close(self) -> None:
        """Saves, and closes all files."""
        self.save()
        if self._saves_replay:
            self.save_run()
        # A run that goes on later logs at the same steps as one that was not interrupted.
        if self.ended or not self._saves_replay:
            self._log()
        self._checkpointer.close(_CLOSE_SECONDS)
        for part in (self._actor_log, self._learner_log, self._evaluator):
            part.close()

    def time_line(self) -> str | None:
        """Says where the time went."""
        return time_line([self._actor_log.time_shares(self._loop)], self._learner.time_shares())

    def _make_learner(self) -> None:
        experiment, spec = self._experiment, self._spec
        builder = experiment.builder
        self._replay = builder.make_in_process_replay(
            spec, self._policy, experiment.run.envs_per_actor, self._seed(_SEED_REPLAY)
        )
        self._learner = builder.make_learner(
            jax.random.PRNGKey(experiment.run.seed),
            self._networks,
            builder.make_dataset_iterator(self._replay),
            None,
            spec,
            replay_client=self._replay,
            counter=self.counter,
        )
        self._learner.max_skipped_updates = experiment.run.max_skipped_updates
        self._variables = VariableClient(self._learner)

    def _restore_learner(self) -> Parts:
        """Restores learner, replay and counts; returns what there is of the other parts."""
        restored = self._checkpointer.restore_run(self._learner.save())
        parts: Parts = {}
        if restored is not None:
            state, parts, metadata = restored
        elif self._checkpointer.latest_step() is not None:
            state, metadata = self._checkpointer.restore(self._learner.save())
        else:
            return {}
        self._learner.restore(state)
        self.counter.set_counts(**metadata["counts"])
        self._start_counts = metadata.get("start_counts", metadata["counts"])
        if parts:
            self._replay.restore(unpack(parts, "replay"))
            self._learner.restore_unsent(unpack(parts, "learner"))
        return parts

    def _make_loop(self, stored: Parts) -> None:
        """Makes the acting parts, and brings them back to where they were, if that is possible."""
        experiment, spec = self._experiment, self._spec
        builder, num_envs = experiment.builder, experiment.run.envs_per_actor
        self._adders = [
            builder.make_adder(self._replay, spec, self._policy) for _ in range(num_envs)
        ]
        environment_state = unpack(stored, "environment")
        if not environment_state:
            self._begin_anew()
        self._make_acting_parts()
        if environment_state:
            self._repeat(environment_state, stored)

    def _repeat(self, environment_state: Parts, stored: Parts) -> None:
        """Brings the environments and the actor back to where they were."""
        timestep = self._environment.repeat(environment_state)
        if timestep is None:
            _LOGGER.warning(
                "the environments answer differently to the same actions: new episodes begin, "
                "and the run is not the one that it would have been"
            )
            self._begin_anew()
            self._make_acting_parts()
            return
        newest = self._learner.get_variables()[0]
        self._variables.restore(tree_of(unpack(stored, "params"), newest))
        self._runner.restore(unpack(stored, "runner"))
        self._actor.restore(unpack(stored, "actor"), timestep)
        self._loop.go_on(timestep)

    def _begin_anew(self) -> None:
        """Forgets running episodes; those that begin now have seeds of their own."""
        self._start_counts = self.counter.get_counts()
        for adder in self._adders:
            adder.reset()

    def _make_acting_parts(self) -> None:
        experiment, num_envs = self._experiment, self._experiment.run.envs_per_actor
        key = jax.random.PRNGKey(self._seed(_SEED_ACTOR))
        self._environment = RecordedVector(
            experiment.environment_factory(self._seed(_SEED_ENVIRONMENT), num_envs, False),
            experiment.run.exact_resume_steps,
        )
        self._runner = LocalRunner(self._policy, self._variables, key, num_envs)
        self._actor = experiment.builder.make_actor(
            key, self._policy, self._spec, self._runner, self._adders, num_envs
        )
        self._loop = EnvironmentLoop(self._environment, self._actor)

    def _make_evaluator(self, stored: Parts) -> Evaluator:
        return Evaluator(
            self._experiment,
            self._spec,
            self._variables,
            self._seed(_SEED_EVALUATOR),
            self._workdir,
            self._checkpointer,
            self.counter,
            self._experiment.run.exact_resume_steps,
            stored,
        )

    def _parts(self) -> Parts:
        """All that a checkpoint has beside the learner's state."""
        acting = pack(
            environment=self._environment.state(),
            params=tree_arrays(self._variables.params),
            runner=self._runner.state(),
            actor=self._actor.state(),
        )
        log = pack(
            metrics={name: np.asarray(value) for name, value in self._metrics.items()},
            episodes=episode_arrays(self._actor_log.unwritten),
            steps={"logged": np.array(self._logged_steps, np.int64)},
        )
        return pack(
            replay=self._replay.state_dict(),
            learner=self._learner.save_unsent(),
            acting=acting,
            evaluator=self._evaluator.state(),
            log=log,
        )

    def _restore_log(self, stored: Parts) -> None:
        if stored:
            self._metrics = unpack(stored, "metrics")
            self._actor_log.add(episodes_of(unpack(stored, "episodes")))
            self._logged_steps = int(stored["steps/logged"])

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
