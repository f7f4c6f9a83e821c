"""A run: actor threads, the thread of the learner, and those that log and evaluate."""

import functools
import itertools
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mukoe.acting.rollouts import Rollout
from mukoe.acting.variables import VariableClient
from mukoe.environments.vector import VectorEnvironment
from mukoe.layouts.common.actor_log import make_network_timer
from mukoe.layouts.common.cadence import period_reached
from mukoe.layouts.common.checkpointing import saves_replay
from mukoe.layouts.common.counting import Counter
from mukoe.layouts.common.evaluator import Evaluator
from mukoe.layouts.common.experiment import ExperimentConfig
from mukoe.layouts.common.reporting import make_progress, time_line
from mukoe.layouts.common.run_state import pack, unpack
from mukoe.layouts.common.seeds import SeededPart, random_seed
from mukoe.layouts.common.shutdown import collected_signals, print_summary
from mukoe.layouts.sebulba.collectors import Collector, make_collector_factory
from mukoe.layouts.sebulba.devices import actor_devices, count_updates, learner_devices
from mukoe.layouts.sebulba.exchange import ClosedError, Exchange
from mukoe.layouts.sebulba.run_logger import RunLogger
from mukoe.learning.checkpoint import Checkpointer
from mukoe.learning.non_finite import saving_bad_batches
from mukoe.observability.progress import ProgressLine
from mukoe.replay.in_process import InProcessReplay, bytes_required
from mukoe.types import EnvironmentSpec, PolicyParams, Row, Sample

_LOGGER = logging.getLogger(__name__)

_PROGRESS_SECONDS = 0.5
_POLL_SECONDS = 0.1
_JOIN_SECONDS = 5.0
_CLOSE_SECONDS = 8.0


def train(
    experiment: ExperimentConfig,
    environment_spec: EnvironmentSpec,
    workdir: Path,
    resume: bool = False,
) -> int:
    """Trains to the step limit and returns the exit status.

    0 when it reached its end or got SIGTERM, 130 after Ctrl-C; the last checkpoint is written
    in each case. A part that fails ends the run, and its own exception is raised.

    Args:
      experiment: agent, environment and settings.
      environment_spec: of `check`.
      workdir: where logs and checkpoints go; it exists.
      resume: go on from the newest checkpoint, where there is one; with new episodes.
    """
    with collected_signals() as signals, ProgressLine() as line, saving_bad_batches(workdir):
        run = SebulbaRun(experiment, environment_spec, workdir, resume)
        run.start()
        while not signals and not run.wait(_PROGRESS_SECONDS):
            line.update(make_progress(run.experiment, *run.counter.snapshot()))
        line.update(make_progress(run.experiment, *run.counter.snapshot()))
        run.close()
    return print_summary(run.time_line(), workdir, signals)


class SebulbaRun:
    """A run whose parts are threads.

    experiment: what is run, with the number of its updates.
    counter: its counts, of what was learned from, and newest reports.
    """

    def __init__(
        self,
        experiment: ExperimentConfig,
        environment_spec: EnvironmentSpec,
        workdir: Path,
        resume: bool = False,
    ):
        """Makes all parts; `start` starts them.

        Args:
          experiment: agent, environment and settings.
          environment_spec: of `check`.
          workdir: where logs and checkpoints go; it exists.
          resume: go on from the newest checkpoint, where there is one.
        """
        if experiment.builder.rollout is not None:
            updates = count_updates(experiment)
            experiment = experiment.with_builder(experiment.builder.for_updates(updates))
        self.experiment = experiment
        self.counter = Counter()
        self._spec = environment_spec
        self._config = experiment.sebulba
        self._actor_devices = actor_devices(self._config)
        self._exchange: Exchange[Mapping[jax.Device, PolicyParams], Rollout] = Exchange(
            len(self._actor_devices), self._config.staleness
        )
        self._networks = experiment.builder.make_networks(environment_spec)
        self._policy = experiment.builder.make_policy(self._networks, environment_spec)
        self._checkpointer = Checkpointer(
            workdir / "checkpoints", keep=experiment.run.keep_checkpoints
        )
        # What the learner has taken last.
        self._rollouts: Sequence[Rollout] = ()
        self._replay: InProcessReplay | None = None
        self._make_learner()
        if resume:
            self._restore()
        self._start_counts = self.counter.get_counts()
        self._make_actors()
        self._make_journal(workdir)
        self._next_save = time.monotonic() + experiment.run.checkpoint_seconds
        self._next_replay_save = time.monotonic() + experiment.run.replay_checkpoint_seconds
        self._saved_steps = self._learner.steps if self._start_counts else -1
        self._threads: list[threading.Thread] = []
        self._failures: list[BaseException] = []
        self._ended = threading.Event()

    def start(self) -> None:
        """Starts the threads."""
        self._publish(0)
        for index in range(len(self._collectors)):
            self._start_thread(f"actor {index}", functools.partial(self._act, index))
        self._start_thread("learner", self._learn)
        if self._config.staleness:
            self._start_thread("log", lambda: self._journal.keep_writing(self._ended))
            self._start_thread("evaluator", self._keep_evaluating)

    def wait(self, seconds: float) -> bool:
        """Waits until the run has ended, or a part of it has failed; says whether it has."""
        return self._ended.wait(seconds)

    def close(self) -> None:
        """Ends all threads, saves, and closes all files.

        Raises:
          BaseException: the first that a part raised; nothing is saved then.
        """
        self._end()
        deadline = time.monotonic() + _JOIN_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                _LOGGER.warning(f"{thread.name} did not end within {_JOIN_SECONDS:.0f} s")
        if not self._failures:
            self._save(with_replay=True)
            self._journal.write()
        self._checkpointer.close(_CLOSE_SECONDS)
        self._journal.close()
        self._evaluator.close()
        for environment in self._environments:
            environment.close()
        if self._failures:
            raise self._failures[0]

    def time_line(self) -> str | None:
        """Says where the time went."""
        acting = [collector.timings.shares() for collector in self._collectors]
        return time_line(acting, self._learner.time_shares())

    def _make_learner(self) -> None:
        experiment, spec = self.experiment, self._spec
        builder, run = experiment.builder, experiment.run
        if builder.rollout is None:
            streams = len(self._actor_devices) * run.envs_per_actor
            self._replay = builder.make_in_process_replay(
                spec, self._policy, streams, random_seed(run, {}, SeededPart.REPLAY)
            )
            dataset = builder.make_dataset_iterator(self._replay)
            self._adders = [
                builder.make_adder(self._replay, spec, self._policy) for _ in range(streams)
            ]
        else:
            dataset = self._batches()
        self._learner = builder.make_learner(
            jax.random.PRNGKey(run.seed),
            self._networks,
            dataset,
            None,
            spec,
            replay_client=self._replay,
            counter=self.counter,
        )
        self._learner.use_devices(learner_devices(self._config))
        self._learner.max_skipped_updates = run.max_skipped_updates

    def _restore(self) -> None:
        state = self._learner.save()
        restored = None if self._replay is None else self._checkpointer.restore_run(state)
        if restored is not None:
            state, parts, metadata = restored
            self._replay_restore(parts)
        elif self._checkpointer.latest_step() is not None:
            state, metadata = self._checkpointer.restore(state)
        else:
            return
        self._learner.restore(state)
        self.counter.set_counts(**metadata["counts"])

    def _replay_restore(self, parts: Mapping[str, np.ndarray]) -> None:
        assert self._replay is not None
        self._replay.restore(unpack(parts, "replay"))
        self._learner.restore_unsent(unpack(parts, "learner"))
        for adder in self._adders:
            adder.reset()

    def _make_actors(self) -> None:
        experiment, run = self.experiment, self.experiment.run
        make_collector = make_collector_factory(
            experiment.builder, self._spec, self._policy, self._config.round_steps
        )
        self._environments: list[VectorEnvironment] = []
        self._collectors: list[Collector] = []
        for index, device in enumerate(self._actor_devices):
            seed = random_seed(run, self._start_counts, SeededPart.ENVIRONMENT, index)
            environment = experiment.environment_factory(seed, run.envs_per_actor, False)
            key = random_seed(run, self._start_counts, SeededPart.ACTOR, index)
            with jax.default_device(device):
                collector = make_collector(environment, jax.random.PRNGKey(key))
            self._environments.append(environment)
            self._collectors.append(collector)

    def _make_journal(self, workdir: Path) -> None:
        run = self.experiment.run
        self._snapshot = _Snapshot(self._learner.device_variables())
        self._variables = VariableClient(self._snapshot, period_updates=0)
        self._evaluator = Evaluator(
            self.experiment,
            self._spec,
            self._variables,
            random_seed(run, self._start_counts, SeededPart.EVALUATOR),
            workdir,
            self._checkpointer,
            self.counter,
        )
        self._evaluation_due, self._evaluator_idle = threading.Event(), threading.Event()
        self._evaluator_idle.set()
        network_timer = make_network_timer(
            self.experiment, self._spec, self._variables, run.envs_per_actor
        )
        self._journal = RunLogger(
            workdir, run.log_seconds, self.counter, self._collectors, self._learner, network_timer
        )

    def _act(self, index: int) -> None:
        device, collector = self._actor_devices[index], self._collectors[index]
        with jax.default_device(device):
            for round_index in itertools.count():
                collector.timings.start()
                params = self._exchange.parameters(round_index)[device]
                jax.block_until_ready(params)
                collector.timings.lap("waiting")
                rollout = collector.collect(params)
                if self._replay is None:
                    rows = jax.device_put(rollout.rows, self._learner.batch_sharding)
                    rollout = rollout._replace(rows=rows)
                if round_index == 0:
                    # Which was compiled for.
                    collector.timings.seconds.clear()
                    collector.timings.laps.clear()
                self._exchange.put(round_index, index, rollout)

    def _learn(self) -> None:
        run = self.experiment.run
        for round_index in itertools.count():
            before = self.counter.get_counts().get("learner_steps", 0)
            metrics = self._learn_round(round_index)
            self._publish(round_index + 1)
            steps = sum(rollout.steps for rollout in self._rollouts)
            counts = self.counter.increment(
                actor_steps=steps,
                environment_frames=sum(rollout.frames for rollout in self._rollouts),
                episodes=sum(len(rollout.episodes) for rollout in self._rollouts),
            )
            staleness = before - np.mean([rollout.learner_steps for rollout in self._rollouts])
            self._journal.add(counts, self._rollouts, metrics, float(staleness))
            self._journal.report(self._replay, self._exchange.waiting)
            reached = self._follow(counts, steps)
            if reached or counts["actor_steps"] >= run.max_actor_steps:
                self._wait_for_evaluation()
                return self._end()

    def _learn_round(self, round_index: int) -> Mapping[str, Any]:
        """Learns from what was done in a round; returns the metrics of the last update."""
        if self._replay is None:
            return self._learner.step()
        self._rollouts = self._exchange.take(round_index)
        tapes = [tape for rollout in self._rollouts for tape in rollout.rows]
        for tape, adder in zip(tapes, self._adders, strict=True):
            tape.play(adder)
        metrics: Mapping[str, Any] = {}
        while self._replay.can_sample() and not self._ended.is_set():
            metrics = self._learner.step()
        return metrics

    def _batches(self) -> Iterator[Sample]:
        """Waits for the rollouts of each round, and puts them side by side."""
        join = jax.jit(_join_rollouts, static_argnames="num_devices")
        num_devices = len(self._config.learner_devices)
        for round_index in itertools.count():
            self._rollouts = self._exchange.take(round_index)
            rows = join([rollout.rows for rollout in self._rollouts], num_devices=num_devices)
            rows = jax.device_put(rows, self._learner.batch_sharding)
            batch_size = rows.mask.shape[0]
            probabilities = np.full(batch_size, 1.0 / batch_size, np.float32)
            yield Sample((), probabilities, rows)

    def _publish(self, rounds: int) -> None:
        """Copies the newest parameters to the devices that act; nobody waits for that here."""
        params = self._learner.device_variables()
        devices = dict.fromkeys(self._actor_devices)
        self._exchange.publish(
            rounds, {device: jax.device_put(params, device) for device in devices}
        )

    def _follow(self, counts: Mapping[str, int], steps: int) -> bool:
        """Does what is due after a round; says whether the target return was reached."""
        run, reached = self.experiment.run, False
        in_turn = not self._config.staleness
        if in_turn and period_reached(run.log_period, counts["actor_steps"], steps):
            self._journal.write()
        if period_reached(run.evaluation_period, counts["actor_steps"], steps):
            self._snapshot.set(self._learner.device_variables(), counts)
            if in_turn:
                reached = self._evaluate()
            else:
                self._evaluation_due.set()
        due = period_reached(run.checkpoint_period, counts["actor_steps"], steps)
        if due or time.monotonic() >= self._next_save:
            self._save(with_replay=time.monotonic() >= self._next_replay_save)
        return reached

    def _keep_evaluating(self) -> None:
        """Evaluates the newest parameters for which an evaluation was due."""
        with jax.default_device(self._actor_devices[0]):
            while not self._ended.is_set():
                if not self._evaluation_due.wait(_POLL_SECONDS):
                    continue
                self._evaluator_idle.clear()
                self._evaluation_due.clear()
                if self._evaluate():
                    self._end()
                self._evaluator_idle.set()

    def _wait_for_evaluation(self) -> None:
        """Lets an evaluation that is due or under way end, unless the run is stopped."""
        while self._evaluation_due.is_set() or not self._evaluator_idle.is_set():
            if self._ended.wait(_POLL_SECONDS):
                return

    def _evaluate(self) -> bool:
        self._variables.update(wait=True)
        return self._evaluator.evaluate(self._snapshot.counts, self._ended.is_set)

    def _save(self, with_replay: bool) -> None:
        """Starts to write a checkpoint, unless this learner step has one."""
        run, counts = self.experiment.run, self.counter.get_counts()
        self._next_save = time.monotonic() + run.checkpoint_seconds
        state = self._learner.save()
        steps = int(state.steps)
        if steps != self._saved_steps:
            self._checkpointer.save(steps, state, {"counts": counts})
            self._saved_steps = steps
        if self._replay is None:
            return
        if not self._saves_replay():
            self._checkpointer.remove_runs()
        elif with_replay:
            self._next_replay_save = time.monotonic() + run.replay_checkpoint_seconds
            parts = pack(replay=self._replay.state_dict(), learner=self._learner.save_unsent())
            metadata = {"counts": counts, "start_counts": dict(self._start_counts)}
            self._checkpointer.save_run(counts.get("actor_steps", 0), state, parts, metadata)

    def _saves_replay(self) -> bool:
        assert self._replay is not None
        builder, streams = self.experiment.builder, len(self._adders)
        size = bytes_required(builder.replay, self._replay.row_spec, streams)
        return saves_replay(self.experiment, size)

    def _start_thread(self, name: str, work: Callable[[], None]) -> None:
        def run() -> None:
            try:
                work()
            except ClosedError:
                pass
            except BaseException as error:  # raised by `close`, whatever it is
                self._failures.append(error)
                self._end()

        thread = threading.Thread(target=run, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _end(self) -> None:
        self._ended.set()
        self._exchange.close()


class _Snapshot:
    """A `VariableSource` of parameters as they were at some time; they stay on their devices.

    counts: of that time.
    """

    def __init__(self, params: PolicyParams):
        self._newest: tuple[PolicyParams, Mapping[str, int]] = (params, {})
        self.counts: Mapping[str, int] = {}

    def set(self, params: PolicyParams, counts: Mapping[str, int]) -> None:
        """Takes newer ones."""
        self._newest = (params, counts)

    def get_variables(self, names: Sequence[str]) -> list[PolicyParams]:
        """Returns the newest as NumPy arrays, and sets `counts` to theirs."""
        params, self.counts = self._newest
        network = jax.tree.map(np.asarray, params.network)
        return [PolicyParams(network, np.int32(params.learner_steps)) for _ in names]


def _join_rollouts(rollouts: Sequence[Row], num_devices: int) -> Row:
    """Puts rollouts `[B, ...]` side by side, so that each device joins what it has already."""

    def join(*arrays: jax.Array) -> jax.Array:
        shape = arrays[0].shape[1:]
        parts = [array.reshape(num_devices, -1, *shape) for array in arrays]
        return jnp.concatenate(parts, axis=1).reshape(-1, *shape)

    return jax.tree.map(join, *rollouts)
