"""The actor: one class for every agent, with any number of environments."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import dm_env
import jax
import numpy as np

from mukoe.acting.runners import Actions, PolicyRunner
from mukoe.types import Nest


class Adder(Protocol):
    """Records one stream of steps; Acme's method names."""

    def add_first(self, timestep: dm_env.TimeStep) -> None: ...

    def add(
        self,
        action: np.ndarray,
        next_timestep: dm_env.TimeStep,
        extras: Mapping[str, np.ndarray],
        final_extras: Mapping[str, np.ndarray] | None = None,
    ) -> None: ...

    def reset(self, timeout_ms: int | None = None) -> None: ...


class _Transition(NamedTuple):
    action: np.ndarray
    extras: Mapping[str, np.ndarray]
    next_timestep: dm_env.TimeStep


class Actor:
    """Acts in `B` environments and records what happens.

    Method names are Acme's (`acme.core.Actor`), over batches: a time step's fields are
    arrays `[B, ...]`, and after a LAST step the same stream goes on with a FIRST one.
    `select_action` is `request`, `receive` and `record`; who calls these can do something
    else while the actions are chosen.

    A step is recorded when the policy has seen the observation that it led to, so that the
    final observation of an episode is stored with the search value there.
    """

    def __init__(
        self, runner: PolicyRunner, adders: Sequence[Adder] = (), stored_extras: Sequence[str] = ()
    ):
        """Makes an actor.

        Args:
          runner: chooses the actions.
          adders: one for each environment, or none to record nothing.
          stored_extras: names of the extras that are stored; the others are statistics.
        """
        self._runner = runner
        self._adders = adders
        self._stored_extras = frozenset(stored_extras)
        self._is_first: np.ndarray | None = None
        self._wait: Callable[[], Actions] | None = None
        self._extras: Mapping[str, np.ndarray] = {}
        self._unrecorded: _Transition | None = None
        # Of each adder: whether its last episode was recorded to the end.
        self._ended = np.zeros(len(adders), bool)
        self.statistics: Mapping[str, np.ndarray] = {}

    @property
    def learner_steps(self) -> int:
        """The updates that made the parameters of the last actions."""
        return self._runner.learner_steps

    def observe_first(self, timestep: dm_env.TimeStep) -> None:
        """Starts all environments at the FIRST steps of `timestep`."""
        self._is_first = timestep.first()
        self._unrecorded = None
        self._ended[:] = False
        for index, adder in enumerate(self._adders):
            adder.add_first(_select(timestep, index))

    def select_action(self, observation: Nest) -> np.ndarray:
        """Returns actions `[B]` for observations `[B, ...]`."""
        self.request(observation)
        action = self.receive()
        self.record()
        return action

    def request(self, observation: Nest) -> None:
        """Starts to choose actions; the observations stay unchanged until `receive`."""
        assert self._is_first is not None, "observe_first comes before an action"
        self._wait = self._runner.submit(observation, self._is_first)

    def receive(self) -> np.ndarray:
        """Waits for the actions `[B]` of the last `request`."""
        assert self._wait is not None, "request comes before receive"
        action, extras = self._wait()
        self._wait = None
        self._extras = {name: extras[name] for name in extras if name in self._stored_extras}
        self.statistics = {n: extras[n] for n in extras if n not in self._stored_extras}
        return action

    def record(self) -> None:
        """Records the steps that led to the observations of the last `receive`."""
        if self._unrecorded is not None:
            self._record(self._unrecorded, self._extras)
            self._unrecorded = None

    def observe(self, action: np.ndarray, next_timestep: dm_env.TimeStep) -> None:
        """Takes what the actions led to; recorded when they are seen."""
        self._is_first = next_timestep.first()
        self._unrecorded = _Transition(action, self._extras, next_timestep)

    def update(self, wait: bool = False) -> None:
        """Gets newer parameters, where it is time."""
        self._runner.update(wait)

    def state(self) -> dict[str, np.ndarray]:
        """Returns the step that is still to be recorded, but for what it led to."""
        if self._unrecorded is None:
            return {}
        extras = {f"extras/{name}": value for name, value in self._unrecorded.extras.items()}
        return {"action": self._unrecorded.action, **extras}

    def restore(self, state: Mapping[str, np.ndarray], timestep: dm_env.TimeStep) -> None:
        """Goes back to a `state`, where the last action led to `timestep`."""
        self._is_first = timestep.first()
        extras = {
            name.removeprefix("extras/"): value
            for name, value in state.items()
            if name.startswith("extras/")
        }
        self._unrecorded = _Transition(state["action"], extras, timestep)

    def _record(self, transition: _Transition, extras_there: Mapping[str, np.ndarray]) -> None:
        step_types = transition.next_timestep.step_type
        for index, adder in enumerate(self._adders):
            timestep = _select(transition.next_timestep, index)
            if step_types[index] == dm_env.StepType.FIRST:
                if not self._ended[index]:
                    adder.reset()  # The environment was lost; what is complete stays.
                adder.add_first(timestep)
            else:
                last = step_types[index] == dm_env.StepType.LAST
                adder.add(
                    transition.action[index],
                    timestep,
                    _select(transition.extras, index),
                    final_extras=_select(extras_there, index) if last else None,
                )
        self._ended = step_types == dm_env.StepType.LAST


def _select(batch: Any, index: int) -> Any:
    """One environment's part of a batch."""
    return jax.tree.map(lambda array: array[index], batch)
