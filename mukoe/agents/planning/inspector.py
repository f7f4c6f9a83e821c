"""Inspector of the search of a planning agent."""

import functools
from typing import Any

import chex

from mukoe.agents.planning.config import PlanningConfig
from mukoe.agents.planning.memory import RootObserver
from mukoe.agents.planning.policy import evaluate_root, initial_play_state
from mukoe.networks.action_space import ActionSpace
from mukoe.search.base import SearchModel
from mukoe.search.inspection import Inspector
from mukoe.search.plan import plan, plan_from
from mukoe.search.reuse import PlayState, reuses_tree
from mukoe.types import Array, EnvironmentSpec, Nest, PolicyParams, split_legal_actions


def make_inspector(
    model: SearchModel,
    action_space: ActionSpace,
    environment_spec: EnvironmentSpec,
    config: PlanningConfig,
) -> Inspector:
    """Makes the inspector of the policy's search in evaluation, which needs simulations."""
    observer = RootObserver(environment_spec, action_space, config.history, model.memory)

    evaluate = functools.partial(evaluate_root, model, observer)

    def inspect(params: PolicyParams, key: chex.PRNGKey, observation: Nest, state: Nest) -> Any:
        _, legal_actions = split_legal_actions(observation)
        root, state = evaluate(params, observation, state)
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

    def inspect_with_trees(
        params: PolicyParams, key: chex.PRNGKey, observation: Nest, state: PlayState
    ) -> Any:
        _, legal_actions = split_legal_actions(observation)
        root, observed = evaluate(params, observation, state.observed)
        output, shown, tree = plan_from(
            state.tree,
            config.search,
            model,
            params.network,
            key,
            root,
            legal_actions,
            params.learner_steps,
        )
        return output, model.shown_tree(shown), PlayState(observed, tree)

    def update_play_state(observation: Nest, action: Array, state: PlayState) -> PlayState:
        return state._replace(observed=observer.update_state(observation, action, state.observed))

    if reuses_tree(config.search, model):
        return Inspector(
            inspect=inspect_with_trees,
            update_state=update_play_state,
            initial_state=initial_play_state(observer, model, environment_spec, config),
        )
    return Inspector(
        inspect=inspect,
        update_state=observer.update_state,
        initial_state=observer.initial_state,
    )
