"""The actor: one class for all agents and any number of environments."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import chex
import dm_env
import jax
import numpy as np

from mukoe.acting.runners import Actions, PolicyRunner
from mukoe.replay.handle import Adder
from mukoe.types import Nest, without_position


class _Transition(NamedTuple):
    action: np.ndarray
    extras: Mapping[str, np.ndarray]
    next_timestep: dm_env.TimeStep


class Actor:
    """Acts in `B` environments and records the steps.

    Method names are Acme's (`acme.core.Actor`), over batches: the fields of a time step are
    arrays `[B, ...]`, and after a LAST step the same stream continues with a FIRST one.
    Acme's `select_action` is `request`, `receive` and `record`, which a loop calls separately to
    work while the actions are chosen.

    A step is recorded once the policy has evaluated the next observation, so that the final
    observation of an episode is stored with its search value.

    statistics: extras of the last policy call that are not stored, each `[B, ...]`.
    """

    def __init__(
        self, runner: PolicyRunner, adders: Sequence[Adder] = (), stored_extras: Sequence[str] = ()
    ):
        """Builds the actor.

        Args:
          runner: runner of the policy.
          adders: one adder per environment, or none to record nothing.
          stored_extras: names of the extras that are stored; the others are statistics.
        """
        self._runner = runner
        self._adders = adders
        self._stored_extras = frozenset(stored_extras)
        self._is_first: np.ndarray | None = None
        self._wait: Callable[[], Actions] | None = None
        self._extras: Mapping[str, np.ndarray] = {}
        self._unrecorded: _Transition | None = None
        # By adder: whether its last recorded step was the last of an episode.
        self._ended = np.zeros(len(adders), bool)
        self.statistics: Mapping[str, np.ndarray] = {}

    @property
    def learner_steps(self) -> int:
        """Learner steps of the parameters that chose the last actions."""
        return self._runner.learner_steps

    def observe_first(self, timestep: dm_env.TimeStep) -> None:
        """Starts an episode in every environment at the FIRST steps of `timestep`."""
        assert len(self._adders) in (0, len(timestep.step_type)), (
            f"{len(self._adders)} adders for {len(timestep.step_type)} environments"
        )
        self._is_first = timestep.first()
        self._unrecorded = None
        self._ended[:] = False
        for index, adder in enumerate(self._adders):
            adder.add_first(_select(_stored(timestep), index))

    def request(self, observation: Nest) -> None:
        """Starts to choose actions; observations `[B, ...]` must not change until `receive`."""
        assert self._is_first is not None, "call observe_first before the first action"
        chex.assert_tree_shape_prefix(observation, self._is_first.shape)
        self._wait = self._runner.submit(observation, self._is_first)

    def receive(self) -> np.ndarray:
        """Waits for the actions `[B]` of the last `request`."""
        assert self._wait is not None, "call request before receive"
        action, extras = self._wait()
        assert self._is_first is not None
        chex.assert_tree_shape_prefix((action, dict(extras)), self._is_first.shape)
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
        """Takes the time step after `action`; it is recorded after the next `receive`."""
        assert self._is_first is not None, "call observe_first before observe"
        batch, (step_type, reward, discount, _) = self._is_first.shape, next_timestep
        # A reward of three and more players is a vector.
        players = np.shape(reward)[1:]
        of_players = players if len(players) == 1 and players[0] >= 3 else ()
        chex.assert_tree_shape_prefix(action, batch)
        chex.assert_shape([step_type, reward, discount], [batch, (*batch, *of_players), batch])
        self._is_first = next_timestep.first()
        self._unrecorded = _Transition(action, self._extras, next_timestep)

    def update(self, wait: bool = False) -> None:
        """Fetches newer parameters if a period is over; with `wait` fetches at once."""
        self._runner.update(wait)

    def state(self) -> dict[str, np.ndarray]:
        """Returns action and extras of the step that is not yet recorded; empty without one."""
        if self._unrecorded is None:
            return {}
        extras = {f"extras/{name}": value for name, value in self._unrecorded.extras.items()}
        return {"action": self._unrecorded.action, **extras}

    def restore(self, state: Mapping[str, np.ndarray], timestep: dm_env.TimeStep) -> None:
        """Restores a `state` whose last action was followed by `timestep`."""
        self._is_first = timestep.first()
        extras = {
            name.removeprefix("extras/"): value
            for name, value in state.items()
            if name.startswith("extras/")
        }
        self._unrecorded = _Transition(state["action"], extras, timestep)

    def _record(self, transition: _Transition, final_extras: Mapping[str, np.ndarray]) -> None:
        step_types = transition.next_timestep.step_type
        stored = _stored(transition.next_timestep)
        for index, adder in enumerate(self._adders):
            timestep = _select(stored, index)
            if step_types[index] == dm_env.StepType.FIRST:
                if not self._ended[index]:
                    adder.reset()  # The environment was lost: only complete steps are kept.
                adder.add_first(timestep)
            else:
                last = step_types[index] == dm_env.StepType.LAST
                adder.add(
                    transition.action[index],
                    timestep,
                    _select(transition.extras, index),
                    final_extras=_select(final_extras, index) if last else None,
                )
        self._ended = step_types == dm_env.StepType.LAST


def _stored(timestep: dm_env.TimeStep) -> dm_env.TimeStep:
    """Returns a time step with the stored part of its observation."""
    return timestep._replace(observation=without_position(timestep.observation))


def _select(batch: Any, index: int) -> Any:
    """Returns the entry `index` of a batch."""
    return jax.tree.map(lambda array: array[index], batch)
