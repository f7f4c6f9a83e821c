"""Rollouts of environments that are pure functions: acting is one jitted scan on the device.

Anakin of the Podracer paper (Hessel et al. 2021, arXiv:2104.06272).
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import chex
import dm_env
import jax
import jax.numpy as jnp
import numpy as np

from mukoe.acting.rollouts import Rollout, RolloutDeclaration, make_memory_before
from mukoe.environments.pgx.streams import GameFunctions, GameStep, Streams
from mukoe.nests import tree_where
from mukoe.observability.timings import Timings
from mukoe.types import Array, EpisodeResult, Nest, Policy, PolicyParams, Row


class _Carry(NamedTuple):
    """State between two rollouts.

    streams: games in progress.
    now: last step of each game.
    memory: state of the policy.
    history: last `H` rows, `[H, B, ...]`.
    count: number of steps so far, `[]`.
    """

    streams: Streams
    now: GameStep
    memory: Nest
    history: Row
    count: Array


class _End(NamedTuple):
    """Ends of episodes and their counts, each `[T, B]`."""

    ended: Array
    episode_return: Array
    length: Array
    seat: Array
    milestone: Array


class DeviceRolloutCollector:
    """Collects rollouts of games on the device, with the interface of a `RolloutCollector`."""

    def __init__(
        self,
        functions: GameFunctions,
        policy: Policy,
        random_key: chex.PRNGKey,
        declaration: RolloutDeclaration,
        collect: Callable | None = None,
    ):
        """Builds the collector; it runs on the device of the parameters.

        Args:
          functions: functions of the environment.
          policy: behaviour policy, with or without search.
          random_key: key of games and actions.
          declaration: declaration of the rollouts.
          collect: result of `make_collect`, compiled once for several collectors; None to make
            one here.
        """
        start_key, self._key = jax.random.split(random_key)
        self._collect = collect or make_collect(functions, policy, declaration)
        self._start = lambda: _start(functions, policy, declaration, start_key)
        self._carry: _Carry | None = None
        self.timings = Timings()

    def collect(self, params: PolicyParams) -> Rollout:
        """Makes `T` steps in every environment; see `RolloutCollector.collect`."""
        self.timings.start()
        if self._carry is None:
            self._carry = self._start()
        self._carry, rows, ends, statistics, memory = self._collect(params, self._key, self._carry)
        ends, steps = jax.device_get((ends, rows.mask[:, -1 - ends.ended.shape[0] :].sum()))
        self.timings.lap("policy")
        return Rollout(
            rows=rows,
            episodes=_episodes(ends),
            steps=int(steps),
            frames=int(steps),
            learner_steps=int(params.learner_steps),
            statistics=statistics,
            memory=memory,
        )


def make_collect(
    functions: GameFunctions, policy: Policy, declaration: RolloutDeclaration
) -> Callable:
    """Returns the jitted function shared by collectors of one policy and one environment.

    Its signature is `(params, key, carry) -> (carry, Row [B, H + T + 1, ...], ends, statistics,
    memory before the first step)`.
    """
    memory_before = make_memory_before(policy, declaration)

    def one_step(
        params: PolicyParams, key: chex.PRNGKey, carry: _Carry
    ) -> tuple[_Carry, tuple[Row, _End, Mapping[str, Array]]]:
        now = carry.now
        game_key, action_key = jax.random.split(jax.random.fold_in(key, carry.count))
        first = now.step_type == dm_env.StepType.FIRST
        initial = policy.initial_state(functions.num_envs)
        memory = tree_where(first, initial, carry.memory)
        action, extras, memory = policy.apply(params, action_key, now.observation, memory)
        streams, then = functions.step(carry.streams, action, game_key)
        acted = (now.step_type != dm_env.StepType.LAST).astype(jnp.float32)
        stored = {name: extras[name] for name in policy.extras_spec}
        row = Row(
            now.observation, action, acted * then.reward, acted * then.discount, acted, stored
        )
        end = _End(
            then.step_type == dm_env.StepType.LAST,
            streams.episode_return,
            streams.length,
            streams.seat,
            functions.rules.milestone(streams.game),
        )
        statistics = {name: extras[name] for name in extras if name not in stored}
        return carry._replace(streams=streams, now=then, memory=memory, count=carry.count + 1), (
            row,
            end,
            statistics,
        )

    def collect(params: PolicyParams, key: chex.PRNGKey, carry: _Carry):
        is_first = carry.now.step_type == dm_env.StepType.FIRST
        memory = memory_before(is_first, carry.memory)
        carry, (rows, ends, statistics) = jax.lax.scan(
            lambda carry, _: one_step(params, key, carry), carry, length=declaration.length
        )
        rows = jax.tree.map(lambda *parts: jnp.concatenate(parts), carry.history, rows)
        history = jax.tree.map(lambda array: array[declaration.length :], rows)
        last = jax.tree.map(lambda array: jnp.zeros_like(array[-1]), rows)
        last = last._replace(observation=carry.now.observation)
        rows = jax.tree.map(lambda array, end: jnp.concatenate([array, end[None]]), rows, last)
        rows = jax.tree.map(lambda array: array.swapaxes(0, 1), rows)
        statistics = jax.tree.map(lambda values: values[-1], statistics)
        return carry._replace(history=history), rows, ends, statistics, memory

    return jax.jit(collect)


def _start(
    functions: GameFunctions, policy: Policy, declaration: RolloutDeclaration, key: chex.PRNGKey
) -> _Carry:
    streams, now = jax.jit(functions.init)(key)
    shape = (declaration.history, functions.num_envs)

    def padding(spec) -> jax.Array:
        return jnp.zeros((*shape, *spec.shape), spec.dtype)

    history = Row(
        observation=jax.tree.map(padding, functions.rules.spec.observations),
        action=jnp.zeros(shape, jnp.int32),
        reward=jnp.zeros(shape),
        discount=jnp.zeros(shape),
        mask=jnp.zeros(shape),
        extras=jax.tree.map(padding, dict(policy.extras_spec)),
    )
    return _Carry(streams, now, policy.initial_state(functions.num_envs), history, jnp.int32(0))


def _episodes(ends: _End) -> list[EpisodeResult]:
    return [
        EpisodeResult(
            float(ends.episode_return[step, index]),
            int(ends.length[step, index]),
            int(ends.length[step, index]),
            int(index),
            seat=int(ends.seat[step, index]),
            milestone=int(ends.milestone[step, index]),
        )
        for step, index in np.argwhere(ends.ended)
    ]
