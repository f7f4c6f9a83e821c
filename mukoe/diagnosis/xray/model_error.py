"""Errors of the learned model by unroll depth, on and off the agent's own trajectories."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from mukoe.agents.extensions import Unroll, UnrollPredictions, Unrolls
from mukoe.diagnosis.xray.rare_rewards import (
    MOST_REWARDS,
    RareRewards,
    foreseen,
    imagined,
    rare_rewards,
)
from mukoe.diagnosis.xray.results import (
    Estimate,
    Figure,
    Section,
    Series,
    estimate_of_groups,
)
from mukoe.diagnosis.xray.trajectories import Trajectories
from mukoe.layouts.common.stored_run import StoredRun
from mukoe.networks.memory import MEMORY
from mukoe.types import Params, split_legal_actions

_HEADING = "Errors of the model by unroll depth"
_DEPTH = "model steps after the root"
_LONGEST = 10
_WINDOWS = MOST_REWARDS
_TINY = 1e-8


class Unrolled(NamedTuple):
    """Unrolls of the model along recorded actions, beside what was recorded.

    stream: `[N]` stream of each window.
    rewards, true_rewards: `[N, K]`.
    rewards_before, rewards_after: `[N, K]` recorded reward of the previous and next action.
    discounts, true_discounts: `[N, K]` of the search's model and of the environment.
    values: `[N, K+1]` of the unrolled states.
    direct_values: `[N, K+1]` of the recorded observations of the same steps.
    returns: `[N, K+1]` discounted returns.
    divergence: `[N, K+1]` KL, in nats, of the unrolled policy from that of the observation.
    gains: `[N]` by quantity: error after the actions of other windows less that after the own.
    end_rewards, last_rewards: `[M]` predicted reward behind a termination, and recorded reward of
      the action that led to it; `M` is 0 without terminations.
    end_values: `[M]` value of the state behind a termination.
    """

    stream: np.ndarray
    rewards: np.ndarray
    true_rewards: np.ndarray
    rewards_before: np.ndarray
    rewards_after: np.ndarray
    discounts: np.ndarray
    true_discounts: np.ndarray
    values: np.ndarray
    direct_values: np.ndarray
    returns: np.ndarray
    divergence: np.ndarray
    gains: Mapping[str, np.ndarray]
    end_rewards: np.ndarray
    last_rewards: np.ndarray
    end_values: np.ndarray


class Unroller:
    """Unrolls the model of a run, compiled once for all parameters.

    reason: reason why there is no unroll; empty if there is one.
    """

    def __init__(self, run: StoredRun, depth: int):
        """Builds the model.

        Args:
          run: run with its agent.
          depth: model steps after the root, for an agent whose model learns several.
        """
        agent = run.config.agent
        self.reason = ""
        if not isinstance(run.experiment.builder, Unrolls):
            self.reason = "Not applicable: the agent has no model that can be unrolled."
            return
        if hasattr(agent, "loss") and hasattr(agent.loss, "unroll_steps"):
            run = run.with_overrides({"agent.loss.unroll_steps": depth})
        builder: Any = run.experiment.builder
        networks = run.make_networks()
        policy = builder.make_policy(networks, run.environment_spec, True)
        if MEMORY in policy.extras_spec:
            self.reason = (
                "Not applicable: the unroll of an agent with a memory needs its stored states."
            )
        self._run = run
        self._model = jax.jit(builder.make_unroll(networks, run.environment_spec))

    def __call__(self, params: Params, trajectories: Trajectories) -> Unrolled | str:
        """Returns the unrolls from recorded observations along the actions taken there.

        The reason for their absence is returned instead where there are none.
        """
        if self.reason:
            return self.reason
        return _unroll(self._run, params, self._model, trajectories)

    def rare_rewards(self, params: Params, trajectories: Trajectories) -> RareRewards | None:
        """Returns the predictions of rare rewards; None without a model that predicts them."""
        if self.reason or not (depth := self._run.config.agent.targets.unroll_steps):
            return None
        history = self._run.experiment.builder.replay.history
        return rare_rewards(self._model, params, trajectories, history, depth)


def unroll_depth(recorded: Sequence[Trajectories]) -> int:
    """Returns the largest depth that the usual episode of every recording has."""
    return min(_LONGEST, *(max(1, _usual_length(each) - 1) for each in recorded))


def unroll(run: StoredRun, recorded: Sequence[Trajectories]) -> list[Unrolled | str]:
    """Returns for each recording the unrolls, or the reason for their absence."""
    unroller = Unroller(run, unroll_depth(recorded))
    return [unroller(run.params.network, trajectories) for trajectories in recorded]


def _unroll(
    run: StoredRun, params: Params, model: Unroll, trajectories: Trajectories
) -> Unrolled | str:
    depth, history = run.config.agent.targets.unroll_steps, run.experiment.builder.replay.history
    starts = _starts(trajectories, history, depth)
    if not len(starts):
        return f"No episode of the trajectories has {history + depth} steps."
    times = starts[:, :1] + np.arange(history + depth + 1)
    streams = starts[:, 1:]
    rows = trajectories.rows(times, streams)
    predictions = jax.tree.map(np.asarray, model(params, rows))
    other = np.random.default_rng(0).permutation(len(rows.action))
    actions = np.concatenate([rows.action[:, :history], rows.action[other, history:]], axis=1)
    others = jax.tree.map(np.asarray, model(params, rows._replace(action=actions)))
    at = times[:, history:]
    rewards = trajectories.reward
    own_errors, other_errors = (
        _errors(trajectories, at, streams, each) for each in (predictions, others)
    )
    end_rewards, last_rewards, end_values = _behind_ends(
        trajectories, params, model, history, depth
    )
    return Unrolled(
        end_rewards=end_rewards,
        last_rewards=last_rewards,
        end_values=end_values,
        stream=streams[:, 0],
        rewards=predictions.rewards,
        true_rewards=rewards[at[:, :-1], streams],
        rewards_before=np.where(
            trajectories.first[at[:, :-1], streams], 0.0, rewards[at[:, :-1] - 1, streams]
        ),
        rewards_after=np.where(
            trajectories.last[at[:, 1:], streams], 0, rewards[at[:, 1:], streams]
        ),
        discounts=predictions.discounts,
        true_discounts=trajectories.discount[at[:, :-1], streams],
        values=predictions.values,
        direct_values=trajectories.search["root_value"][at, streams],
        returns=trajectories.returns(run.config.agent.discount)[at, streams],
        divergence=_divergence(trajectories, at, streams, predictions.policy_logits),
        gains={name: other_errors[name] - error for name, error in own_errors.items()},
    )


def _behind_ends(
    trajectories: Trajectories, params: Params, model: Unroll, history: int, depth: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns predicted and last rewards and values of windows whose last but one action ends."""
    length, none = history + depth, np.zeros(0)
    acted, ended = trajectories.acted, trajectories.last
    if len(acted) <= length or depth < 2:
        return none, none, none
    whole = [acted[i : len(acted) - length + i] for i in range(length - 1)]
    ends = ended[length - 1 : -1] & (trajectories.discount[length - 2 : -2] == 0)
    starts = np.argwhere(np.all([*whole, ends], axis=0))
    if not len(starts):
        return none, none, none
    starts = starts[np.linspace(0, len(starts) - 1, _WINDOWS).astype(int)]
    times, streams = starts[:, :1] + np.arange(length + 1), starts[:, 1:]
    predictions = jax.tree.map(np.asarray, model(params, trajectories.rows(times, streams)))
    last = trajectories.reward[times[:, length - 2], streams[:, 0]]
    rewards = predictions.rewards[:, -1] if predictions.rewards.size else none
    return rewards, last[: len(rewards)], predictions.values[:, -2]


def _errors(
    trajectories: Trajectories, at: np.ndarray, streams: np.ndarray, predictions: UnrollPredictions
) -> dict[str, np.ndarray]:
    """Returns the mean errors `[N]` behind the root, by quantity; empty without an unroll."""
    if predictions.values.shape[1] < 2:
        return {}
    values = predictions.values - trajectories.search["root_value"][at, streams]
    errors = {"value": np.abs(values)[:, 1:]}
    divergence = _divergence(trajectories, at, streams, predictions.policy_logits)
    if np.isfinite(divergence).all():
        errors["policy"] = divergence[:, 1:]
    if predictions.rewards.size:
        rewards = predictions.rewards - trajectories.reward[at[:, :-1], streams]
        errors["reward"] = np.abs(rewards)
    return {name: error.mean(axis=1) for name, error in errors.items()}


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
    # A model without an unroll, that of the rules, is evaluated where an action was taken.
    steps = range(max(length, 1))
    whole = np.all([acted[i : len(acted) - length + i] for i in steps], axis=0)
    starts = np.argwhere(whole)
    if not len(starts):
        return starts
    return starts[np.linspace(0, len(starts) - 1, _WINDOWS).astype(int)]


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


def measure_model(
    own: Unrolled | str,
    random: Unrolled | str,
    rare: Sequence[RareRewards | None] = (None, None),
) -> Section:
    """Compares the model along the agent's own trajectories and along random actions.

    Args:
      own: unrolls along the agent's actions, or the reason for their absence.
      random: those along random actions.
      rare: rare rewards of both, each None if unknown.
    """
    found = {"own actions": own, "random actions": random}
    unrolls = {name: value for name, value in found.items() if isinstance(value, Unrolled)}
    if not unrolls:
        return Section("model", _HEADING, str(own))
    quantities = [
        ("reward_error", "Absolute error of the reward", reward_errors),
        ("value_consistency", "Value: unrolled less that of the observation", value_differences),
        ("value_error", "Value: unrolled less the discounted return", value_errors),
        ("policy_divergence", "KL(policy of the observation, unrolled), nats", divergences),
    ]
    figures = []
    for name, title, errors in quantities:
        series = [
            Series(label, *_curve(errors(unrolled), unrolled.stream, int(name == "reward_error")))
            for label, unrolled in unrolls.items()
            if errors(unrolled).size and np.isfinite(errors(unrolled)).all()
        ]
        if series:
            figures.append(Figure(name, title, _DEPTH, series))
    figures += _rare_figures(unrolls, dict(zip(found, rare, strict=True)))
    text = (
        "The model is unrolled along the actions that were taken, by the agent and at random. "
        "Means of absolute differences; intervals over streams. The return of random actions is "
        "not the value of the agent: there, the difference from the value of the observation "
        "counts. A rare reward is foreseen if its prediction has its sign and at least half its "
        "size; half of the least one counts where there is no reward."
    )
    missing = [f"{name}: {value}" for name, value in found.items() if isinstance(value, str)]
    return Section("model", _HEADING, " ".join([text, *missing]), figures)


def _rare_figures(
    unrolls: Mapping[str, Unrolled], rewards: Mapping[str, RareRewards | None]
) -> list[Figure]:
    """Returns the figures of rare rewards; none where none was recorded."""
    found = [
        (name, rare, unrolls[name])
        for name, rare in rewards.items()
        if rare is not None and name in unrolls and np.isfinite(rare.predicted).any()
    ]
    if not found:
        return []
    seen = [Series(name, *foreseen(rare)) for name, rare, _ in found]
    wrong = [
        Series(name, *imagined(rare, each.rewards, each.true_rewards, each.stream))
        for name, rare, each in found
    ]
    return [
        Figure("rare_rewards", "Share of rare rewards that are foreseen", _DEPTH, seen),
        Figure("false_rewards", "Share of steps without reward that get one", _DEPTH, wrong),
    ]


def _curve(
    errors: np.ndarray, streams: np.ndarray, first: int
) -> tuple[list[float], list[Estimate]]:
    depths = [float(first + k) for k in range(errors.shape[1])]
    return depths, [estimate_of_groups(errors[:, k], streams) for k in range(errors.shape[1])]


def reward_errors(unrolled: Unrolled) -> np.ndarray:
    """Returns the absolute errors `[N, K]` of the rewards."""
    return np.abs(unrolled.rewards - unrolled.true_rewards)


def value_differences(unrolled: Unrolled) -> np.ndarray:
    """Returns the differences `[N, K+1]` from the values of the observations."""
    return np.abs(unrolled.values - unrolled.direct_values)


def value_errors(unrolled: Unrolled) -> np.ndarray:
    """Returns the differences `[N, K+1]` from the discounted returns."""
    return np.abs(unrolled.values - unrolled.returns)


def divergences(unrolled: Unrolled) -> np.ndarray:
    """Returns the KL `[N, K+1]` of the unrolled policies; NaN for candidates."""
    return unrolled.divergence
