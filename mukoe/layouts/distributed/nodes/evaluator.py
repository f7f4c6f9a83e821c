"""Node that evaluates the newest parameters."""

import contextlib

from mukoe.acting.variables import VariableClient, VariableSource
from mukoe.layouts.common.checkpointing import open_checkpointer
from mukoe.layouts.common.counting import Counter, FaultTolerantCounterClient
from mukoe.layouts.common.evaluator import Evaluator
from mukoe.layouts.common.seeds import SeededPart
from mukoe.layouts.distributed.nodes.context import NodeContext
from mukoe.layouts.distributed.nodes.retry import fetch_parameters

_POLL_SECONDS = 1.0


class EvaluatorNode:
    """Evaluates the newest parameters every `run.evaluation_period` agent steps; never for 0."""

    def __init__(self, context: NodeContext, counter: Counter, learner: VariableSource):
        """Stores the peers; `run` makes the evaluator.

        Args:
          context: description of the run.
          counter: remote `Counter` of the run.
          learner: source of the parameters.
        """
        self._context = context
        self._stop = context.runtime.stop_event
        self._counter = FaultTolerantCounterClient(counter)
        self._learner = learner

    def run(self) -> None:
        """Evaluates when an evaluation is due, until the program stops."""
        context = self._context
        with context.runtime.reporting_failures("evaluator"):
            variables = VariableClient(self._learner, period_updates=0)
            if not fetch_parameters(variables, context.runtime, self._stop):
                return
            checkpointer = open_checkpointer(context.workdir)
            evaluator = Evaluator(
                context.experiment,
                context.environment_spec,
                variables,
                context.random_seed(SeededPart.EVALUATOR),
                context.workdir,
                checkpointer,
                self._counter,
            )
            with contextlib.closing(evaluator):
                self._evaluate_when_due(evaluator, variables)
            checkpointer.close()

    def _evaluate_when_due(self, evaluator: Evaluator, variables: VariableClient) -> None:
        context = self._context
        period = context.experiment.run.evaluation_period
        next_at = context.counts.get("actor_steps", 0) + period
        if context.runtime.restarts:
            next_at = 0  # an evaluation may have been due in the meantime
        while not self._stop.wait(_POLL_SECONDS):
            counts = self._counter.get_counts()
            if not period or not counts or counts.get("actor_steps", 0) < next_at:
                continue
            next_at = counts.get("actor_steps", 0) + period
            if not fetch_parameters(variables, context.runtime, self._stop):
                return
            if evaluator.evaluate(counts, self._stop.is_set):
                context.runtime.stop_program()
