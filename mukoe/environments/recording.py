"""State of a vector environment: a copy where it can be copied, else a recording of all actions."""

import zlib
from collections.abc import Callable, Mapping

import dm_env
import numpy as np
import tree
from dm_env import specs

from mukoe.environments.vector import VectorEnvironment, copies_state
from mukoe.environments.vector_wrapper import VectorWrapper


class RecordedVector(VectorWrapper):
    """Wrapper of a vector environment that records its resets and actions.

    Most environments cannot be saved, but they are deterministic functions of seed and actions.
    Hence the list of resets and actions represents their state. The state of environments that
    copy it (`CopiesState`) is that copy, with the last time step.
    """

    def __init__(self, environment: VectorEnvironment, limit: int):
        """Wraps a newly built vector.

        Args:
          environment: vector environment before its first reset.
          limit: maximum number of recorded agent steps; a longer recording is discarded.
        """
        super().__init__(environment)
        self._limit = limit
        self._copies = copies_state(environment)
        # Concatenated actions `[B, ...]` of all calls, zeros for a reset; None beyond the limit,
        # and where the state is copied.
        self._calls: bytearray | None = None if self._copies else bytearray()
        self._resets: list[int] = []
        self._count = 0
        self._agent_steps = 0
        actions = environment.spec.actions
        self._zeros = np.zeros((environment.num_envs, *actions.shape), _stored_type(actions))
        self._last: dm_env.TimeStep | None = None

    def reset(self) -> dm_env.TimeStep:
        """Starts a new episode in every stream."""
        self._resets.append(self._count)
        self._record(self._zeros)
        self._last = self._environment.reset()
        return self._last

    def step(self, actions: np.ndarray) -> dm_env.TimeStep:
        """Applies one action per stream, `[B]` or `[B, D]`."""
        self._record(actions)
        self._last = self._environment.step(actions)
        self._agent_steps += int(np.sum(~self._last.first()))
        if self._agent_steps > self._limit:
            self._calls = None
        return self._last

    def state(self) -> dict[str, np.ndarray]:
        """Returns the state for `restore`; empty beyond the limit of a recording.

        Entries of a recording: `calls` `[N, B, ...]`, the actions of all calls; `resets` `[K]`
        int64, the indices of the calls that were resets; `checksum` `[]` uint32, the checksum of
        the last time step. Entries of a copy: `copy/NAME` and the leaves `last/INDEX` of the last
        time step.
        """
        if self._last is None:
            return {}
        if self._copies:
            leaves = {f"last/{i}": np.asarray(x) for i, x in enumerate(tree.flatten(self._last))}
            copied = self._environment.get_state()  # type: ignore[attr-defined]
            return {**{f"copy/{name}": array for name, array in copied.items()}, **leaves}
        if self._calls is None:
            return {}
        calls = np.frombuffer(bytes(self._calls), self._zeros.dtype)
        return {
            "calls": calls.reshape(self._count, *self._zeros.shape),
            "resets": np.array(self._resets, np.int64),
            "checksum": _checksum(self._last),
        }

    def restore(
        self,
        state: Mapping[str, np.ndarray],
        on_call: Callable[[int, int], None] = lambda done, total: None,
    ) -> dm_env.TimeStep | None:
        """Restores the state of a vector with the same seed: sets a copy, or repeats a recording.

        Args:
          state: result of `state`.
          on_call: `(done, total)`, called before each repeated call; an exception ends the
            repetition.

        Returns:
          The last time step, or None if it differs from the recorded one. Such environments are
          not deterministic, and must not be used any more. Also None if the state is that of
          another number of streams.
        """
        if _num_streams(state) != self.num_envs:
            return None
        return self._repeat(state, on_call) if "calls" in state else self._set_copy(state)

    def _set_copy(self, state: Mapping[str, np.ndarray]) -> dm_env.TimeStep:
        prefix = "copy/"
        copied = {
            name.removeprefix(prefix): array
            for name, array in state.items()
            if name.startswith(prefix)
        }
        self._environment.set_state(copied)  # type: ignore[attr-defined]
        like = dm_env.TimeStep(0, 0, 0, self.spec.observations)
        leaves = [state[f"last/{index}"] for index in range(len(tree.flatten(like)))]
        self._last = tree.unflatten_as(like, leaves)
        return self._last

    def _repeat(
        self, state: Mapping[str, np.ndarray], on_call: Callable[[int, int], None]
    ) -> dm_env.TimeStep | None:
        resets = set(state["resets"].tolist())
        dtype = np.int32 if self._zeros.dtype.kind == "i" else self._zeros.dtype
        for index, actions in enumerate(state["calls"]):
            on_call(index, len(state["calls"]))
            if index in resets:
                self.reset()
            else:
                self.step(actions.astype(dtype))
            self.finished_episodes()
        same = self._last is not None and _checksum(self._last) == state["checksum"]
        return self._last if same else None

    def _record(self, actions: np.ndarray) -> None:
        self._count += 1
        if self._calls is None:
            return
        self._calls += np.asarray(actions).astype(self._zeros.dtype).tobytes()


def _num_streams(state: Mapping[str, np.ndarray]) -> int:
    """Returns the number of streams of a state: of the recorded actions, or of the last step."""
    return int(state["calls"].shape[1] if "calls" in state else state["last/0"].shape[0])


def _stored_type(actions: specs.Array) -> np.dtype:
    if not isinstance(actions, specs.DiscreteArray):
        return np.dtype(actions.dtype)
    return np.dtype(np.int8 if actions.num_values <= 128 else np.int32)


def _checksum(timestep: dm_env.TimeStep) -> np.ndarray:
    checksum = 0
    for leaf in tree.flatten(timestep):
        checksum = zlib.crc32(np.ascontiguousarray(leaf).tobytes(), checksum)
    return np.array(checksum, np.uint32)
