"""Reanalysis of the stored rows by the learner, between its updates."""

from collections.abc import Mapping
from typing import Any

from mukoe.layouts.common.reanalysis import make_replay_reanalyser
from mukoe.layouts.distributed.nodes.context import NodeContext
from mukoe.learning.learner import Learner
from mukoe.observability.loggers.factory import make_logger


class ReplayRewriter:
    """Rewrites rows of a replay service after each update, with its log `reanalysis`."""

    def __init__(self, context: NodeContext, networks: Any, replay: Any, learner: Learner):
        """Makes the reanalyser, unless `agent.reanalyse.mode` is another one than 'replay'.

        Args:
          context: description of the run.
          networks: networks of the agent's builder.
          replay: handle of the replay; a `RewritableReplay` if the mode is 'replay'.
          learner: source of the parameters.
        """
        self._runtime = context.runtime
        self._reanalyser = make_replay_reanalyser(
            context.experiment, context.environment_spec, networks, replay, learner
        )
        if self._reanalyser is not None:
            run = context.experiment.run
            self._logger = make_logger(
                context.workdir,
                "reanalysis",
                "learner_steps",
                seconds=run.log_seconds,
                loggers=run.loggers,
            )

    def step(self, counts: Mapping[str, int]) -> None:
        """Rewrites the next rows; skips them while the replay is unavailable.

        Args:
          counts: counts of the run, for the log.
        """
        if self._reanalyser is None:
            return
        try:
            metrics = self._reanalyser.step()
        except Exception as error:  # the transport decides which errors may be skipped
            if not self._runtime.is_unavailable(error):
                raise
        else:
            self._logger.write({**counts, **metrics})
