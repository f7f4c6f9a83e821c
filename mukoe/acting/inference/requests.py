"""Requests, answers, and the check of request inputs."""

import dataclasses
import time
from collections.abc import Sequence
from concurrent import futures
from typing import Any, NamedTuple, NoReturn

import jax
import numpy as np
from dm_env import specs

from mukoe.acting.inference.sessions import Session
from mukoe.errors import UserError
from mukoe.types import Nest


class Answer(NamedTuple):
    """Answer to a request, computed with one version of the parameters.

    result: `(actions [B] int32, extras [B, ...])`; for a split policy the root `[B, ...]`.
    learner_steps: learner step of the parameters.
    server_seconds: seconds between the request's arrival and its answer.
    """

    result: Nest
    learner_steps: int
    server_seconds: float = 0.0


def _new_answer() -> "futures.Future[Answer]":
    answer: futures.Future[Answer] = futures.Future()
    # A waiting caller cannot cancel it: the server sets every answer.
    answer.set_running_or_notify_cancel()
    return answer


@dataclasses.dataclass
class Request:
    """Checked request that waits for its batch.

    session: session of `B` environments.
    leaves: flat inputs, arrays `[B, ...]`.
    is_first: `[B]` bool, True for blank memory.
    arrived: time of arrival, by `time.monotonic`.
    answer: future of the answer; the server always sets it, if only to an error.
    """

    session: Session
    leaves: Sequence[np.ndarray]
    is_first: np.ndarray
    arrived: float = dataclasses.field(default_factory=time.monotonic)
    answer: "futures.Future[Answer]" = dataclasses.field(default_factory=_new_answer)

    @property
    def size(self) -> int:
        """Number of environments of the request."""
        return len(self.session.slots)

    def fail(self, reason: str) -> None:
        """Answers with a TimeoutError."""
        if not self.answer.done():
            self.answer.set_exception(TimeoutError(reason))


class InputCheck:
    """Check of request inputs, which rejects a malformed request before it enters a batch."""

    def __init__(self, observation_spec: Nest, action_spec: specs.Array | None):
        """Stores the expected inputs.

        Args:
          observation_spec: observation spec of one environment.
          action_spec: spec of the previous action of one environment; None to expect none.
        """
        self._observation: list[specs.Array] = jax.tree.leaves(observation_spec)
        self._action = action_spec

    def __call__(
        self,
        name: str,
        num_envs: int,
        leaves: Sequence[np.ndarray],
        is_first: np.ndarray,
        previous_action: np.ndarray | None,
    ) -> list[np.ndarray]:
        """Returns the flat inputs of a request of `num_envs` environments.

        Args:
          name: name of the session, for error messages.
          num_envs: number of environments `B`.
          leaves: flat observation, arrays `[B, ...]`.
          is_first: `[B]` bool.
          previous_action: `[B, ...]` of a split policy, otherwise None.

        Raises:
          UserError: the inputs are malformed; the message names the expected ones.
        """
        if not isinstance(leaves, list | tuple):
            _refuse(name, "an observation of", type(leaves).__name__, "a list")
        expected = [_Kind((num_envs, *spec.shape), spec.dtype) for spec in self._observation]
        got = [_kind(leaf) for leaf in leaves]
        if got != expected:
            _refuse(name, "an observation of", list(map(str, got)), list(map(str, expected)))
        first = _Kind((num_envs,), _BOOL)
        if _kind(is_first) != first:
            _refuse(name, "is_first", _kind(is_first), first)
        spec = self._action
        action = None if spec is None else _Kind((num_envs, *spec.shape), spec.dtype)
        if _kind(previous_action) != action:
            _refuse(name, "previous_action", _kind(previous_action), action)
        return [*leaves] if previous_action is None else [*leaves, previous_action]


_BOOL = np.dtype(bool)


class _Kind(NamedTuple):
    shape: tuple[int, ...]
    dtype: np.dtype

    def __str__(self) -> str:
        return f"{self.dtype}[{','.join(map(str, self.shape))}]"


def _kind(value: Any) -> _Kind | str | None:
    """Returns shape and dtype of an array, the name of another type, or None for None."""
    if isinstance(value, np.ndarray | np.generic):
        return _Kind(value.shape, value.dtype)
    return None if value is None else type(value).__name__


def _refuse(name: str, what: str, got: Any, expected: Any) -> NoReturn:
    raise UserError(f"{name} sent {what} {got}, expected {expected}")
