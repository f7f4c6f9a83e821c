"""Policy, inspector and network calls of the agents that search."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import chex
import jax
import jax.numpy as jnp
import mctx
import numpy as np
from dm_env import specs

from mukoe.agents.planning.config import PlanningConfig, stores_learner_steps
from mukoe.agents.planning.memory import RootObserver
from mukoe.agents.planning.root import PLAYER, POSITION, stored_position
from mukoe.networks.action_space import ActionSpace
from mukoe.networks.memory import MEMORY
from mukoe.search.base import SearchModel
from mukoe.search.candidates import planted_root
from mukoe.search.inspection import Inspector
from mukoe.search.plan import plan
from mukoe.search.players import PlayersRoot, turn_of
from mukoe.types import (
    Array,
    EnvironmentSpec,
    Nest,
    Params,
    Policy,
    PolicyParams,
    SearchStatistics,
    SplitPolicy,
    num_reward_players,
    split_legal_actions,
)


def make_search_policy(
    model: SearchModel,
    action_space: ActionSpace,
    environment_spec: EnvironmentSpec,
    config: PlanningConfig,
    evaluation: bool,
    search_params: Callable[[Params], Params],
) -> Policy:
    """Makes the policy that searches at every step.

    Its state is the history of frames and actions, and that of a memory. It stores
    `search_policy` `[A]` (of a search over candidates `[K]`, with `search_candidates` `[K, ...]`),
    `search_value` `[]` (of three and more players `[P]`), where the age of a row counts
    `learner_steps` `[]`, the state `memory` `[S]` of a recurrent cell, and for the reanalysis of a
    search of the rules the `position` `[S]`. With three and more players it stores the seat
    `player` `[]` of the player to move.

    Args:
      model: model of the search, whose root takes the network input.
      action_space: actions of the environment.
      environment_spec: spec of one environment.
      config: configuration of the agent.
      evaluation: mode without exploration.
      search_params: function that selects the parameters below the root.
    """
    observer = RootObserver(environment_spec, action_space, config.history, model.memory)
    split = _split(model, observer, config, evaluation, search_params)

    def apply(
        params: PolicyParams, key: chex.PRNGKey, observation: Nest, state: Nest
    ) -> tuple[Array, Mapping[str, Array], Nest]:
        _, legal_actions = split_legal_actions(observation)
        root, state = split.represent(params, observation, state)
        action, extras = split.search(params, key, root, legal_actions)
        return action, extras, split.update_state(observation, action, state)

    return Policy(
        apply=apply,
        initial_state=observer.initial_state,
        extras_spec=_extras_spec(model, action_space, environment_spec, config),
        split=split,
    )


def _extras_spec(
    model: SearchModel,
    action_space: ActionSpace,
    environment_spec: EnvironmentSpec,
    config: PlanningConfig,
) -> dict[str, specs.Array]:
    number, candidates = action_space.size, None
    if model.candidates is not None:
        number, action = model.candidates.count, action_space.spec
        shape = (number, *action.shape)
        candidates = specs.Array(shape, action.dtype, "search_candidates")
    extras = SearchStatistics(
        search_policy=specs.Array((number,), np.float32, "search_policy"),
        search_value=specs.Array(environment_spec.rewards.shape, np.float32, "search_value"),
        search_candidates=candidates,
    ).to_extras()
    if num_reward_players(environment_spec):
        extras[PLAYER] = specs.Array((), np.int32, PLAYER)
    if stores_learner_steps(config):
        extras["learner_steps"] = specs.Array((), np.int32, "learner_steps")
    if model.memory is not None and model.memory.state_spec is not None:
        extras[MEMORY] = model.memory.state_spec
    position = stored_position(model, config)
    return extras if position is None else {**extras, POSITION: position}


def _position(observation: Nest) -> Array | None:
    """Returns the true states `[B, S]` that observations carry, None without them."""
    position = getattr(observation, "position", ())
    return position if jax.tree.leaves(position) else None


def _split(
    model: SearchModel,
    observer: RootObserver,
    config: PlanningConfig,
    evaluation: bool,
    search_params: Callable[[Params], Params],
) -> SplitPolicy:
    """Returns the parts of the policy: root evaluation of the history, and search."""

    def represent(
        params: PolicyParams, observation: Nest, state: Nest
    ) -> tuple[dict[str, Nest], Nest]:
        inputs, next_state = observer.observe(params.network, observation, state)
        root = model.evaluate_root(
            params.network, inputs, _position(observation), turn_of(observation)
        )
        evaluated = {
            "prior_logits": root.prior_logits,
            "value": root.value,
            "embedding": root.embedding,
        }
        if isinstance(root, PlayersRoot):
            evaluated[PLAYER] = root.player
        return {**evaluated, **observer.stored(state)}, next_state

    stores_position = stored_position(model, config) is not None

    def search(
        params: PolicyParams, key: chex.PRNGKey, root: Nest, legal_actions: Array | None
    ) -> tuple[Array, dict[str, Array]]:
        # Of a policy with a memory the root also has the state that is stored with the row.
        stored_memory = {name: root[name] for name in (MEMORY,) if name in root}
        evaluated = {name: value for name, value in root.items() if name not in stored_memory}
        kind = PlayersRoot if PLAYER in evaluated else mctx.RootFnOutput
        output, _ = plan(
            config.search,
            model,
            params.network,
            key,
            kind(**evaluated),
            legal_actions,
            params.learner_steps,
            evaluation=evaluation,
        )
        stored = output.stored.to_extras()
        if stores_learner_steps(config):
            batch = output.search_value.shape[:1]
            stored["learner_steps"] = jnp.broadcast_to(params.learner_steps, batch)
        if stores_position:
            stored[POSITION] = root["embedding"]
        if PLAYER in root:
            stored[PLAYER] = root[PLAYER]
        return output.action, {**stored, **stored_memory, **output.statistics}

    return SplitPolicy(
        represent=represent,
        search=search,
        update_state=observer.update_state,
        search_params=lambda params: params._replace(network=search_params(params.network)),
        action_spec=observer.action_space.spec,
    )


def make_inspector(
    model: SearchModel,
    action_space: ActionSpace,
    environment_spec: EnvironmentSpec,
    config: PlanningConfig,
) -> Inspector:
    """Makes the inspector of the policy's search in evaluation, which needs simulations."""
    observer = RootObserver(environment_spec, action_space, config.history, model.memory)

    def inspect(params: PolicyParams, key: chex.PRNGKey, observation: Nest, state: Nest) -> Any:
        _, legal_actions = split_legal_actions(observation)
        inputs, state = observer.observe(params.network, observation, state)
        root = model.evaluate_root(
            params.network, inputs, _position(observation), turn_of(observation)
        )
        output, tree = plan(
            config.search,
            model,
            params.network,
            key,
            root,
            legal_actions,
            params.learner_steps,
            evaluation=True,
        )
        assert tree is not None, "an inspector needs simulations"
        return output, model.shown_tree(tree), state

    return Inspector(
        inspect=inspect,
        update_state=observer.update_state,
        initial_state=observer.initial_state,
    )


def make_network_calls(
    model: SearchModel,
    action_space: ActionSpace,
    environment_spec: EnvironmentSpec,
    config: PlanningConfig,
) -> Callable[[PolicyParams, Nest], Array]:
    """Makes the network calls of the policy without the search, to profile them.

    One evaluation of the root, then one model step and prediction for each simulation.
    """
    observer = RootObserver(environment_spec, action_space, config.history, model.memory)
    key = jax.random.PRNGKey(0)  # The model is deterministic.

    def best(outputs: Array) -> Array:
        if model.candidates is not None:
            return jnp.zeros(outputs.shape[0], jnp.int32)
        return action_space.policy(outputs).mode()

    def simulate(params: PolicyParams, previous: tuple, _: None) -> tuple[tuple, None]:
        action, embedding, total = previous
        output, embedding = model.recurrent(params.network, key, action, embedding)
        return (best(output.prior_logits), embedding, total + output.reward + output.value), None

    def calls(params: PolicyParams, observation: Nest) -> Array:
        batch_size = jax.tree.leaves(observation)[0].shape[0]
        state = observer.initial_state(batch_size)
        inputs, _ = observer.observe(params.network, observation, state)
        position, turn = _position(observation), turn_of(observation)
        root = planted_root(model, params.network, inputs, position, turn)
        (_, _, total), _ = jax.lax.scan(
            functools.partial(simulate, params),
            (best(root.prior_logits), root.embedding, root.value),
            length=config.search.num_simulations,
        )
        return total

    return calls
