"""Rollouts: steps of several environments, kept on the device that chose the actions.

A rollout of `T` steps in `B` environments is rows `[B, H + T + 1, ...]`, in which episodes
follow one another. Here one with `H = 2` and `T = 5`, and the next (digits are the steps of
an episode, `F` is its final observation, at which no action is taken):

    rows of a rollout     2 3 | 4 5 F 0 1 | 2        the last row has an observation only
    mask                  1 1 | 1 1 0 1 1 | 0
    rows of the next one        0 1 | 2 3 4 5 6 | 7
    mask                        1 1 | 1 1 1 1 1 | 0

The `H` rows of history serve frame stacking only; before the first row of a run they are padding
with mask 0. The memory of a policy at the first step of a rollout comes with its rows.
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
from mukoe.nests import tree_where
from mukoe.observability.timings import Timings
from mukoe.types import Array, EpisodeResult, Nest, Policy, PolicyParams, Row


def no_memory(state: Nest) -> Nest:
    """Returns `()`, for a policy whose state is not learned from."""
    del state
    return ()


@dataclasses.dataclass(frozen=True)
class RolloutDeclaration:
    """Shape of the rollouts from which an agent learns."""

    # Steps in each environment, `T`.
    length: int
    # Rows before them, for stacking frames (frames - 1), `H`.
    history: int = 0
    # Function from the policy's state `[B, ...]` to the part that the learner unrolls from.
    memory: Callable[[Nest], Nest] = no_memory
    # Number of equal groups into which the learner divides the environments of a batch.
    env_groups: int = 1


class Rollout(NamedTuple):
    """Steps of one vector of environments with the same parameters.

    rows: `Row` of arrays `[B, H + T + 1, ...]` on a device, see above; for agents with replay, one
      buffered adder per environment.
    episodes: episodes that ended.
    steps: agent steps of all environments; the reset of an episode is none.
    frames: emulator frames of all environments.
    learner_steps: learner steps of the parameters.
    statistics: statistics of the policy at the last step by name, each `[B]` on a device.
    memory: memory of the policy before the first step, `[B, ...]` on a device, see
      `RolloutDeclaration`.
    """

    rows: Any
    episodes: Sequence[EpisodeResult]
    steps: int
    frames: int
    learner_steps: int
    statistics: Mapping[str, Array]
    memory: Nest = ()


class _Chosen(NamedTuple):
    """Observation, action and extras of one step, `[B, ...]` on the device."""

    observation: Nest
    action: Array
    extras: Mapping[str, Array]


class _Outcome(NamedTuple):
    """Outcome of one step, each `[B]` on the host; the mask is 0 if no action was taken."""

    reward: np.ndarray
    discount: np.ndarray
    mask: np.ndarray


def make_rollout_functions(
    policy: Policy, declaration: RolloutDeclaration
) -> tuple[Callable, Callable, Callable]:
    """Returns the jitted functions shared by all collectors of one policy.

    Returns:
      `act(params, key, step, observation, is_first, state) -> (chosen, statistics, state)`,
      `join(chosen, outcomes, last_observation) -> Row`, which stacks the steps, and
      `memory(is_first, state) -> memory` before a step.
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
        padded = jax.tree.map(lambda array: jnp.pad(array, ((0, 0), (0, 1))), outcomes)
        return Row(
            observation=steps.observation,
            action=steps.action,
            reward=padded.reward,
            discount=padded.discount,
            mask=padded.mask,
            extras=steps.extras,
        )

    return jax.jit(act), jax.jit(join), jax.jit(make_memory_before(policy, declaration))


def make_memory_before(policy: Policy, declaration: RolloutDeclaration) -> Callable:
    """Returns `(is_first [B], state [B, ...]) -> memory`, with the reset of the next step."""

    def memory(is_first: Array, state: Nest) -> Nest:
        initial = declaration.memory(policy.initial_state(is_first.shape[0]))
        return tree_where(is_first, initial, declaration.memory(state))

    return memory


class RolloutCollector:
    """Collects consecutive rollouts of a vector of environments."""

    def __init__(
        self,
        environment: VectorEnvironment,
        policy: Policy,
        random_key: chex.PRNGKey,
        declaration: RolloutDeclaration,
        functions: tuple[Callable, Callable, Callable] | None = None,
    ):
        """Builds the collector; the policy runs on the device of the parameters.

        Args:
          environment: vector of `B` environments.
          policy: behaviour policy, with or without search.
          random_key: key of the actions; step `i` uses `fold_in(random_key, i)`.
          declaration: declaration of the rollouts.
          functions: result of `make_rollout_functions`, compiled once for several collectors; None
            to make them here.
        """
        self._environment = environment
        self._key = random_key
        self._declaration = declaration
        self._act, self._join, self._memory_before = functions or make_rollout_functions(
            policy, declaration
        )
        self._state = policy.initial_state(environment.num_envs)
        self._timestep: dm_env.TimeStep | None = None
        self._taken = 0
        # Rows of the history, followed by those of the current rollout.
        self._chosen: list[_Chosen] = []
        self._outcomes: list[_Outcome] = []
        self.timings = Timings()

    def collect(self, params: PolicyParams) -> Rollout:
        """Makes `T` steps in every environment.

        Args:
          params: parameters on a device, which will hold the rows.
        """
        self.timings.start()
        timestep = self._timestep
        if timestep is None:
            timestep = self._environment.reset()
            self.timings.lap("environment")
        memory = self._memory_before(timestep.first(), self._state)
        self._drop_rows(self._declaration.history)
        steps = 0
        statistics: Mapping[str, Array] = {}
        for _ in range(self._declaration.length):
            chosen, statistics, self._state = self._act(
                params, self._key, self._taken, timestep.observation, timestep.first(), self._state
            )
            action = np.asarray(chosen.action)
            self.timings.lap("policy")
            timestep = self._environment.step(action)
            # No action was taken after the end of an episode, or if the environment was lost.
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
            memory=memory,
        )

    def _drop_rows(self, kept: int) -> None:
        start = len(self._chosen) - kept
        self._chosen, self._outcomes = (
            self._chosen[max(0, start) :],
            self._outcomes[max(0, start) :],
        )

    def _pad_history(self) -> None:
        """Pads the history of the first rollout."""
        missing = self._declaration.history + self._declaration.length - len(self._chosen)
        self._chosen[:0] = [jax.tree.map(jnp.zeros_like, self._chosen[0])] * missing
        self._outcomes[:0] = [_Outcome(*map(np.zeros_like, self._outcomes[0]))] * missing


def _outcome(timestep: dm_env.TimeStep, acted: np.ndarray) -> _Outcome:
    """Returns the outcome of actions; zeros for environments that started a new episode."""
    mask = acted.astype(np.float32)
    return _Outcome(mask * timestep.reward, mask * timestep.discount, mask)


def _stack(outcomes: Sequence[_Outcome]) -> Any:
    return _Outcome(*(np.stack(field, axis=1) for field in zip(*outcomes, strict=True)))
