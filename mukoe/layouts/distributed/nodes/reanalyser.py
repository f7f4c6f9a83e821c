"""Node that searches stored sequences again, with the newest parameters."""

import itertools
import threading

import jax
import numpy as np

from mukoe.acting.variables import VariableClient, VariableSource
from mukoe.agents.extensions import Reanalyses
from mukoe.layouts.common.cadence import Timer
from mukoe.layouts.common.seeds import SeededPart
from mukoe.layouts.distributed.nodes.context import NodeContext
from mukoe.layouts.distributed.nodes.retry import fetch_parameters
from mukoe.layouts.distributed.nodes.runtime import ReplayService
from mukoe.observability.loggers.factory import make_logger
from mukoe.observability.timings import Timings, time_columns
from mukoe.replay.handle import ClosableDataset, SharedReplay

# Sequences of one search.
_BATCH_SIZE = 16


class ReanalyserNode:
    """Samples sequences, searches them on this node's CPU, and writes them for the learner."""

    def __init__(
        self, context: NodeContext, replay: ReplayService, learner: VariableSource, index: int
    ):
        """Stores the peers; `run` makes the search.

        Args:
          context: description of the run.
          replay: connection to the replay service.
          learner: source of the parameters.
          index: index of the reanalyser.
        """
        self._context = context
        self._stop = context.runtime.stop_event
        self._replay = replay
        self._learner = learner
        self._index = index
        self._label = f"reanalyser_{index}"

    def run(self) -> None:
        """Reanalyses until the program stops."""
        context = self._context
        with context.runtime.reporting_failures(self._label):
            variables = VariableClient(
                self._learner,
                asynchronous=True,
                period_seconds=context.experiment.distributed.variable_seconds,
            )
            if fetch_parameters(variables, context.runtime, self._stop):
                replay = context.connect_replay(self._replay, context.make_policy())
                self._reanalyse(variables, replay)

    def _reanalyse(self, variables: VariableClient, replay: SharedReplay) -> None:
        context = self._context
        builder, run = context.experiment.builder, context.experiment.run
        assert isinstance(builder, Reanalyses)
        networks = builder.make_networks(context.environment_spec)
        renew = jax.jit(builder.make_renew(networks, context.environment_spec))
        key = context.random_key(SeededPart.REANALYSIS, self._index)
        samples = replay.make_reanalyser_dataset(_BATCH_SIZE)
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
            variables.update()
            params = variables.params
            placed = sample._replace(keys=(), learner_steps=params.learner_steps)
            renewed, metrics = renew(params, jax.random.fold_in(key, step), placed)
            rows = jax.tree.map(np.asarray, renewed.rows)
            timings.lap("search")
            writer.write(sample._replace(rows=rows))
            timings.lap("waiting")
            if next_row.due:
                reanalysed = _BATCH_SIZE * (step + 1)
                counts = {"learner_steps": int(params.learner_steps), "sequences": reanalysed}
                logger.write({**counts, **metrics, **time_columns(timings.shares())})
                next_row.restart()
        writer.close()
        logger.close()

    def _close_at_stop(self, samples: ClosableDataset) -> None:
        self._stop.wait()
        samples.close()
