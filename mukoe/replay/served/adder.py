"""Adder to a replay that another process serves.

Rows are sent in groups. A row that is lost with its server, or with the connection, ends its
episode: the next row is the first one of another episode, so that no item has a gap.
"""

import time
import types
import uuid
from collections.abc import Callable, Mapping
from concurrent import futures
from typing import Any

import dm_env
import jax
import numpy as np

from mukoe.errors import UserError
from mukoe.replay.declaration import check_final_extras, conform, zero_row
from mukoe.replay.handle import never
from mukoe.replay.served.waiting import result_unless_stopped, retried
from mukoe.types import Nest, Row

# A group is sent with this number of rows, or when its first row is this old.
_GROUP_ROWS = 8
_GROUP_SECONDS = 0.1
# Rows by which the adder is ahead of the server, beside the group that is sent.
_MAX_ROWS = 16
# Groups that are lost one after the other, although the server is available.
_MAX_LOSSES = 20


class ServedAdder:
    """Adder of the steps of one environment, sliced into items by the server.

    If the replay is at its rate limit, or unavailable, `add` waits.
    """

    def __init__(
        self,
        server: Any,
        row_spec: Row,
        should_stop: Callable[[], bool] = never,
    ):
        """Opens the stream at the first step.

        Args:
          server: client of a `ReplayServer`, whose `futures.METHOD(...)` start calls.
          row_spec: specs of a row.
          should_stop: predicate that ends the wait for the replay.
        """
        self._server = server
        self._row_spec = row_spec
        self._specs = jax.tree.leaves(row_spec)
        self._padding = zero_row(row_spec)
        self._should_stop = should_stop
        self._stream: str | None = None
        self._observation: Nest = None
        self._is_first = True
        self._is_running = False
        # Rows to send, as (is first, leaves), and the group on its way.
        self._rows: list[tuple[bool, list[np.ndarray]]] = []
        self._sent: list[tuple[bool, list[np.ndarray]]] = []
        self._answer: futures.Future[int] | None = None
        self._send_at = 0.0
        self._losses = 0

    def add_first(self, timestep: dm_env.TimeStep) -> None:
        """Begins an episode with its first observation.

        Raises:
          ValueError: if it is not the first.
        """
        if not timestep.first():
            raise ValueError("add_first takes the first timestep of an episode")
        self._observation = timestep.observation
        self._is_first = self._is_running = True

    def add(
        self,
        action: np.ndarray,
        next_timestep: dm_env.TimeStep,
        extras: Mapping[str, Nest] = types.MappingProxyType({}),
        final_extras: Mapping[str, Nest] | None = None,
    ) -> None:
        """Adds an action and its result; ends the episode at the last timestep.

        Args:
          action: action `a_t`.
          next_timestep: timestep with the reward and discount of the action.
          extras: extras of the policy at `o_t`; those in `row_spec` are stored.
          final_extras: extras of the policy at the last observation of an episode.

        Raises:
          ValueError: before `add_first`, and for data that do not match the spec.
        """
        if not self._is_running:
            raise ValueError("add_first must be called before add")
        reward, discount = next_timestep.reward, next_timestep.discount
        self._append(Row(self._observation, action, reward, discount, 1.0, extras))
        self._observation = next_timestep.observation
        if next_timestep.last():
            check_final_extras(final_extras, float(discount), self._row_spec.extras)
            final = self._padding._replace(
                observation=self._observation, extras=final_extras or self._padding.extras
            )
            self._append(final)
            self._is_running = False
        self._send(wait=False)
        while len(self._rows) >= _MAX_ROWS and not self._should_stop():
            self._send(wait=True)

    def reset(self, timeout_ms: int | None = None) -> None:
        """Drops the rest of the running episode; its complete items stay."""
        del timeout_ms
        self._is_running = False

    def flush(self) -> None:
        """Waits until the server has all rows."""
        while (self._rows or self._sent) and not self._should_stop():
            self._send_at = 0.0
            self._send(wait=True)

    def _append(self, row: Row) -> None:
        if not self._rows:
            self._send_at = time.monotonic() + _GROUP_SECONDS
        extras = {name: row.extras[name] for name in self._row_spec.extras}
        leaves = jax.tree.leaves(row._replace(extras=extras))
        flat = [conform(spec, leaf) for spec, leaf in zip(self._specs, leaves, strict=True)]
        self._rows.append((self._is_first, flat))
        self._is_first = False

    def _send(self, wait: bool) -> None:
        """Sends the rows once the group before has arrived.

        Args:
          wait: True to wait until it has.
        """
        if self._answer is not None and (wait or self._answer.done()):
            self._receive(self._answer)
        if self._answer is not None or not (self._rows or self._sent):
            return
        if self._sent or len(self._rows) >= _GROUP_ROWS or time.monotonic() >= self._send_at:
            if not self._sent:
                self._sent, self._rows = self._rows, []
            self._start()

    def _receive(self, answer: "futures.Future[int]") -> None:
        """Removes the rows that the server has added; reopens the stream after an error."""
        try:
            added = result_unless_stopped(answer, self._should_stop)
        except UserError:
            raise
        except Exception:  # the transport's errors have no common class
            self._losses += 1
            if self._losses > _MAX_LOSSES:
                raise
            self._lose_rows()
        else:
            if added is None:
                return  # The program stops.
            self._sent, self._losses = self._sent[added:], 0
        self._answer = None

    def _lose_rows(self) -> None:
        self._sent, self._stream = [], None
        if self._rows:
            self._rows[0] = (True, self._rows[0][1])
        else:
            self._is_first = True

    def _start(self) -> None:
        if self._stream is None and not self._open():
            return
        firsts, rows = zip(*self._sent, strict=True)
        leaves = [np.stack(column) for column in zip(*rows, strict=True)]
        self._answer = self._server.futures.insert(self._stream, np.array(firsts), leaves)

    def _open(self) -> bool:
        """Opens a stream, and waits for a server that is unavailable; False if the program stops.

        Raises:
          Exception: the server has been unavailable for ten minutes.
        """
        name = uuid.uuid4().hex
        retried(lambda: self._server.futures.open_stream(name), self._should_stop)
        if self._should_stop():
            return False
        self._stream = name
        return True
