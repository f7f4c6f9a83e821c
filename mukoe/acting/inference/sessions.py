"""Sessions: the slots of memory of each actor."""

import dataclasses
import threading
import time
from collections.abc import Sequence

import numpy as np

from mukoe.errors import UserError

_LIVELY_SECONDS = 1.0


@dataclasses.dataclass(eq=False)
class Session:
    """Session of an actor on a server.

    name: unique name of the session.
    worker: index of the device that serves it.
    slots: `[B]` int32, memory slots of its environments on that device.
    last_used: time when it was opened, sent a request or was answered, by `time.monotonic`.
    is_blank: True before the first request, so that its memory counts as empty.
    is_waiting: True while a request is pending.
    """

    name: str
    worker: int
    slots: np.ndarray
    last_used: float
    is_blank: bool = True
    is_waiting: bool = False


class Sessions:
    """Sessions of all actors; each gets slots on the device with the fewest environments."""

    def __init__(self, num_workers: int, slots_per_worker: int, idle_seconds: float):
        """Starts without sessions.

        Args:
          num_workers: number of devices.
          slots_per_worker: number of memory slots of a device, one per environment.
          idle_seconds: seconds without a request after which a session may lose its slots.
        """
        self._slots_per_worker = slots_per_worker
        self._idle_seconds = idle_seconds
        self._free = [list(range(slots_per_worker)) for _ in range(num_workers)]
        self._sessions: dict[str, Session] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._sessions)

    def open(self, name: str, num_envs: int) -> Sequence[Session]:
        """Opens a blank session and returns the sessions that it closed.

        A session of the same name is closed: its actor has restarted or returned. If there are
        too few slots, sessions that have been idle for too long are closed, the longest idle first.

        Args:
          name: unique name of the session.
          num_envs: number of environments.

        Raises:
          UserError: there are too few slots.
        """
        with self._lock:
            ended = [self._close(name)] if name in self._sessions else []
            while (worker := self._roomiest(num_envs)) is None:
                ended.append(self._close(self._idlest(name, num_envs)))
            slots = np.asarray(self._free[worker][:num_envs], np.int32)
            del self._free[worker][:num_envs]
            self._sessions[name] = Session(name, worker, slots, time.monotonic())
            return ended

    def get(self, name: str) -> Session:
        """Returns the session of a name.

        Raises:
          UserError: there is no such session.
        """
        session = self._sessions.get(name)
        if session is None:
            raise UserError(f"{name} has no session on this server, open_session comes first")
        return session

    def expected(self, worker: int) -> int:
        """Returns the number of environments that have recently sent a request or opened a session.

        Their next requests may follow soon. Sessions `actor/0` and `actor/1` belong to one actor,
        which steps the environments of one while the other waits.
        """
        lively = time.monotonic() - _LIVELY_SECONDS
        with self._lock:
            waiting = {_actor(s.name) for s in self._sessions.values() if s.is_waiting}
            return sum(
                len(session.slots)
                for session in self._sessions.values()
                if session.worker == worker
                and _actor(session.name) not in waiting
                and session.last_used > lively
            )

    def _close(self, name: str) -> Session:
        session = self._sessions.pop(name)
        self._free[session.worker] = sorted([*self._free[session.worker], *session.slots.tolist()])
        return session

    def _roomiest(self, num_envs: int) -> int | None:
        worker = max(range(len(self._free)), key=lambda index: len(self._free[index]))
        return worker if len(self._free[worker]) >= num_envs else None

    def _idlest(self, name: str, num_envs: int) -> str:
        idle = min(self._sessions.values(), key=lambda session: session.last_used, default=None)
        if idle is None or idle.last_used > time.monotonic() - self._idle_seconds:
            taken = sum(len(session.slots) for session in self._sessions.values())
            room = self._slots_per_worker * len(self._free)
            raise UserError(
                f"the inference server has room for {room} environments: "
                f"{taken} are taken, and {name} requires {num_envs}"
            )
        return idle.name


def _actor(session: str) -> str:
    return session.partition("/")[0]
