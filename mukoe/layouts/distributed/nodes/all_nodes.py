"""What the processes of the program do.

Every node works until the program's stop event is set, and leaves then by itself. A node
that fails writes why to the workdir before it dies, so that the launcher can show it. A node
that was started again goes on with what is on the disk; while a peer is away, nodes wait for it
or do without it.
"""

import contextlib
import dataclasses
import functools
import json
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import launchpad as lp
import numpy as np
from launchpad import address as lp_address
from reverb.errors import DeadlineExceededError

from mukoe.acting.inference import (
    Answer,
    InferenceServer,
    RemoteRunner,
    ServerConnection,
    SplitRunner,
)
from mukoe.acting.loop import DoubleBufferedLoop, EnvironmentLoop, Loop
from mukoe.acting.runners import LocalRunner, PolicyRunner
from mukoe.acting.variables import VariableClient
from mukoe.errors import UserError
from mukoe.layouts.common.actor_log import ActorLog, make_network_timer
from mukoe.layouts.common.counting import BufferedCounter, Counter, FaultTolerantCounterClient
from mukoe.layouts.common.evaluator import Evaluator
from mukoe.layouts.common.experiment import ExperimentConfig
from mukoe.layouts.common.reporting import acting_report
from mukoe.layouts.common.seeds import SeededPart, random_seed
from mukoe.layouts.distributed.runtimes.launchpad.replay_server import (
    ReplaySaver,
    replay_folder,
    serve,
)
from mukoe.layouts.distributed.supervision import supervised
from mukoe.learning.checkpoint import Checkpointer
from mukoe.learning.non_finite import saving_bad_batches
from mukoe.observability.loggers.factory import make_logger
from mukoe.observability.prometheus import ALL_INTERFACES, LOOPBACK, Exporter
from mukoe.observability.timings import Timings
from mukoe.replay.declaration import row_spec
from mukoe.replay.reverb import ReverbReplay, make_tables
from mukoe.system import write_atomically
from mukoe.types import EnvironmentSpec, Policy, PolicyParams

_STOP_GRACE_SECONDS = 3.0
_REPORT_SECONDS = 1.0
_RETRY_SECONDS = 0.5
_COUNTS_FILE = "counts.json"
_LINGER_SECONDS = 4.0
_REPLAY_SAVE_SECONDS = 6.0


@dataclasses.dataclass(frozen=True)
class NodeContext:
    """What every node is told.

    experiment: the run.
    environment_spec: of one environment.
    workdir: where logs and checkpoints go.
    counts: the counts at the start; not zero for a resumed run.
    saves_replay: whether replay is saved beside the learner.
    """

    experiment: ExperimentConfig
    environment_spec: EnvironmentSpec
    workdir: Path
    counts: Mapping[str, int]
    saves_replay: bool = False

    @property
    def goes_on(self) -> bool:
        """Whether there may be something on the disk to go on from."""
        return bool(self.counts) or supervised.restarts() > 0

    def make_policy(self, evaluation: bool) -> Policy:
        """The agent's policy."""
        builder = self.experiment.builder
        networks = builder.make_networks(self.environment_spec)
        return builder.make_policy(networks, self.environment_spec, evaluation)

    def make_replay(self, client: Any, policy: Policy) -> ReverbReplay:
        """Makes the handle of replay, with the rows of a policy."""
        rows = row_spec(self.environment_spec, policy.extras_spec)
        return ReverbReplay(client, self.experiment.builder.replay, rows)

    def random_seed(self, part: SeededPart, *indices: int) -> int:
        """Returns the seed of a part of the run; it changes with each resume and restart."""
        restarts = supervised.restarts()
        return random_seed(self.experiment.run, self.counts, part, *indices, restarts=restarts)

    @contextlib.contextmanager
    def reporting_failures(self, label: str, stop: threading.Event) -> Iterator[None]:
        """Passes over errors that come from the program's end; writes others down."""
        supervised.start_heartbeat()
        supervised.show_label()
        try:
            yield
        except Exception as error:
            # A peer that stops first makes calls fail here.
            if stop.wait(_STOP_GRACE_SECONDS):
                return
            failure = {
                "node": label,
                "error": f"{type(error).__name__}: {error}",
                "is_user_error": isinstance(error, UserError),
                "traceback": traceback.format_exc(),
            }
            supervised.write_failure(self.workdir, label, failure)
            raise


def linger(is_done: Callable[[], bool] = lambda: False) -> None:
    """Goes on serving for a while after the stop, so that the others can end their work.

    A supervisor tells the serving nodes to stop when the others have ended.
    """
    if supervised.is_supervised():
        return
    end = time.monotonic() + _LINGER_SECONDS
    while time.monotonic() < end and not is_done():
        time.sleep(0.1)


class ReplayNode(lp.ReverbNode):
    """A Reverb server that outlives the stop, until the others have let go of it."""

    def __init__(self, context: NodeContext):
        super().__init__(functools.partial(_make_tables, context))
        self._context = context

    def run(self) -> None:
        stop = lp.stop_event()
        with self._context.reporting_failures("replay", stop):
            port = lp_address.get_port_from_address(self._address.resolve())
            folder = replay_folder(self._context.workdir) if self._context.saves_replay else None
            server = serve(self._priority_tables_fn, port, folder)
            stop.wait()
            linger()
            del server


def _make_tables(context: NodeContext) -> list:
    policy = context.make_policy(evaluation=False)
    rows = row_spec(context.environment_spec, policy.extras_spec)
    return make_tables(context.experiment.builder.replay, rows)


class CounterNode(Counter):
    """Keeps the counts, watches replay, and ends the program at the step limit."""

    def __init__(self, context: NodeContext, replay: Any):
        self._path = context.workdir / _COUNTS_FILE
        super().__init__(self._known_counts(context) if supervised.restarts() else context.counts)
        self._context = context
        self._replay = replay
        self._stop = lp.stop_event()
        self._storing = threading.Lock()

    def set_counts(self, **counts: int) -> None:
        """As `Counter.set_counts`; what is set outlives this process."""
        super().set_counts(**counts)
        self._store_counts()

    def run(self) -> None:
        """Polls until the program stops."""
        with self._context.reporting_failures("counter", self._stop):
            limit = self._context.experiment.run.max_actor_steps
            stopped = False
            while not self._stop.wait(0.5):
                self._store_counts()
                self._report_replay()
                if not stopped and self.get_counts().get("actor_steps", 0) >= limit:
                    lp.stop()
                    stopped = True
            linger(lambda: self.snapshot()[1].get("learner_ended", False))

    def _known_counts(self, context: NodeContext) -> dict[str, int]:
        """What a counter that has died has stored, and no less than what is saved.

        The learner may have saved while there was no counter that could be told.
        """
        counts = dict(context.counts)
        with contextlib.suppress(OSError, json.JSONDecodeError):
            counts = json.loads(self._path.read_text())
        saved = Checkpointer(context.workdir / "checkpoints").latest_step() or 0
        return counts | {"learner_steps": max(saved, counts.get("learner_steps", 0))}

    def _store_counts(self) -> None:
        with self._storing, contextlib.suppress(OSError):  # a full disk
            write_atomically(self._path, json.dumps(self.get_counts()))

    def _report_replay(self) -> None:
        with contextlib.suppress(RuntimeError, DeadlineExceededError):  # not up yet
            tables = self._replay.server_info(timeout=2)
            info = tables[self._context.experiment.builder.replay.table]
            inserted = info.rate_limiter_info.insert_stats.completed
            sampled = sum(t.rate_limiter_info.sample_stats.completed for t in tables.values())
            self.report(
                replay_size=info.current_size,
                samples_per_insert=sampled / inserted if inserted else 0.0,
            )


class LearnerNode:
    """Runs the learner, publishes its parameters, saves checkpoints."""

    def __init__(self, context: NodeContext, replay: Any, counter: Any):
        self._context = context
        self._run_config = context.experiment.run
        self._stop = lp.stop_event()
        self._counter = FaultTolerantCounterClient(counter)
        self._counts = BufferedCounter(counter)
        with context.reporting_failures("learner", self._stop):
            self._learner = self._make_learner(replay)
            self._learner.max_skipped_updates = self._run_config.max_skipped_updates
            self._checkpointer = Checkpointer(
                context.workdir / "checkpoints", keep=self._run_config.keep_checkpoints
            )
            self._saved_steps = self._restore()
        self._replay_saver = ReplaySaver(replay, context.workdir) if context.saves_replay else None
        self._next_replay_save = time.monotonic() + self._run_config.replay_checkpoint_seconds

    def get_variables(self, names: Sequence[str]) -> list[PolicyParams]:
        """Returns the newest parameters (`policy`)."""
        return self._learner.get_variables(names)

    def run(self) -> None:
        """Learns until the program stops, then saves."""
        with (
            self._context.reporting_failures("learner", self._stop),
            saving_bad_batches(self._context.workdir),
        ):
            threading.Thread(target=self._close_at_stop, daemon=True).start()
            self._go_back()
            self._save()
            self._learn()
            self._save()
            if self._replay_saver:
                self._replay_saver.start()
            self._checkpointer.close(_REPLAY_SAVE_SECONDS)
            if self._replay_saver:
                self._replay_saver.wait(_REPLAY_SAVE_SECONDS)
            self._counter.report(learner_ended=True)

    def _learn(self) -> None:
        next_report = time.monotonic()
        next_save = next_report + self._run_config.checkpoint_seconds
        while not self._stop.is_set():
            try:
                metrics = self._learner.step()
            except StopIteration:
                return
            if time.monotonic() >= next_report:
                self._resend_learner_steps()
                self._counter.report(
                    loss=float(metrics["loss"]), time_learning=self._learner.time_shares()
                )
                next_report = time.monotonic() + _REPORT_SECONDS
            if time.monotonic() >= next_save:
                self._save()
                next_save = time.monotonic() + self._run_config.checkpoint_seconds
                self._save_replay()

    def _restore(self) -> int:
        """Goes back to the newest checkpoint, where there is one; returns its learner steps."""
        if not self._context.goes_on or self._checkpointer.latest_step() is None:
            return -1
        state, metadata = self._checkpointer.restore(self._learner.save())
        self._learner.restore(state)
        self._counts.start_from(metadata["counts"])
        return self._learner.steps

    def _go_back(self) -> None:
        """Lets the counter go back with a learner that has died."""
        if supervised.restarts():
            steps = self._learner.steps
            _wait_for(lambda: self._counter.set_counts(learner_steps=steps), self._stop)

    def _resend_learner_steps(self) -> None:
        """Makes good what a counter that has died had heard last, before it stored it."""
        if self._counts.flush():
            self._counter.correct(learner_steps=self._learner.steps)

    def _save_replay(self) -> None:
        if self._replay_saver and time.monotonic() >= self._next_replay_save:
            self._replay_saver.start()
            period = self._run_config.replay_checkpoint_seconds
            self._next_replay_save = time.monotonic() + period

    def _make_learner(self, replay: Any) -> Any:
        run = self._run_config
        builder = self._context.experiment.builder
        spec = self._context.environment_spec
        logger = make_logger(
            self._context.workdir,
            "learner",
            "learner_steps",
            seconds=run.log_seconds,
            loggers=run.loggers,
        )
        handle = self._context.make_replay(replay, self._context.make_policy(evaluation=False))
        return builder.make_learner(
            jax.random.PRNGKey(run.seed),
            builder.make_networks(spec),
            handle.make_dataset(),
            spec,
            replay=handle,
            logger=logger,
            counter=self._counts,
            prefetch_size=self._context.experiment.distributed.prefetch_size,
        )

    def _close_at_stop(self) -> None:
        self._stop.wait()
        self._learner.close()

    def _save(self) -> None:
        steps = self._learner.steps
        if steps == self._saved_steps:
            return
        self._resend_learner_steps()
        counts = {**self._counts.known, "learner_steps": steps}
        self._checkpointer.save(steps, self._learner.save(), {"counts": counts})
        self._saved_steps = steps


class InferenceNode:
    """An inference server as a node."""

    def __init__(self, context: NodeContext, learner: Any, index: int, split: bool):
        """Makes a server with room for all actors, since any of them may come to it.

        Args:
          context: of the program.
          learner: where parameters come from.
          index: of the server.
          split: answer with the roots of searches that actors make.
        """
        run, distributed = context.experiment.run, context.experiment.distributed
        self._context = context
        self._stop = lp.stop_event()
        self._variables = VariableClient(
            learner, asynchronous=True, period_seconds=distributed.variable_seconds
        )
        self._index = index
        self._label = f"inference_{index}"
        self._server = InferenceServer(
            context.make_policy(evaluation=False),
            context.environment_spec.observations,
            self._variables,
            jax.random.PRNGKey(context.random_seed(SeededPart.INFERENCE, index)),
            distributed.server,
            max_environments=distributed.num_actors * run.envs_per_actor,
            smallest_batch=min(_parts(context.experiment, served=True)),
            split=split,
        )

    def wait_until_ready(self) -> bool:
        """See `InferenceServer.wait_until_ready`."""
        return self._server.wait_until_ready()

    def open_session(self, name: str, num_envs: int) -> None:
        """See `InferenceServer.open_session`."""
        self._server.open_session(name, num_envs)

    def act(
        self,
        name: str,
        leaves: Sequence[np.ndarray],
        is_first: np.ndarray,
        previous_action: np.ndarray | None = None,
    ) -> Answer:
        """See `InferenceServer.act`."""
        return self._server.act(name, leaves, is_first, previous_action)

    def get_parameters(self, learner_steps: int) -> PolicyParams:
        """See `InferenceServer.get_parameters`."""
        return self._server.get_parameters(learner_steps)

    def run(self) -> None:
        """Serves until the program stops."""
        with self._context.reporting_failures(self._label, self._stop):
            if _wait_for_parameters(self._variables, self._stop):
                threading.Thread(target=self._log, daemon=True).start()
                with self._exporter():
                    self._server.run(self._stop.is_set)

    def _exporter(self) -> contextlib.AbstractContextManager:
        port = self._context.experiment.distributed.prometheus_port
        if port is None:
            return contextlib.nullcontext()
        return contextlib.closing(
            Exporter(
                port + self._index,
                "mukoe_inference",
                self._server.exported_metrics,
                (("server", self._label),),
                # A container has a loopback interface of its own.
                ALL_INTERFACES if supervised.is_alone() else LOOPBACK,
            )
        )

    def _log(self) -> None:
        run = self._context.experiment.run
        logger = make_logger(
            self._context.workdir, self._label, "learner_steps", loggers=run.loggers
        )
        while not self._stop.wait(run.log_seconds):
            logger.write(self._server.metrics())
        logger.close()


class ActorNode:
    """Steps environments and records what happens."""

    def __init__(
        self,
        context: NodeContext,
        replay: Any,
        counter: Any,
        learner: Any,
        servers: Sequence[Any],
        split: bool,
        index: int,
    ):
        """Makes an actor.

        Args:
          context: of the program.
          replay: takes the rows.
          counter: counts the steps.
          learner: where parameters come from, for an actor that runs the policy itself.
          servers: clients of inference servers in order of preference; none to act locally.
          split: search here, from the roots that the servers give.
          index: of the actor.
        """
        self._context = context
        self._stop = lp.stop_event()
        self._replay = replay
        self._counter = FaultTolerantCounterClient(counter)
        self._learner = learner
        self._servers = servers
        self._split = split
        self._index = index
        self._label = f"actor_{index}"
        self._network_seconds: Callable[[], float] | None = None

    def run(self) -> None:
        """Acts until the program stops."""
        with self._context.reporting_failures(self._label, self._stop):
            loop = self._make_loop()
            if loop is not None:
                self._act(loop)

    def _make_loop(self) -> Loop | None:
        """Returns None where the program stops before there are parameters."""
        policy = self._context.make_policy(evaluation=False)
        timings = Timings()
        variables = None
        if not self._servers:
            variables = VariableClient(
                self._learner,
                asynchronous=True,
                period_seconds=self._context.experiment.distributed.variable_seconds,
            )
            if not _wait_for_parameters(variables, self._stop):
                return None
            self._network_seconds = make_network_timer(
                self._context.experiment,
                self._context.environment_spec,
                variables,
                _parts(self._context.experiment, served=False)[0],
            )
        loops = []
        for part, num_envs in enumerate(_parts(self._context.experiment, bool(self._servers))):
            loop = self._make_part(part, num_envs, policy, variables, timings)
            if loop is None:
                return None
            loops.append(loop)
        return loops[0] if len(loops) == 1 else DoubleBufferedLoop(loops)

    def _make_part(
        self,
        part: int,
        num_envs: int,
        policy: Policy,
        variables: VariableClient | None,
        timings: Timings,
    ) -> EnvironmentLoop | None:
        context = self._context
        key = jax.random.PRNGKey(context.random_seed(SeededPart.ACTOR, self._index, part))
        environment = context.experiment.environment_factory(
            context.random_seed(SeededPart.ENVIRONMENT, self._index, part), num_envs, False
        )
        if variables is not None:
            runner: PolicyRunner = LocalRunner(policy, variables, key, num_envs)
        else:
            connection = ServerConnection(
                self._servers,
                f"{self._label}/{part}",
                num_envs,
                context.experiment.distributed.server,
                self._stop.is_set,
                timings,
            )
            if not _wait_for(connection.open, self._stop):
                return None
            if self._split:
                runner = SplitRunner(connection, policy, key, num_envs)
            else:
                runner = RemoteRunner(connection)
        replay = context.make_replay(self._replay, policy)
        adders = [replay.make_adder(self._stop.is_set) for _ in range(num_envs)]
        actor = context.experiment.builder.make_actor(policy, runner, adders)
        return EnvironmentLoop(environment, actor, timings)

    def _act(self, loop: Loop) -> None:
        counter = BufferedCounter(self._counter)
        run = self._context.experiment.run
        logger = make_logger(self._context.workdir, self._label, "actor_steps", loggers=run.loggers)
        log = ActorLog(logger, self._network_seconds)
        period = run.log_seconds
        next_row = time.monotonic() + period
        while not self._stop.is_set():
            before = loop.progress
            episodes = loop.step()
            counts = counter.increment(
                actor_steps=loop.progress.steps - before.steps,
                environment_frames=loop.progress.frames - before.frames,
                episodes=len(episodes),
            )
            log.add(episodes)
            if time.monotonic() >= next_row:
                self._counter.report(**log.write(loop, counts))
                next_row = time.monotonic() + period
        self._counter.report(**{acting_report(self._index): log.time_shares(loop)})
        counter.flush()
        log.close()


class EvaluatorNode:
    """Runs the evaluator."""

    def __init__(self, context: NodeContext, counter: Any, learner: Any):
        self._context = context
        self._stop = lp.stop_event()
        self._counter = FaultTolerantCounterClient(counter)
        self._learner = learner

    def run(self) -> None:
        """Evaluates whenever enough steps have been made, until the program stops."""
        with self._context.reporting_failures("evaluator", self._stop):
            variables = VariableClient(self._learner, period_updates=0)
            if not _wait_for_parameters(variables, self._stop):
                return
            run = self._context.experiment.run
            checkpointer = Checkpointer(self._context.workdir / "checkpoints")
            evaluator = Evaluator(
                self._context.experiment,
                self._context.environment_spec,
                variables,
                self._context.random_seed(SeededPart.EVALUATOR),
                self._context.workdir,
                checkpointer,
                self._counter,
            )
            next_at = self._context.counts.get("actor_steps", 0) + run.evaluation_period
            if supervised.restarts():
                # What was due meanwhile is done now.
                next_at = 0
            while not self._stop.wait(1.0):
                counts = self._counter.get_counts()
                if not counts or counts.get("actor_steps", 0) < next_at:
                    continue
                next_at = counts.get("actor_steps", 0) + run.evaluation_period
                if not _wait_for_parameters(variables, self._stop):
                    break
                if evaluator.evaluate(counts, self._stop.is_set):
                    lp.stop()
            evaluator.close()
            checkpointer.close()


def _parts(experiment: ExperimentConfig, served: bool) -> list[int]:
    """Sizes of the parts of an actor's environments: two where they are stepped in turns."""
    num_envs = experiment.run.envs_per_actor
    buffered = experiment.distributed.double_buffering
    if num_envs > 1 and (served if buffered is None else buffered):
        return [num_envs - num_envs // 2, num_envs // 2]
    return [num_envs]


def _wait_for_parameters(variables: VariableClient, stop: threading.Event) -> bool:
    """Waits for the learner to be up; returns False where the program stops before."""
    return _wait_for(lambda: variables.update(wait=True), stop)


def _wait_for(call: Callable[[], None], stop: threading.Event) -> bool:
    """Makes a call until its peer is up; returns False where the program stops before."""
    while not stop.is_set():
        try:
            call()
            return True
        except Exception as error:  # the transport's errors have no common class
            hints = ("Deadline", "navailable", "ocket closed")
            if not isinstance(error, TimeoutError) and not any(h in str(error) for h in hints):
                raise
            stop.wait(_RETRY_SECONDS)
    return False
