"""Evaluation of snapshots of the parameters, while the learner continues."""

import threading
from collections.abc import Callable, Mapping, Sequence

import jax

from mukoe.acting.variables import VariableClient, put_on_device
from mukoe.layouts.common.evaluator import Evaluator
from mukoe.types import PolicyParams

_POLL_SECONDS = 0.1


class Snapshot:
    """Source of the parameters at some time of the run (see `VariableSource`).

    counts: counts of the run at the time of the parameters returned last.
    """

    def __init__(self, params: PolicyParams, device: jax.Device):
        """Takes the initial parameters.

        Args:
          params: parameters on any devices.
          device: device to which parameters are copied when they are fetched.
        """
        self._newest: tuple[PolicyParams, Mapping[str, int]] = (params, {})
        self._device = device
        self.counts: Mapping[str, int] = {}

    def set(self, params: PolicyParams, counts: Mapping[str, int]) -> None:
        """Replaces the parameters and their counts."""
        self._newest = (params, counts)

    def get_variables(self, names: Sequence[str]) -> list[PolicyParams]:
        """Returns the newest parameters, and sets `counts` to theirs."""
        params, self.counts = self._newest
        return [put_on_device(params, self._device) for _ in names]


class SnapshotEvaluator:
    """Evaluates the newest requested snapshot, in the caller's thread or in its own."""

    def __init__(
        self,
        evaluator: Evaluator,
        snapshot: Snapshot,
        variables: VariableClient,
        stopped: threading.Event,
    ):
        """Builds the evaluator; nothing is evaluated before the first request.

        Args:
          evaluator: evaluator of the parameters of `variables`.
          snapshot: source of the parameters.
          variables: client of `snapshot` that fetches only on demand.
          stopped: event that ends an evaluation without a result.
        """
        self._evaluator = evaluator
        self._snapshot = snapshot
        self._variables = variables
        self._stopped = stopped
        self._requested, self._idle = threading.Event(), threading.Event()
        self._idle.set()

    def evaluate(self, params: PolicyParams, counts: Mapping[str, int]) -> bool:
        """Evaluates parameters now, and returns whether the target return was reached."""
        self._snapshot.set(params, counts)
        return self._evaluate()

    def request(self, params: PolicyParams, counts: Mapping[str, int]) -> None:
        """Requests an evaluation from the thread in `run`; the newest request counts."""
        self._snapshot.set(params, counts)
        self._requested.set()

    def run(self, device: jax.Device, on_target: Callable[[], None]) -> None:
        """Evaluates requested parameters until the run stops.

        Args:
          device: device of the evaluation policy.
          on_target: called when the target return is reached.
        """
        with jax.default_device(device):
            while not self._stopped.is_set():
                if not self._requested.wait(_POLL_SECONDS):
                    continue
                self._idle.clear()
                self._requested.clear()
                if self._evaluate():
                    on_target()
                self._idle.set()

    def wait_until_idle(self) -> None:
        """Waits for requested evaluations, unless the run stops."""
        while self._requested.is_set() or not self._idle.is_set():
            if self._stopped.wait(_POLL_SECONDS):
                return

    def close(self) -> None:
        """Closes the evaluator's log and environments."""
        self._evaluator.close()

    def _evaluate(self) -> bool:
        self._variables.update(wait=True)
        return self._evaluator.evaluate(self._snapshot.counts, self._stopped.is_set)
