"""Node that trains together with the learner of another host."""

import threading

from mukoe.layouts.common.learner import make_learner
from mukoe.layouts.distributed.nodes.context import NodeContext
from mukoe.layouts.distributed.nodes.runtime import ReplayService
from mukoe.learning.non_finite import saving_bad_batches


class LearnerPeerNode:
    """Makes the updates of the `LearnerNode` on a part of each batch, and saves nothing."""

    def __init__(self, context: NodeContext, replay: ReplayService, index: int):
        """Makes the learner, with the state of the `LearnerNode`.

        Args:
          context: description of the run.
          replay: connection to the replay service.
          index: index of the node among the learners, at least 1.
        """
        self._context = context
        self._label = f"learner_{index}"
        self._stop = context.runtime.stop_event
        with context.runtime.reporting_failures(self._label):
            connected = context.connect_replay(replay, context.make_policy())
            self._learner = make_learner(
                context.experiment,
                context.environment_spec,
                context.experiment.builder.make_networks(context.environment_spec),
                connected.make_dataset(),
                replay=connected,
                counter=None,
                prefetch_size=context.experiment.distributed.prefetch_size,
            )
            self._learner.share_state()

    def run(self) -> None:
        """Trains until the program stops."""
        with (
            self._context.runtime.reporting_failures(self._label),
            saving_bad_batches(self._context.workdir, f"bad_batch_of_{self._label}.npz"),
        ):
            threading.Thread(target=self._close_at_stop, daemon=True).start()
            self._learner.compile(self._context.zero_sample())
            while True:
                try:
                    self._learner.step()
                except StopIteration:
                    return

    def _close_at_stop(self) -> None:
        self._stop.wait()
        self._learner.close()
