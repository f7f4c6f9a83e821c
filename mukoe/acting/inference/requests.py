"""What is asked, what is answered, and what a well-formed request looks like."""

import dataclasses
import time
from collections.abc import Sequence
from concurrent import futures
from typing import Any, NamedTuple

import jax
import numpy as np
from dm_env import specs

from mukoe.acting.inference.sessions import Session
from mukoe.errors import UserError
from mukoe.types import Nest


class Answer(NamedTuple):
    """What a request gets, all from one version of the parameters.

    result: `(actions [B] int32, extras [B, ...])`; of a split policy the root `[B, ...]`.
    learner_steps: the updates that made the parameters.
    server_seconds: between the request's arrival and its answer.
    """

    result: Nest
    learner_steps: int
    server_seconds: float = 0.0


def _new_answer() -> "futures.Future[Answer]":
    answer: futures.Future[Answer] = futures.Future()
    # Whoever waits cannot cancel it: the server sets every answer.
    answer.set_running_or_notify_cancel()
    return answer


@dataclasses.dataclass
class Request:
    """A checked request that waits for its batch.

    session: that asks, with `B` environments.
    leaves: the flat inputs, arrays `[B, ...]`.
    is_first: `[B]` bool, where the memory is blank.
    arrived: when, by `time.monotonic`.
    answer: is set by the server, to an error in the end.
    """

    session: Session
    leaves: Sequence[np.ndarray]
    is_first: np.ndarray
    arrived: float = dataclasses.field(default_factory=time.monotonic)
    answer: "futures.Future[Answer]" = dataclasses.field(default_factory=_new_answer)

    @property
    def size(self) -> int:
        """Environments that ask."""
        return len(self.session.slots)

    def fail(self, reason: str) -> None:
        """Answers with a TimeoutError."""
        if not self.answer.done():
            self.answer.set_exception(TimeoutError(reason))


class InputCheck:
    """Says what is wrong with a request, before it can harm the batch that it would be in."""

    def __init__(self, observation_spec: Nest, split: bool):
        """Expects the observations of a spec; of a split policy the previous actions too."""
        self._observation: list[specs.Array] = jax.tree.leaves(observation_spec)
        self._split = split

    def __call__(
        self,
        name: str,
        num_envs: int,
        leaves: Sequence[np.ndarray],
        is_first: np.ndarray,
        previous_action: np.ndarray | None,
    ) -> list[np.ndarray]:
        """Returns the flat inputs of a request of `num_envs` environments.

        Raises UserError, naming what was expected, where they are not well-formed.
        """
        if not isinstance(leaves, list | tuple):
            _compare(name, "an observation of", type(leaves).__name__, "a list")
        expected = [_array(num_envs, spec) for spec in self._observation]
        _compare(name, "an observation of", [_described(leaf) for leaf in leaves], expected)
        _compare(name, "is_first", _described(is_first), f"bool[{num_envs}]")
        actions = f"int32[{num_envs}]" if self._split else None
        got = None if previous_action is None else _described(previous_action)
        _compare(name, "previous_action", got, actions)
        inputs = list(leaves)
        if previous_action is not None:
            inputs.append(previous_action)
        return inputs


def _array(num_envs: int, spec: specs.Array) -> str:
    return _signature((num_envs, *spec.shape), np.dtype(spec.dtype))


def _described(array: Any) -> str:
    if isinstance(array, np.ndarray | np.generic):
        return _signature(array.shape, array.dtype)
    return type(array).__name__


def _signature(shape: tuple[int, ...], dtype: np.dtype) -> str:
    return f"{dtype}[{','.join(map(str, shape))}]"


def _compare(name: str, what: str, got: Any, expected: Any) -> None:
    if got != expected:
        raise UserError(f"{name} sent {what} {got}, expected {expected}")
