"""Node that searches stored sequences again, with the newest parameters."""

import itertools
import threading
from collections.abc import Callable, Sequence
from typing import Any

from mukoe.acting.inference.reanalysis import RemoteReanalysis, Renewed
from mukoe.acting.variables import VariableClient, VariableSource
from mukoe.layouts.common.cadence import Timer
from mukoe.layouts.distributed.nodes.context import REANALYSER_BATCH_SIZE, NodeContext
from mukoe.layouts.distributed.nodes.retry import fetch_parameters
from mukoe.layouts.distributed.nodes.runtime import ReplayService
from mukoe.observability.loggers.factory import make_logger
from mukoe.observability.timings import Timings, time_columns
from mukoe.replay.handle import ClosableDataset, SharedReplay
from mukoe.types import Sample


class ReanalyserNode:
    """Samples sequences, has them searched, and writes them for the learner."""

    def __init__(
        self,
        context: NodeContext,
        replay: ReplayService,
        learner: VariableSource,
        index: int,
        servers: Sequence[Any] = (),
    ):
        """Stores the peers; `run` makes the search.

        Args:
          context: description of the run.
          replay: connection to the replay service.
          learner: source of the parameters, for a search on this node's CPU.
          index: index of the reanalyser.
          servers: clients of inference servers that search, in order of preference; empty to
            search on this node's CPU.
        """
        self._context = context
        self._stop = context.runtime.stop_event
        self._replay = replay
        self._learner = learner
        self._index = index
        self._servers = servers
        self._label = f"reanalyser_{index}"

    def run(self) -> None:
        """Reanalyses until the program stops."""
        context = self._context
        with context.runtime.reporting_failures(self._label):
            search = self._make_search()
            if search is not None:
                replay = context.connect_replay(self._replay, context.make_policy())
                self._reanalyse(search, replay)

    def _make_search(self) -> Callable[[Sample], Renewed] | None:
        """Makes the search of a sample; None if the program stops first."""
        context = self._context
        distributed = context.experiment.distributed
        if self._servers:
            remote = RemoteReanalysis(self._servers, distributed.server, self._stop.is_set)
            return remote.search
        variables = VariableClient(
            self._learner, asynchronous=True, period_seconds=distributed.variable_seconds
        )
        if not fetch_parameters(variables, context.runtime, self._stop):
            return None
        reanalysis = context.make_reanalysis(self._index)

        def search(sample: Sample) -> Renewed:
            variables.update()
            return reanalysis.search(variables.params, sample)

        return search

    def _reanalyse(self, search: Callable[[Sample], Renewed], replay: SharedReplay) -> None:
        context, run = self._context, self._context.experiment.run
        samples = replay.make_reanalyser_dataset(REANALYSER_BATCH_SIZE)
        threading.Thread(target=self._close_at_stop, args=(samples,), daemon=True).start()
        writer = replay.make_reanalysed_writer(self._stop.is_set)
        logger = make_logger(context.workdir, self._label, "learner_steps", loggers=run.loggers)
        timings, next_row = Timings(), Timer(run.log_seconds)
        for step in itertools.count():
            try:
                sample = next(samples)
            except StopIteration:
                break
            timings.lap("data")
            renewed = search(sample)
            timings.lap("search")
            writer.write(sample._replace(rows=sample.rows._replace(extras=renewed.extras)))
            timings.lap("waiting")
            if next_row.due:
                reanalysed = REANALYSER_BATCH_SIZE * (step + 1)
                counts = {"learner_steps": renewed.learner_steps, "sequences": reanalysed}
                logger.write({**counts, **renewed.metrics, **time_columns(timings.shares())})
                next_row.restart()
        writer.close()
        logger.close()

    def _close_at_stop(self, samples: ClosableDataset) -> None:
        self._stop.wait()
        samples.close()
