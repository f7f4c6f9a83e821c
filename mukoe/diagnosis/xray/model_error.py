"""Errors of the learned model by unroll depth, on and off the agent's own trajectories."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from mukoe.agents.extensions import Unroll, Unrolls
from mukoe.diagnosis.xray.results import (
    Estimate,
    Figure,
    Section,
    Series,
    estimate_of_groups,
)
from mukoe.diagnosis.xray.trajectories import Trajectories
from mukoe.diagnosis.xray.variants import with_overrides
from mukoe.layouts.common.stored_run import StoredRun
from mukoe.networks.memory import MEMORY
from mukoe.types import Row, split_legal_actions

_HEADING = "Errors of the model by unroll depth"
_LONGEST = 10
_WINDOWS = 1_024
_TINY = 1e-8


class Unrolled(NamedTuple):
    """Unrolls of the model along recorded actions, beside what was recorded.

    stream: `[N]` stream of each window.
    rewards, true_rewards: `[N, K]`.
    rewards_before, rewards_after: `[N, K]` recorded reward of the previous and next action.
    values: `[N, K+1]` of the unrolled states.
    direct_values: `[N, K+1]` of the recorded observations of the same steps.
    returns: `[N, K+1]` discounted returns.
    divergence: `[N, K+1]` KL, in nats, of the unrolled policy from that of the observation.
    """

    stream: np.ndarray
    rewards: np.ndarray
    true_rewards: np.ndarray
    rewards_before: np.ndarray
    rewards_after: np.ndarray
    values: np.ndarray
    direct_values: np.ndarray
    returns: np.ndarray
    divergence: np.ndarray


def unroll(run: StoredRun, recorded: Sequence[Trajectories]) -> list[Unrolled | str]:
    """Unrolls the model from recorded observations along the actions taken there.

    Returns:
      For each recording the unrolls, or the reason for their absence.
    """
    agent = run.config.agent
    if not isinstance(run.experiment.builder, Unrolls):
        reason = "Not applicable: the agent has no model that can be unrolled."
        return [reason for _ in recorded]
    if hasattr(agent, "loss") and hasattr(agent.loss, "unroll_steps"):
        depth = min(_LONGEST, *(max(1, _usual_length(each) - 1) for each in recorded))
        run = with_overrides(run, {"agent.loss.unroll_steps": depth})
    builder: Any = run.experiment.builder
    networks = run.make_networks()
    policy = builder.make_policy(networks, run.environment_spec, True)
    if MEMORY in policy.extras_spec:
        reason = "Not applicable: the unroll of an agent with a memory needs its stored states."
        return [reason for _ in recorded]
    model = jax.jit(builder.make_unroll(networks, run.environment_spec))
    return [_unroll(run, model, trajectories) for trajectories in recorded]


def _unroll(run: StoredRun, model: Unroll, trajectories: Trajectories) -> Unrolled | str:
    depth, history = run.config.agent.targets.unroll_steps, run.experiment.builder.replay.history
    starts = _starts(trajectories, history, depth)
    if not len(starts):
        return f"No episode of the trajectories has {history + depth} steps."
    times = starts[:, :1] + np.arange(history + depth + 1)
    streams = starts[:, 1:]
    predictions = model(run.params.network, _rows(trajectories, times, streams))
    predictions = jax.tree.map(np.asarray, predictions)
    at = times[:, history:]
    rewards = trajectories.reward
    return Unrolled(
        stream=streams[:, 0],
        rewards=predictions.rewards,
        true_rewards=rewards[at[:, :-1], streams],
        rewards_before=np.where(
            trajectories.first[at[:, :-1], streams], 0.0, rewards[at[:, :-1] - 1, streams]
        ),
        rewards_after=np.where(
            trajectories.last[at[:, 1:], streams], 0, rewards[at[:, 1:], streams]
        ),
        values=predictions.values,
        direct_values=trajectories.search["root_value"][at, streams],
        returns=trajectories.returns(run.config.agent.discount)[at, streams],
        divergence=_divergence(trajectories, at, streams, predictions.policy_logits),
    )


def _usual_length(trajectories: Trajectories) -> int:
    """Returns the median number of actions of the recorded episodes, cut off ones included."""
    starts = trajectories.first.sum(axis=0).clip(min=1)
    return int(np.median(trajectories.acted.sum(axis=0) / starts))


def _starts(trajectories: Trajectories, history: int, depth: int) -> np.ndarray:
    """Returns first rows (step, stream) `[N, 2]` of windows inside an episode, evenly spaced.

    The number of windows is constant, so that the unroll is compiled once; there are none, or some
    are repeated where the recording has fewer.
    """
    length = history + depth
    acted = trajectories.acted
    if len(acted) <= length:
        return np.zeros((0, 2), int)
    whole = np.all([acted[i : len(acted) - length + i] for i in range(length)], axis=0)
    starts = np.argwhere(whole)
    if not len(starts):
        return starts
    return starts[np.linspace(0, len(starts) - 1, _WINDOWS).astype(int)]


def _rows(trajectories: Trajectories, times: np.ndarray, streams: np.ndarray) -> Row:
    features = jax.tree.map(lambda leaf: leaf[times, streams], trajectories.observation)
    return Row(
        observation=features,
        action=trajectories.action[times, streams],
        reward=trajectories.reward[times, streams].astype(np.float32),
        discount=trajectories.discount[times, streams].astype(np.float32),
        mask=trajectories.acted[times, streams].astype(np.float32),
        extras={},
    )


def _divergence(
    trajectories: Trajectories, at: np.ndarray, streams: np.ndarray, logits: np.ndarray
) -> np.ndarray:
    """Returns the KL `[N, K+1]` between policies over all actions; NaN for candidates."""
    direct = trajectories.search["prior"][at, streams]
    if direct.shape != logits.shape:
        return np.full(at.shape, np.nan)
    _, legal = split_legal_actions(trajectories.observation)
    if legal is not None:
        # Final observations have no legal action.
        mask = legal[at, streams] | ~legal[at, streams].any(axis=-1, keepdims=True)
        logits = np.where(mask, logits, -1e9)
    unrolled = np.asarray(jax.nn.softmax(logits, axis=-1))
    ratio = np.log(np.maximum(direct, _TINY)) - np.log(np.maximum(unrolled, _TINY))
    return np.sum(direct * ratio, axis=-1)


def measure_model(own: Unrolled | str, random: Unrolled | str) -> Section:
    """Compares the model along the agent's own trajectories and along random actions."""
    found = {"own actions": own, "random actions": random}
    unrolls = {name: value for name, value in found.items() if isinstance(value, Unrolled)}
    if not unrolls:
        return Section("model", _HEADING, str(own))
    quantities = [
        ("reward_error", "Absolute error of the reward", _reward_errors),
        ("value_consistency", "Value: unrolled less that of the observation", _value_differences),
        ("value_error", "Value: unrolled less the discounted return", _value_errors),
        ("policy_divergence", "KL(policy of the observation, unrolled), nats", _divergences),
    ]
    figures = []
    for name, title, errors in quantities:
        series = [
            Series(label, *_curve(errors(unrolled), unrolled.stream, int(name == "reward_error")))
            for label, unrolled in unrolls.items()
            if errors(unrolled).size and np.isfinite(errors(unrolled)).all()
        ]
        if series:
            figures.append(Figure(name, title, "model steps after the root", series))
    text = (
        "The model is unrolled along the actions that were taken, by the agent and at random. "
        "Means of absolute differences; intervals over streams. The return of random actions is "
        "not the value of the agent: there, the difference from the value of the observation "
        "counts."
    )
    missing = [f"{name}: {value}" for name, value in found.items() if isinstance(value, str)]
    return Section("model", _HEADING, " ".join([text, *missing]), figures)


def _curve(
    errors: np.ndarray, streams: np.ndarray, first: int
) -> tuple[list[float], list[Estimate]]:
    depths = [float(first + k) for k in range(errors.shape[1])]
    return depths, [estimate_of_groups(errors[:, k], streams) for k in range(errors.shape[1])]


def _reward_errors(unrolled: Unrolled) -> np.ndarray:
    return np.abs(unrolled.rewards - unrolled.true_rewards)


def _value_differences(unrolled: Unrolled) -> np.ndarray:
    return np.abs(unrolled.values - unrolled.direct_values)


def _value_errors(unrolled: Unrolled) -> np.ndarray:
    return np.abs(unrolled.values - unrolled.returns)


def _divergences(unrolled: Unrolled) -> np.ndarray:
    return unrolled.divergence
