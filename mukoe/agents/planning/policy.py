"""Policy of the agents that search."""

import functools
from collections.abc import Callable, Mapping

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
from mukoe.search.base import SearchModel, SearchOutput
from mukoe.search.plan import plan, plan_from
from mukoe.search.players import PlayersRoot, turn_of
from mukoe.search.reuse import PlayState, no_tree, reuses_tree
from mukoe.types import (
    Array,
    EnvironmentSpec,
    Nest,
    Params,
    Policy,
    PolicyFunction,
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

    Its state is the history of frames and actions, and that of a memory; with reuse of trees in
    evaluation a `PlayState`. It stores
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
    stored = functools.partial(_stored, config)
    split = _split(model, observer, config, evaluation, search_params, stored)
    extras_spec = _extras_spec(model, action_space, environment_spec, config)
    # Checked while training as well, so that the error is raised at the start.
    if reuses_tree(config.search, model) and evaluation:
        return Policy(
            apply=_apply_with_trees(split, model, config, stored),
            initial_state=initial_play_state(observer, model, environment_spec, config),
            extras_spec=extras_spec,
        )

    return policy_of_parts(split, observer.initial_state, extras_spec)


def policy_of_parts(
    split: SplitPolicy,
    initial_state: Callable[[int], Nest],
    extras_spec: Mapping[str, specs.Array],
) -> Policy:
    """Returns the policy that applies its parts one after the other.

    Args:
      split: parts of the policy.
      initial_state: function from `B` to the memory at the start of episodes.
      extras_spec: specs of the stored extras of one environment.
    """

    def apply(
        params: PolicyParams, key: chex.PRNGKey, observation: Nest, state: Nest
    ) -> tuple[Array, Mapping[str, Array], Nest]:
        _, legal_actions = split_legal_actions(observation)
        root, state = split.represent(params, observation, state)
        action, extras = split.search(params, key, root, legal_actions)
        return action, extras, split.update_state(observation, action, state)

    return Policy(apply=apply, initial_state=initial_state, extras_spec=extras_spec, split=split)


def _apply_with_trees(
    split: SplitPolicy,
    model: SearchModel,
    config: PlanningConfig,
    stored: Callable[[PolicyParams, Nest, SearchOutput], dict[str, Array]],
) -> PolicyFunction:
    """Returns the policy of evaluation whose searches start from the trees in its state."""

    def apply(
        params: PolicyParams, key: chex.PRNGKey, observation: Nest, state: PlayState
    ) -> tuple[Array, Mapping[str, Array], PlayState]:
        _, legal_actions = split_legal_actions(observation)
        evaluated, observed = split.represent(params, observation, state.observed)
        output, _, tree = plan_from(
            state.tree,
            config.search,
            model,
            params.network,
            key,
            _as_root(evaluated),
            legal_actions,
            params.learner_steps,
        )
        observed = split.update_state(observation, output.action, observed)
        return output.action, stored(params, evaluated, output), PlayState(observed, tree)

    return apply


def initial_play_state(
    observer: RootObserver,
    model: SearchModel,
    environment_spec: EnvironmentSpec,
    config: PlanningConfig,
) -> Callable[[int], PlayState]:
    """Returns the function from `B` to the state at the start of games, without trees."""
    return lambda batch_size: PlayState(
        observer.initial_state(batch_size),
        no_tree(config.search, model, environment_spec, batch_size),
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


def position_of(observation: Nest) -> Array | None:
    """Returns the true states `[B, S]` that observations carry, None without them."""
    position = getattr(observation, "position", ())
    return position if jax.tree.leaves(position) else None


def _split(
    model: SearchModel,
    observer: RootObserver,
    config: PlanningConfig,
    evaluation: bool,
    search_params: Callable[[Params], Params],
    stored: Callable[[PolicyParams, Nest, SearchOutput], dict[str, Array]],
) -> SplitPolicy:
    """Returns the parts of the policy: root evaluation of the history, and search."""

    def represent(
        params: PolicyParams, observation: Nest, state: Nest
    ) -> tuple[dict[str, Nest], Nest]:
        root, next_state = evaluate_root(model, observer, params, observation, state)
        evaluated = {
            "prior_logits": root.prior_logits,
            "value": root.value,
            "embedding": root.embedding,
        }
        if isinstance(root, PlayersRoot):
            evaluated[PLAYER] = root.player
        if stored_position(model, config) is not None:
            # The embedding of a game with chance holds more than the position.
            evaluated[POSITION] = position_of(observation)
        return {**evaluated, **observer.stored(state)}, next_state

    def search(
        params: PolicyParams, key: chex.PRNGKey, root: Nest, legal_actions: Array | None
    ) -> tuple[Array, dict[str, Array]]:
        output, _ = plan(
            config.search,
            model,
            params.network,
            key,
            _as_root(root),
            legal_actions,
            params.learner_steps,
            evaluation=evaluation,
        )
        return output.action, stored(params, root, output)

    return SplitPolicy(
        represent=represent,
        search=search,
        update_state=observer.update_state,
        search_params=lambda params: params._replace(network=search_params(params.network)),
        action_spec=observer.action_space.spec,
    )


def evaluate_root(
    model: SearchModel,
    observer: RootObserver,
    params: PolicyParams,
    observation: Nest,
    state: Nest,
) -> tuple[mctx.RootFnOutput, Nest]:
    """Returns the evaluated roots of observations, and the next state of the observer."""
    inputs, state = observer.observe(params.network, observation, state)
    position, turn = position_of(observation), turn_of(observation)
    return model.evaluate_root(params.network, inputs, position, turn), state


def _as_root(evaluated: Mapping[str, Nest]) -> mctx.RootFnOutput:
    """Returns the root of a search from an output of `represent`."""
    # The memory and the position are for the stored row alone.
    fields = {name: each for name, each in evaluated.items() if name not in (MEMORY, POSITION)}
    return PlayersRoot(**fields) if PLAYER in fields else mctx.RootFnOutput(**fields)


def _stored(
    config: PlanningConfig,
    params: PolicyParams,
    evaluated: Mapping[str, Nest],
    output: SearchOutput,
) -> dict[str, Array]:
    """Returns the extras of a search from an output of `represent`."""
    stored = output.stored.to_extras()
    if stores_learner_steps(config):
        batch = output.search_value.shape[:1]
        stored["learner_steps"] = jnp.broadcast_to(params.learner_steps, batch)
    stored |= {name: evaluated[name] for name in (PLAYER, MEMORY, POSITION) if name in evaluated}
    return {**stored, **output.statistics}
