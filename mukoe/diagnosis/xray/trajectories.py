"""Trajectories of the agent's own actions and of random actions, with the search at every step."""

import contextlib
import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import mctx
import numpy as np

from mukoe.acting.random_policy import random_actions
from mukoe.agents.extensions import Inspectable
from mukoe.diagnosis.subject import check_rewards_are_scalars
from mukoe.diagnosis.xray.config import XrayConfig
from mukoe.environments.vector import VectorEnvironment
from mukoe.errors import UserError
from mukoe.evaluation.players import two_player_game
from mukoe.layouts.common.stored_run import StoredRun
from mukoe.nests import tree_where
from mukoe.search.inspection import Inspector
from mukoe.types import Nest, PolicyParams, Row

NUM_STREAMS = 8
"""Environments of a trajectory."""

LEAST_STEPS = 32
"""Steps that are recorded whatever the budget."""


@dataclasses.dataclass(frozen=True)
class Trajectories:
    """Steps `[T, B]` of `B` streams.

    observation: `[T, B, ...]`.
    action: `[T, B, ...]` action taken; without effect where `last`.
    reward, discount: `[T, B]` outcome of the action.
    first, last: `[T, B]` bool, True at the first and at the final observation of an episode.
    search: `[T, B, ...]` numbers of the search at the observation: `root_value` and `prior` of the
      network, `search_value`, `search_policy`, `visits`, `prior_action`, `search_action`, and
      those of `tree_numbers`.
    """

    observation: Nest
    action: np.ndarray
    reward: np.ndarray
    discount: np.ndarray
    first: np.ndarray
    last: np.ndarray
    search: dict[str, np.ndarray]

    @property
    def acted(self) -> np.ndarray:
        """`[T, B]` bool, False at final observations."""
        return ~self.last

    @property
    def streams(self) -> np.ndarray:
        """`[T, B]` index of the stream."""
        return np.broadcast_to(np.arange(self.last.shape[1]), self.last.shape)

    def rows(self, times: np.ndarray, streams: np.ndarray) -> Row:
        """Returns rows `[N, S, ...]` without extras; times and streams broadcast to `[N, S]`."""
        return Row(
            observation=jax.tree.map(lambda leaf: leaf[times, streams], self.observation),
            action=self.action[times, streams],
            reward=self.reward[times, streams].astype(np.float32),
            discount=self.discount[times, streams].astype(np.float32),
            mask=self.acted[times, streams].astype(np.float32),
            extras={},
        )

    def returns(self, discount: float, turns: bool = True) -> np.ndarray:
        """Returns the discounted returns `[T, B]` for the player to move.

        Truncated episodes and the end of the recording bootstrap from the search value.

        Args:
          discount: discount per step of the agent.
          turns: True if a discount below 0 passes the turn; False for the sum of one player.
        """
        values = self.search["search_value"]
        sign = self.discount if turns else np.abs(self.discount)
        found = np.array(values, np.float64)
        for t in reversed(range(len(found) - 1)):
            follows = np.where(self.last[t + 1], values[t + 1], found[t + 1])
            backup = self.reward[t] + discount * sign[t] * follows
            found[t] = np.where(self.last[t], values[t], backup)
        return found

    def complete(self) -> np.ndarray:
        """Returns `[T, B]` bool, True at the actions of episodes whose end is recorded."""
        ends = np.flip(np.cumsum(np.flip(self.last, 0), axis=0), 0) > 0
        return ends & self.acted


def steps_environment(run: StoredRun, seed: int) -> VectorEnvironment:
    """Makes the environments of trajectories: of games self-play, of others those of evaluation."""
    evaluation = two_player_game(run) is None
    return run.experiment.environment_factory(seed, NUM_STREAMS, evaluation)


class Recorder:
    """Acts with the search of a run, and records its numbers.

    run: run that acts.
    inspector: its search.
    """

    def __init__(self, run: StoredRun):
        """Builds the search.

        Args:
          run: run that acts with at least one simulation.

        Raises:
          UserError: the agent does not search, or the game has three players or more.
        """
        check_rewards_are_scalars(run.environment_spec)
        builder = run.experiment.builder
        inspector = None
        if isinstance(builder, Inspectable):
            inspector = builder.make_inspector(run.make_networks(), run.environment_spec)
        if inspector is None:
            raise UserError("the agent acts without a search, which an X-ray looks at")
        self.run = run
        self.inspector: Inspector = inspector
        self._params = jax.device_put(run.params)
        self._decide = jax.jit(self._numbers)
        self.update_state = jax.jit(inspector.update_state)

    def set_params(self, params: PolicyParams) -> None:
        """Acts with other parameters from now on."""
        self._params = jax.device_put(params)

    def decide(self, observation: Nest, state: Nest, first: Any) -> tuple[dict[str, Any], Nest]:
        """Returns the numbers of the search `[B, ...]`, and the state after the observation."""
        return self._decide(self._params, observation, state, first)

    def _numbers(
        self, params: PolicyParams, observation: Nest, state: Nest, first: Any
    ) -> tuple[dict[str, Any], Nest]:
        state = tree_where(first, self.inspector.initial_state(first.shape[0]), state)
        searched: Any = self.inspector.inspect(params, jax.random.PRNGKey(0), observation, state)
        output, tree, state = searched
        logits = tree.children_prior_logits[:, 0]
        best = jnp.argmax(logits, axis=-1)
        prior_action = best.astype(jnp.int32)
        if output.candidates is not None:
            prior_action = jax.vmap(lambda actions, i: actions[i])(output.candidates, best)
        numbers = {
            "prior": jax.nn.softmax(logits),
            "root_value": tree.raw_values[:, 0],
            "search_policy": output.search_policy,
            "search_value": output.search_value,
            "visits": tree.children_visits[:, 0],
            "prior_action": prior_action,
            "search_action": output.action,
        }
        return numbers | tree_numbers(tree) | dict(output.statistics), state

    def record(
        self, config: XrayConfig, num_steps: int, random: bool, stop: Callable[[], bool]
    ) -> Trajectories:
        """Acts for a number of steps, or until `stop`, for 32 steps at least.

        Args:
          config: settings, for the seed.
          num_steps: steps of every stream.
          random: True for uniformly random legal actions instead of the agent's.
          stop: called before every step; True ends the recording.
        """
        generator = np.random.default_rng(config.seed)
        steps: list[tuple] = []
        environment = steps_environment(self.run, config.seed)
        with contextlib.closing(environment):
            timestep: Any = environment.reset()
            state = self.inspector.initial_state(NUM_STREAMS)
            while len(steps) < num_steps and not (len(steps) >= LEAST_STEPS and stop()):
                observation, first, last = timestep.observation, timestep.first(), timestep.last()
                numbers, state = self.decide(observation, state, first)
                numbers = jax.device_get(numbers)
                action = numbers["search_action"]
                if random:
                    action = random_actions(self.run.environment_spec, observation, generator)
                state = self.update_state(observation, action, state)
                timestep = environment.step(np.asarray(action))
                outcome = (timestep.reward, timestep.discount)
                steps.append((observation, action, *outcome, first, last, numbers))
        stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *steps)
        return Trajectories(*stacked)


def tree_numbers(tree: mctx.Tree) -> dict[str, jax.Array]:
    """Returns numbers `[B]` of the roots of a search.

    `tree_value` is the mean value of all visits, and `backup` the same from the root's actions.
    `action_spread` is the range of the values of visited actions, NaN for fewer than two.
    """
    visits = jnp.asarray(tree.children_visits)[:, 0]
    values = jnp.asarray(tree.qvalues(jnp.zeros(visits.shape[0], jnp.int32)))
    visited = visits > 0
    total = jnp.asarray(tree.raw_values)[:, 0] + jnp.sum(visits * values, axis=-1)
    high = jnp.max(jnp.where(visited, values, -jnp.inf), axis=-1)
    low = jnp.min(jnp.where(visited, values, jnp.inf), axis=-1)
    return {
        "tree_value": jnp.asarray(tree.node_values)[:, 0],
        "backup": total / (1 + jnp.sum(visits, axis=-1)),
        "action_spread": jnp.where(jnp.sum(visited, axis=-1) >= 2, high - low, jnp.nan),
    }
