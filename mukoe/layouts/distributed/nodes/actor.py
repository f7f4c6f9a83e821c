"""Node that steps environments and records their steps."""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

from mukoe.acting.inference import RemoteRunner, ServerConnection, SplitRunner
from mukoe.acting.loop import DoubleBufferedLoop, EnvironmentLoop, Loop
from mukoe.acting.runners import LocalRunner, PolicyRunner
from mukoe.acting.variables import VariableClient, VariableSource
from mukoe.layouts.common.actor_log import ActorLog, make_network_timer
from mukoe.layouts.common.cadence import Timer
from mukoe.layouts.common.counting import BufferedCounter, Counter, FaultTolerantCounterClient
from mukoe.layouts.common.reporting import acting_report
from mukoe.layouts.common.seeds import SeededPart
from mukoe.layouts.distributed.nodes.context import NodeContext
from mukoe.layouts.distributed.nodes.double_buffering import group_sizes
from mukoe.layouts.distributed.nodes.retry import call_until_available, fetch_parameters
from mukoe.layouts.distributed.nodes.runtime import ReplayService
from mukoe.observability.loggers.factory import make_logger
from mukoe.observability.timings import Timings
from mukoe.types import Policy


class ActorNode:
    """Steps environments and records their steps."""

    def __init__(
        self,
        context: NodeContext,
        replay: ReplayService,
        counter: Counter,
        learner: VariableSource,
        servers: Sequence[Any],
        split: bool,
        index: int,
    ):
        """Stores the peers; `run` makes environments and policy.

        Args:
          context: description of the run.
          replay: connection to the replay service, which receives the rows.
          counter: remote `Counter` of the run.
          learner: source of the parameters, for an actor that runs the policy itself.
          servers: clients of inference servers in order of preference; empty to act locally.
          split: True to search in this node, from search roots of the servers.
          index: index of the actor.
        """
        self._context = context
        self._stop = context.runtime.stop_event
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
        with (
            self._context.runtime.reporting_failures(self._label),
            contextlib.ExitStack() as environments,
        ):
            loop = self._make_loop(environments)
            if loop is not None:
                self._act(loop)

    def _make_loop(self, environments: contextlib.ExitStack) -> Loop | None:
        """Makes the loop over all environments; None if the program stops first.

        Args:
          environments: stack that closes the environments.
        """
        experiment = self._context.experiment
        policy = self._context.make_policy()
        timings = Timings()
        sizes = group_sizes(experiment, served=bool(self._servers))
        variables = None
        if not self._servers:
            variables = self._fetch_variables(sizes[0])
            if variables is None:
                return None
        loops = []
        for group, num_envs in enumerate(sizes):
            environment = experiment.environment_factory(
                self._context.random_seed(SeededPart.ENVIRONMENT, self._index, group),
                num_envs,
                False,
            )
            environments.callback(environment.close)
            runner = self._make_runner(group, num_envs, policy, variables, timings)
            if runner is None:
                return None
            replay = self._context.connect_replay(self._replay, policy)
            adders = [replay.make_adder(self._stop.is_set) for _ in range(num_envs)]
            actor = experiment.builder.make_actor(policy, runner, adders)
            loops.append(EnvironmentLoop(environment, actor, timings))
        return loops[0] if len(loops) == 1 else DoubleBufferedLoop(loops)

    def _fetch_variables(self, batch_size: int) -> VariableClient | None:
        """Makes the client of the parameters; None if the program stops before the first fetch."""
        context = self._context
        variables = VariableClient(
            self._learner,
            asynchronous=True,
            period_seconds=context.experiment.distributed.variable_seconds,
        )
        if not fetch_parameters(variables, context.runtime, self._stop):
            return None
        self._network_seconds = make_network_timer(
            context.experiment, context.environment_spec, variables, batch_size
        )
        return variables

    def _make_runner(
        self,
        group: int,
        num_envs: int,
        policy: Policy,
        variables: VariableClient | None,
        timings: Timings,
    ) -> PolicyRunner | None:
        """Makes the runner of the policy; None if the program stops before a server is ready."""
        context = self._context
        key = context.random_key(SeededPart.ACTOR, self._index, group)
        if variables is not None:
            return LocalRunner(policy, variables, key, num_envs)
        connection = ServerConnection(
            self._servers,
            f"{self._label}/{group}",
            num_envs,
            context.experiment.distributed.server,
            self._stop.is_set,
            timings,
        )
        if not call_until_available(connection.open, context.runtime, self._stop):
            return None
        if self._split:
            return SplitRunner(connection, policy, key, num_envs)
        return RemoteRunner(connection)

    def _act(self, loop: Loop) -> None:
        counter = BufferedCounter(self._counter)
        run = self._context.experiment.run
        logger = make_logger(self._context.workdir, self._label, "actor_steps", loggers=run.loggers)
        log = ActorLog(logger, self._network_seconds)
        next_row = Timer(run.log_seconds)
        while not self._stop.is_set():
            before = loop.progress
            episodes = loop.step()
            counts = counter.increment(
                actor_steps=loop.progress.steps - before.steps,
                environment_frames=loop.progress.frames - before.frames,
                episodes=len(episodes),
            )
            log.add(episodes)
            if next_row.due:
                self._counter.report(**log.write(loop, counts))
                next_row.restart()
        self._counter.report(**{acting_report(self._index): log.time_shares(loop)})
        counter.flush()
        log.close()
