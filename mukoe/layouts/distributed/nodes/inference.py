"""Node that runs an inference server."""

import contextlib
import threading
from collections.abc import Sequence
from concurrent import futures

import numpy as np

from mukoe.acting.inference import Answer, InferenceServer
from mukoe.acting.inference.reanalysis import Renewed, ServedReanalysis
from mukoe.acting.variables import VariableClient, VariableSource
from mukoe.errors import UserError
from mukoe.layouts.common.counting import Counter, FaultTolerantCounterClient
from mukoe.layouts.common.seeds import SeededPart
from mukoe.layouts.distributed.nodes.context import NodeContext
from mukoe.layouts.distributed.nodes.double_buffering import group_sizes
from mukoe.layouts.distributed.nodes.retry import fetch_parameters
from mukoe.observability.loggers.factory import make_logger
from mukoe.observability.prometheus import ALL_INTERFACES, LOOPBACK, Exporter
from mukoe.types import PolicyParams


class InferenceNode:
    """Runs an inference server, its log and its metrics endpoint."""

    def __init__(
        self,
        context: NodeContext,
        counter: Counter,
        learner: VariableSource,
        index: int,
        split: bool,
    ):
        """Makes a server with room for all actors, since any of them may fail over to it.

        Args:
          context: description of the run.
          counter: remote `Counter` of the run.
          learner: source of the parameters.
          index: index of the server.
          split: True to respond with search roots, for actors that run the search themselves.
        """
        run, distributed = context.experiment.run, context.experiment.distributed
        self._context = context
        self._counter = FaultTolerantCounterClient(counter)
        self._stop = context.runtime.stop_event
        self._variables = VariableClient(
            learner, asynchronous=True, period_seconds=distributed.variable_seconds
        )
        self._index = index
        self._label = f"inference_{index}"
        self._server = InferenceServer(
            context.make_policy(),
            context.environment_spec.observations,
            self._variables,
            context.random_key(SeededPart.INFERENCE, index),
            distributed.server,
            max_environments=distributed.num_actors * run.envs_per_actor,
            smallest_batch=min(group_sizes(context.experiment, served=True)),
            split=split,
        )
        self._reanalysis: ServedReanalysis | None = None
        if distributed.reanalysis == "server" and distributed.num_reanalysers:
            self._reanalysis = ServedReanalysis(
                context.make_reanalysis(index),
                context.zero_reanalyser_sample(),
                self._server.newest_params,
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

    def submit(
        self,
        name: str,
        leaves: Sequence[np.ndarray],
        is_first: np.ndarray,
        previous_action: np.ndarray | None = None,
    ) -> "futures.Future[Answer]":
        """See `InferenceServer.submit`."""
        return self._server.submit(name, leaves, is_first, previous_action)

    def get_parameters(self, learner_steps: int) -> PolicyParams:
        """See `InferenceServer.get_parameters`."""
        return self._server.get_parameters(learner_steps)

    def reanalyse(self, leaves: Sequence[np.ndarray], probabilities: np.ndarray) -> Renewed | None:
        """See `ServedReanalysis.search`."""
        if self._reanalysis is None:
            raise UserError(f"{self._label} serves no reanalysis: distributed.reanalysis is local")
        return self._reanalysis.search(leaves, probabilities)

    def run(self) -> None:
        """Serves until the program stops."""
        runtime = self._context.runtime
        with runtime.reporting_failures(self._label):
            if fetch_parameters(self._variables, runtime, self._stop):
                threading.Thread(target=self._log, daemon=True).start()
                if self._reanalysis is not None:
                    # Made here, since the runtime serves the thread of the node alone.
                    reporting = runtime.reporting_failures(self._label)
                    arguments = (self._reanalysis, reporting)
                    threading.Thread(
                        target=self._compile_reanalysis, args=arguments, daemon=True
                    ).start()
                with self._exporter():
                    self._server.run(self._stop.is_set)

    def _compile_reanalysis(
        self, reanalysis: ServedReanalysis, reporting: contextlib.AbstractContextManager[None]
    ) -> None:
        with reporting:
            reanalysis.compile(self._stop)

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
                ALL_INTERFACES if self._context.runtime.is_alone else LOOPBACK,
            )
        )

    def _log(self) -> None:
        run = self._context.experiment.run
        logger = make_logger(
            self._context.workdir, self._label, "learner_steps", loggers=run.loggers
        )
        while not self._stop.wait(run.log_seconds):
            steps = self._counter.get_counts().get("actor_steps", 0)
            logger.write({"actor_steps": steps, **self._server.metrics()})
        logger.close()
