"""Return of a search of the true model beside one of the learned model.

The true model of a game of pgx are its rules. That of other environments are copies of their state,
of which the search steps one per node. A copy whose outcome depends on chance would foretell the
outcome that the environment draws next, so that such environments are left out.
"""

import contextlib
import copy
import dataclasses
from typing import Any

import chex
import dm_env
import jax
import jax.numpy as jnp
import mctx
import numpy as np
from jax.experimental import io_callback

from mukoe.agents.alphazero.model import alphazero_model
from mukoe.agents.planning.policy import make_search_policy
from mukoe.agents.planning.root import RootNetworks, make_root
from mukoe.diagnosis.xray.results import Estimate, Row, Section, Table, estimate
from mukoe.diagnosis.xray.returns import PairedEpisodes, make_environment, play
from mukoe.diagnosis.xray.search_budget import simulations_of_run
from mukoe.environments.pgx.games import PGX_GAMES
from mukoe.environments.pgx.rules import load_rules
from mukoe.environments.sync_vector import SyncVectorEnvironment
from mukoe.evaluation.players import two_player_game
from mukoe.layouts.common.stored_run import StoredRun
from mukoe.search.base import SearchModel
from mukoe.search.root import complete_mask, mask_logits
from mukoe.types import Array, Params, Policy, split_legal_actions

_HEADING = "Learned and true model"
# Steps after which copies with other random numbers have to agree.
_PROBES = 20
# Parts of an environment that copies share: constants, of which the tables of Taxi take longest.
_SHARED = ("P", "spec", "metadata", "action_space", "observation_space", "_action_spec")


def measure_true_model(episodes: PairedEpisodes) -> Section:
    """Measures the return of the run's search with the true model in place of the learned one."""
    run, config = episodes.run, episodes.config
    reason = _reason_against(run)
    if reason:
        return Section("true_model", _HEADING, f"Not measured: {reason}.")
    learned = episodes.play(num_simulations=simulations_of_run(run))
    game = two_player_game(run)
    if learned is None:
        true = None
    elif game:
        run = run.with_overrides({"environment.positions": "True"})
        true = play(run, config, episodes.stop, rules_policy(run, game))
    else:
        environment: Any = make_environment(run, config)
        policy = copies_policy(run, Copies(environment))
        true = play(run, config, episodes.stop, policy, environment)
    if learned is None or true is None:
        return Section("true_model", _HEADING, "The budget ended before the return.")
    prior = episodes.play(num_simulations=0)
    rows: list[Row] = [] if prior is None else [["no search", estimate(prior.values), "–"]]
    gain: Estimate = estimate(true.values - learned.values)
    rows += [
        ["learned model", estimate(learned.values), "–"],
        ["true model", estimate(true.values), gain],
    ]
    text = (
        f"The search of the run with its {simulations_of_run(run)} simulations, its priors and "
        "values. With the true model they are those of the observation that follows, and rewards "
        "and ends those of the environment. Equal seeds. Depth by depth, the figures above compare "
        "the learned model with the environment's steps."
    )
    table = Table("returns", ["search of the", "return", "gain over the learned model"], rows)
    return Section("true_model", _HEADING, text, (), [table])


def _reason_against(run: StoredRun) -> str:
    """Returns the reason why there is no search of the true model; empty if there is one."""
    agent = run.config.agent
    if getattr(agent, "searches_positions", False):
        return "the agent searches the true model"
    if not hasattr(agent, "history") or agent.history.frames > 1:
        return "a node of the true model lacks the past frames that this agent's network reads"
    if getattr(getattr(agent, "memory", None), "core", "none") != "none":
        return "a node of the true model lacks the memory of this agent"
    if agent.search.num_candidates:
        return "the search draws candidates"
    game = two_player_game(run)
    if game:
        return "the rules of the game draw by chance" if PGX_GAMES[game].chance else ""
    with contextlib.closing(run.experiment.environment_factory(0, 1, True)) as environment:
        if not isinstance(environment, SyncVectorEnvironment):
            return "the environments of this kind cannot be copied one by one"
        try:
            copy_of(environment.environments[0])
        except (TypeError, NotImplementedError, AttributeError, copy.Error):
            return "the state of this environment cannot be copied"
        if depends_on_chance(environment):
            return "outcomes depend on chance, and a copy of the state would foretell them"
    return ""


def _policy(run: StoredRun, model: SearchModel) -> Policy:
    space, agent = run.make_networks().action_space, run.config.agent
    return make_search_policy(
        model, space, run.environment_spec, agent, True, lambda params: params
    )


def rules_policy(run: StoredRun, game: str) -> Policy:
    """Returns the policy of a run that searches the rules of a two-player game of pgx."""
    rules = load_rules(game, max_steps=None).with_positions()
    model = alphazero_model(run.make_networks(), rules, run.config.agent.discount)
    return _policy(run, model)


def copies_policy(run: StoredRun, copies: "Copies") -> Policy:
    """Returns the policy of a run that searches copies of its environments."""
    model = copies_model(run.make_networks(), copies, run.config.agent.discount)
    return _policy(run, model)


class Copies:
    """Copies of a vector's environments: one for each node of the searches.

    environment: vector that acts.
    """

    def __init__(self, environment: SyncVectorEnvironment):
        """Starts without any node."""
        self._environment = environment
        self.observation_spec = environment.spec.observations
        self._nodes: list[tuple[dm_env.Environment, dm_env.TimeStep | None]] = []

    def roots(self) -> np.ndarray:
        """Forgets all nodes; returns the nodes `[B]` of the present states."""
        self._nodes = [(each, None) for each in self._environment.environments]
        return np.arange(len(self._nodes), dtype=np.int32)

    def step(self, nodes: np.ndarray, actions: np.ndarray) -> tuple[np.ndarray, dm_env.TimeStep]:
        """Steps a copy of each node `[B]`; returns the nodes reached, and what they return.

        A state behind the end of an episode stays, without reward.
        """
        reached, timesteps = [], []
        for node, action in zip(np.asarray(nodes), np.asarray(actions), strict=True):
            environment, last = self._nodes[node]
            if last is not None and last.last():
                timestep = last._replace(reward=0.0)
            else:
                environment = copy_of(environment)
                timestep = environment.step(action)
            reached.append(len(self._nodes))
            self._nodes.append((environment, timestep))
            timesteps.append(timestep)
        observations = [timestep.observation for timestep in timesteps]
        stacked = dm_env.TimeStep(
            np.array([timestep.step_type for timestep in timesteps], np.int32),
            np.array([timestep.reward for timestep in timesteps], np.float32),
            np.array([timestep.discount for timestep in timesteps], np.float32),
            jax.tree.map(lambda *leaves: np.stack(leaves), *observations),
        )
        return np.array(reached, np.int32), stacked


def copies_model(networks: RootNetworks, copies: Copies, discount: float) -> SearchModel:
    """Returns the model that steps copies of the environments; the embedding is the node `[B]`.

    Args:
      networks: networks of the agent, which evaluate true observations.
      copies: copies of the environments that act.
      discount: discount per step.
    """
    evaluate = make_root(networks)

    def root(params: Params, observation: Any) -> mctx.RootFnOutput:
        output = evaluate(params, observation)
        batch_size = output.value.shape[0]
        nodes = io_callback(copies.roots, jax.ShapeDtypeStruct((batch_size,), jnp.int32))
        return dataclasses.replace(output, embedding=nodes)

    def recurrent(
        params: Params, key: chex.PRNGKey, action: Array, nodes: Array
    ) -> tuple[mctx.RecurrentFnOutput, Array]:
        del key
        nodes, timestep = io_callback(copies.step, copies_spec(copies, len(nodes)), nodes, action)
        features, legal = split_legal_actions(timestep.observation)
        prediction = evaluate(params, features)
        logits = prediction.prior_logits
        if legal is not None:
            logits = mask_logits(logits, complete_mask(legal, logits))
        output = mctx.RecurrentFnOutput(
            reward=timestep.reward,
            discount=discount * timestep.discount,
            prior_logits=logits,
            value=jnp.where(timestep.discount == 0, 0.0, prediction.value),
        )
        return output, nodes

    return SearchModel(root, recurrent)


def copies_spec(copies: Copies, batch_size: int) -> tuple[jax.ShapeDtypeStruct, dm_env.TimeStep]:
    """Returns the shapes and types of `Copies.step`."""
    number = jax.ShapeDtypeStruct((batch_size,), jnp.float32)
    index = jax.ShapeDtypeStruct((batch_size,), jnp.int32)
    observation = jax.tree.map(
        lambda spec: jax.ShapeDtypeStruct((batch_size, *spec.shape), spec.dtype),
        copies.observation_spec,
    )
    return index, dm_env.TimeStep(index, number, number, observation)


def copy_of(environment: dm_env.Environment, seed: int | None = None) -> dm_env.Environment:
    """Returns a copy of an environment that shares its constants.

    Args:
      environment: environment.
      seed: seed of the copy's random numbers; None for those that the environment draws next.

    Raises:
      TypeError: the environment cannot be copied.
    """
    memo: dict[int, Any] = {}
    layer: Any = environment
    while layer is not None:
        for name in _SHARED:
            if name in vars(layer):
                memo[id(vars(layer)[name])] = vars(layer)[name]
        layer = vars(layer).get("_environment", vars(layer).get("env"))
    copied = copy.deepcopy(environment, memo)
    native = getattr(getattr(copied, "native", None), "unwrapped", None)
    if seed is not None and native is not None:
        native.np_random = np.random.default_rng(seed)
    return copied


def depends_on_chance(environment: SyncVectorEnvironment) -> bool:
    """Returns whether two copies with other random numbers differ after the same actions."""
    environment.reset()
    spec, generator = environment.spec.actions, np.random.default_rng(0)
    actions = generator.integers(spec.num_values, size=_PROBES)
    first, second = (copy_of(environment.environments[0], seed) for seed in (1, 2))
    for action in actions:
        one, other = first.step(action), second.step(action)
        leaves = zip(jax.tree.leaves(one[1:]), jax.tree.leaves(other[1:]), strict=True)
        if not all(np.array_equal(a, b) for a, b in leaves):
            return True
        if one.last():
            break
    return False
