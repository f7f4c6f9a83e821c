"""Decisions that the search changes, and the return that a change gains."""

import contextlib
import copy
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from mukoe.acting.random_policy import random_actions
from mukoe.diagnosis.xray.config import XrayConfig
from mukoe.diagnosis.xray.results import Estimate, Row, Section, Table, estimate_of_groups
from mukoe.diagnosis.xray.trajectories import (
    NUM_STREAMS,
    Recorder,
    Trajectories,
    steps_environment,
)
from mukoe.diagnosis.xray.variants import with_search
from mukoe.environments.vector import VectorEnvironment, copies_state
from mukoe.layouts.common.stored_run import StoredRun
from mukoe.nests import tree_where
from mukoe.types import Nest, Policy

_HEADING = "Decisions that the search changes"
_HORIZON = 200
_BRANCHES = 24
_STEPS_BETWEEN = 3
_NOT_CLONED = "the state of this environment cannot be cloned"


def differs(trajectories: Trajectories) -> np.ndarray:
    """Returns `[T, B]` bool, True where the search decides otherwise than the prior's mode."""
    prior, search = (trajectories.search[f"{name}_action"] for name in ("prior", "search"))
    differences = prior != search
    return differences.reshape(*differences.shape[:2], -1).any(axis=-1)


def measure_decisions(
    recorder: Recorder, trajectories: Trajectories, config: XrayConfig, stop: Callable[[], bool]
) -> Section:
    """Measures the share of changed decisions, and their worth by paired rollouts."""
    acted, streams = trajectories.acted, trajectories.streams
    policy, visits = trajectories.search["search_policy"], trajectories.search["visits"]
    unvisited = np.sum(policy * (visits == 0), axis=-1)
    top = np.take_along_axis(visits, policy.argmax(axis=-1)[..., None], axis=-1)[..., 0]

    def share(values: np.ndarray) -> Estimate:
        return estimate_of_groups(values[acted], streams[acted])

    shares = Table(
        "shares",
        ["of all decisions of the agent", "mean"],
        [
            ["share that the search changes", share(differs(trajectories))],
            ["search policy on unvisited actions", share(unvisited)],
            ["share whose most probable action is unvisited", share(top == 0)],
            ["visited actions", share((visits > 0).sum(axis=-1))],
            ["KL(search policy, prior), nats", share(trajectories.search["search_prior_kl"])],
        ],
    )
    algorithm = recorder.run.config.agent.search.algorithm
    source = {
        "gumbel": "An unvisited action takes its probability from the prior and the mixed value "
        "that completes its Q-value.",
        "muzero": "The search policy is that of the visits: an unvisited action has probability 0.",
    }.get(algorithm, "")
    worth, remark = _worth(recorder, config, stop)
    text = (
        "The decision of the prior is its most probable action. A changed decision is worth the "
        "discounted return after the search's action, less that after the prior's, from copies of "
        f"the same state with the same random numbers; after it, the prior acts for {_HORIZON} "
        f"steps at most. {source} {remark}"
    )
    return Section("decisions", _HEADING, text, (), [shares, *worth])


def _worth(
    recorder: Recorder, config: XrayConfig, stop: Callable[[], bool]
) -> tuple[list[Table], str]:
    differences, groups, remark = gains(recorder, config, stop)
    if not differences.size:
        return [], remark
    value = estimate_of_groups(differences, groups)
    better = estimate_of_groups(differences > 0, groups)
    worse = estimate_of_groups(differences < 0, groups)
    rows: list[Row] = [["gain", value], ["share that gains", better], ["share that loses", worse]]
    return [Table("worth", [f"{value.size} changed decisions", "mean"], rows)], remark


def gains(
    recorder: Recorder, config: XrayConfig, stop: Callable[[], bool]
) -> tuple[np.ndarray, np.ndarray, str]:
    """Returns gains `[N]` of changed decisions, their streams `[N]`, and a remark.

    The states are reached by the agent's actions, of which a tenth are random.
    """
    run = recorder.run
    rollout = _Rollout(run, with_search(run, num_simulations=0).make_policy())
    generator = np.random.default_rng(config.seed)
    found: list[np.ndarray] = []
    groups: list[np.ndarray] = []
    branches = step = 0
    environment = steps_environment(run, config.seed)
    with contextlib.closing(environment):
        timestep, state = environment.reset(), recorder.inspector.initial_state(NUM_STREAMS)
        cloner = _cloner(run, config, environment)
        if cloner is None:
            return np.zeros(0), np.zeros(0, int), f"Not measured: {_NOT_CLONED}."
        while branches < _BRANCHES and step < 40 * _BRANCHES and not (branches and stop()):
            observation = timestep.observation
            numbers, state = recorder.decide(observation, state, timestep.first())
            numbers = jax.device_get(numbers)
            actions = [numbers["search_action"], numbers["prior_action"]]
            changed = (actions[0] != actions[1]).reshape(NUM_STREAMS, -1).any(-1) & ~timestep.last()
            if changed.any() and step % _STEPS_BETWEEN == 0:
                after = [
                    rollout(cloner(), action, recorder.update_state(observation, action, state))
                    for action in actions
                ]
                found.append((after[0] - after[1])[changed])
                groups.append(np.flatnonzero(changed))
                branches += 1
            is_random = generator.random(NUM_STREAMS) < 0.1
            random = random_actions(run.environment_spec, observation, generator)
            action = np.asarray(tree_where(is_random, random, actions[0]))
            state = recorder.update_state(observation, action, state)
            timestep = environment.step(action)
            step += 1
    if not found:
        return np.zeros(0), np.zeros(0, int), "No changed decision was found."
    return np.concatenate(found), np.concatenate(groups), ""


class _Rollout:
    """Rollouts of the prior after a first action."""

    def __init__(self, run: StoredRun, policy: Policy):
        self._apply = jax.jit(policy.apply)
        self._params = jax.device_put(run.params)
        self._discount = run.config.agent.discount

    def __call__(self, environment: VectorEnvironment, action: Any, state: Nest) -> np.ndarray:
        """Returns the discounted returns `[B]` of the player who takes the first action."""
        total, weight = np.zeros(NUM_STREAMS), np.ones(NUM_STREAMS)
        key = jax.random.PRNGKey(0)
        for _ in range(_HORIZON):
            timestep = environment.step(np.asarray(action))
            total += weight * timestep.reward
            weight = weight * self._discount * timestep.discount * ~timestep.last()
            if not weight.any():
                break
            action, _, state = self._apply(self._params, key, timestep.observation, state)
        return total


def _cloner(
    run: StoredRun, config: XrayConfig, environment: VectorEnvironment
) -> Callable[[], VectorEnvironment] | None:
    """Returns a function that copies the environments; None if their state cannot be copied."""
    if copies_state(environment):
        twin: Any = steps_environment(run, config.seed)
        twin.reset()
        original: Any = environment

        def restore() -> VectorEnvironment:
            twin.set_state(original.get_state())
            return twin

        return restore
    try:
        copy.deepcopy(environment)
    except (TypeError, NotImplementedError, AttributeError, copy.Error):
        return None
    return lambda: copy.deepcopy(environment)
