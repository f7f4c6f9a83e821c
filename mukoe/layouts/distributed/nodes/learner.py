"""Node that trains: it publishes parameters and writes checkpoints."""

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from mukoe.layouts.common.cadence import Timer
from mukoe.layouts.common.checkpointing import (
    RestoredRun,
    RunCheckpointer,
    open_checkpointer,
    restore_run,
)
from mukoe.layouts.common.counting import BufferedCounter, Counter, FaultTolerantCounterClient
from mukoe.layouts.common.learner import make_learner
from mukoe.layouts.distributed.nodes.context import NodeContext
from mukoe.layouts.distributed.nodes.replay_rewriter import ReplayRewriter
from mukoe.layouts.distributed.nodes.retry import call_until_available
from mukoe.layouts.distributed.nodes.runtime import ReplayService
from mukoe.learning.learner import Learner
from mukoe.learning.non_finite import saving_bad_batches
from mukoe.learning.update import LearnerState
from mukoe.observability.clipped_targets import shares_outside_bins
from mukoe.observability.loggers.factory import make_logger
from mukoe.replay.handle import SharedReplay
from mukoe.types import PolicyParams

_REPORT_SECONDS = 1.0
_SAVE_SECONDS = 6.0


class LearnerNode:
    """Runs the learner, publishes its parameters, saves checkpoints."""

    def __init__(self, context: NodeContext, replay: ReplayService, counter: Counter):
        """Makes the learner, and restores it if the run is resumed or the node restarted.

        Args:
          context: description of the run.
          replay: connection to the replay service.
          counter: remote `Counter` of the run.
        """
        self._context = context
        self._replay = replay
        self._stop = context.runtime.stop_event
        self._counter = FaultTolerantCounterClient(counter)
        self._counts = BufferedCounter(counter)
        settings = context.experiment.run
        with context.runtime.reporting_failures("learner"):
            networks = context.experiment.builder.make_networks(context.environment_spec)
            connected = context.connect_replay(replay, context.make_policy())
            self._learner = self._make_learner(networks, connected)
            self._rewriter = ReplayRewriter(context, networks, connected, self._learner)
            checkpointer = open_checkpointer(context.workdir, settings.keep_checkpoints)
            restored = RestoredRun()
            if context.resumes:
                restored = restore_run(checkpointer, self._learner)
                self._counts.start_from(restored.counts)
            self._learner.share_state()
            self._checkpoints = RunCheckpointer(
                checkpointer,
                settings,
                self._learner,
                self._counts_to_save,
                self._save_replay if context.saves_replay else None,
                restored=bool(restored.counts),
            )

    def get_variables(self, names: Sequence[str]) -> list[PolicyParams]:
        """Returns the newest parameters (`policy`)."""
        return self._learner.get_variables(names)

    def run(self) -> None:
        """Trains until the program stops, then saves."""
        with (
            self._context.runtime.reporting_failures("learner"),
            saving_bad_batches(self._context.workdir),
        ):
            threading.Thread(target=self._close_at_stop, daemon=True).start()
            self._reset_counter()
            self._checkpoints.save(with_run_state=False)
            # Actors compile their policy and fill the replay meanwhile.
            self._learner.compile(self._context.zero_sample())
            self._train()
            self._checkpoints.save()
            self._checkpoints.close(_SAVE_SECONDS)
            if self._context.saves_replay:
                self._replay.wait_for_save(_SAVE_SECONDS)
            self._counter.report(learner_ended=True)

    def _make_learner(self, networks: Any, replay: SharedReplay) -> Learner:
        context = self._context
        settings = context.experiment.run
        return make_learner(
            context.experiment,
            context.environment_spec,
            networks,
            replay.make_dataset(),
            replay=replay,
            counter=self._counts,
            logger=make_logger(
                context.workdir,
                "learner",
                "learner_steps",
                seconds=settings.log_seconds,
                loggers=settings.loggers,
            ),
            prefetch_size=context.experiment.distributed.prefetch_size,
        )

    def _train(self) -> None:
        report = Timer(0.0)
        # Learners of several processes end together, when `step` raises StopIteration in all.
        while self._learner.spans_processes or not self._stop.is_set():
            try:
                metrics = self._learner.step()
            except StopIteration:
                return
            self._rewriter.step({**self._counts.known, "learner_steps": self._learner.steps})
            if report.due:
                self._resend_learner_steps()
                self._counter.report(
                    loss=float(metrics["loss"]),
                    time_learning=self._learner.time_shares(),
                    **shares_outside_bins(metrics),
                )
                report = Timer(_REPORT_SECONDS)
            self._checkpoints.save_if_due()

    def _reset_counter(self) -> None:
        """Sets the counter to the learner steps of the checkpoint after a restart."""
        if self._context.runtime.restarts:
            steps = self._learner.steps
            call_until_available(
                lambda: self._counter.set_counts(learner_steps=steps),
                self._context.runtime,
                self._stop,
            )

    def _resend_learner_steps(self) -> None:
        """Re-sends the learner step count, which a restarted counter may have lost."""
        if self._counts.flush():
            self._counter.correct(learner_steps=self._learner.steps)

    def _counts_to_save(self) -> Mapping[str, int]:
        self._resend_learner_steps()
        return {**self._counts.known, "learner_steps": self._learner.steps}

    def _save_replay(self, state: LearnerState, counts: Mapping[str, int]) -> None:
        del state, counts  # the replay service writes a checkpoint of its own
        self._replay.start_save()

    def _close_at_stop(self) -> None:
        self._stop.wait()
        self._learner.close()
