"""Rollouts: steps of several environments that stay on the device on which they were chosen.

A rollout of `T` steps in `B` environments is rows `[B, H + T + 1, ...]`, in which episodes
follow one another. Here one with `H = 2` and `T = 5`, and the next (digits are the steps of
an episode, `F` is its final observation, at which no action is taken):

    rows of a rollout     2 3 | 4 5 F 0 1 | 2        of the last row only the observation
    mask                  1 1 | 1 1 0 1 1 | 0        is known
    rows of the next one        0 1 | 2 3 4 5 6 | 7
    mask                        1 1 | 1 1 1 1 1 | 0

The `H` rows of history are only for stacking frames; before the first row of all they are
padding, with mask 0.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import chex
import dm_env
import jax
import jax.numpy as jnp
import numpy as np

from mukoe.acting.runners import make_act
from mukoe.environments.vector import VectorEnvironment
from mukoe.observability.timings import Timings
from mukoe.types import Array, EpisodeResult, Nest, Policy, PolicyParams, Row


@dataclasses.dataclass(frozen=True)
class RolloutDeclaration:
    """What an agent says about the rollouts that it learns from."""

    # Steps in each environment, `T`.
    length: int
    # Rows before them, for stacking frames (frames - 1), `H`.
    history: int = 0


class Rollout(NamedTuple):
    """What one vector of environments did with the same parameters.

    rows: `Row` of arrays `[B, H + T + 1, ...]` on a device, see above; or a tape for each
      environment, for agents with a replay.
    episodes: that ended meanwhile.
    steps: of the agent, over all environments; the beginning of an episode is none.
    frames: of the emulator.
    learner_steps: the updates that made the parameters.
    statistics: of the policy at the last step, `[B]` by name, on a device.
    """

    rows: Any
    episodes: Sequence[EpisodeResult]
    steps: int
    frames: int
    learner_steps: int
    statistics: Mapping[str, Array]


class _Chosen(NamedTuple):
    """What happened at one step, on the device: `[B, ...]`."""

    observation: Nest
    action: Array
    extras: Mapping[str, Array]


class _Outcome(NamedTuple):
    """What it led to, on the host: `[B]`; mask 0 where no action was taken."""

    reward: np.ndarray
    discount: np.ndarray
    mask: np.ndarray


def make_rollout_functions(policy: Policy) -> tuple[Callable, Callable]:
    """Makes the two jitted functions of all collectors with one policy.

    Returns:
      `act(params, key, step, observation, is_first, state) -> (chosen, statistics, state)` and
      `join(chosen, outcomes, last_observation) -> Row`, which puts steps side by side.
    """
    choose = make_act(policy)

    def act(
        params: PolicyParams,
        key: chex.PRNGKey,
        step: Array,
        observation: Nest,
        is_first: Array,
        state: Nest,
    ) -> tuple[_Chosen, Mapping[str, Array], Nest]:
        action, extras, state = choose(params, key, step, observation, is_first, state)
        stored = {name: extras[name] for name in policy.extras_spec}
        statistics = {name: extras[name] for name in extras if name not in stored}
        return _Chosen(observation, action, stored), statistics, state

    def join(chosen: Sequence[_Chosen], outcomes: _Outcome, last_observation: Nest) -> Row:
        last = jax.tree.map(jnp.zeros_like, chosen[-1])._replace(observation=last_observation)
        steps = jax.tree.map(lambda *leaves: jnp.stack(leaves, axis=1), *chosen, last)
        nothing = jax.tree.map(lambda array: jnp.pad(array, ((0, 0), (0, 1))), outcomes)
        return Row(
            observation=steps.observation,
            action=steps.action,
            reward=nothing.reward,
            discount=nothing.discount,
            mask=nothing.mask,
            extras=steps.extras,
        )

    return jax.jit(act), jax.jit(join)


class RolloutCollector:
    """Steps a vector of environments and hands out rollouts, one after the other."""

    def __init__(
        self,
        environment: VectorEnvironment,
        policy: Policy,
        random_key: chex.PRNGKey,
        declaration: RolloutDeclaration,
        functions: tuple[Callable, Callable] | None = None,
    ):
        """Steps `environment` on JAX's default device, or where the parameters are.

        Args:
          environment: the vector.
          policy: without search or with.
          random_key: of its actions; that of step `i` is `fold_in(random_key, i)`.
          declaration: of the rows.
          functions: of `make_rollout_functions`, to be compiled once for several collectors.
        """
        self._environment = environment
        self._key = random_key
        self._declaration = declaration
        self._act, self._join = functions or make_rollout_functions(policy)
        self._state = policy.initial_state(environment.num_envs)
        self._timestep: dm_env.TimeStep | None = None
        self._taken = 0
        # The rows of the history, and then those of the rollout that is being made.
        self._chosen: list[_Chosen] = []
        self._outcomes: list[_Outcome] = []
        self.timings = Timings()

    def collect(self, params: PolicyParams) -> Rollout:
        """Makes `T` steps in every environment.

        Args:
          params: on a device, on which the rows will be.
        """
        self.timings.start()
        timestep = self._timestep
        if timestep is None:
            timestep = self._environment.reset()
            self.timings.lap("environment")
        self._forget(self._declaration.history)
        steps = 0
        statistics: Mapping[str, Array] = {}
        for _ in range(self._declaration.length):
            chosen, statistics, self._state = self._act(
                params, self._key, self._taken, timestep.observation, timestep.first(), self._state
            )
            action = np.asarray(chosen.action)
            self.timings.lap("policy")
            timestep = self._environment.step(action)
            # No action was taken behind an episode's end, or where the environment was lost.
            acted = ~timestep.first()
            self.timings.lap("environment")
            self._taken += 1
            steps += int(acted.sum())
            self._chosen.append(chosen)
            self._outcomes.append(_outcome(timestep, acted))
        self._timestep = timestep
        self._pad_history()
        rows = self._join(self._chosen, _stack(self._outcomes), timestep.observation)
        self.timings.lap("recording")
        return Rollout(
            rows=rows,
            episodes=self._environment.finished_episodes(),
            steps=steps,
            frames=steps * self._environment.action_repeat,
            learner_steps=int(params.learner_steps),
            statistics=statistics,
        )

    def _forget(self, kept: int) -> None:
        start = len(self._chosen) - kept
        self._chosen, self._outcomes = (
            self._chosen[max(0, start) :],
            self._outcomes[max(0, start) :],
        )

    def _pad_history(self) -> None:
        """Puts padding before the first rollout of all."""
        missing = self._declaration.history + self._declaration.length - len(self._chosen)
        self._chosen[:0] = [jax.tree.map(jnp.zeros_like, self._chosen[0])] * missing
        self._outcomes[:0] = [_Outcome(*map(np.zeros_like, self._outcomes[0]))] * missing


def _outcome(timestep: dm_env.TimeStep, acted: np.ndarray) -> _Outcome:
    """What actions led to; nothing where the episode was over and a new one began."""
    mask = acted.astype(np.float32)
    return _Outcome(mask * timestep.reward, mask * timestep.discount, mask)


def _stack(outcomes: Sequence[_Outcome]) -> Any:
    return _Outcome(*(np.stack(field, axis=1) for field in zip(*outcomes, strict=True)))
