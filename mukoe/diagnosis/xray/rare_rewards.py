"""Rare rewards, such as the results of games, and whether the model foresees them.

The errors by unroll depth do not show them: a model that predicts 0 everywhere is nearly right.
Here each of them is the reward of the 1st to `K`-th action after the root.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mukoe.agents.extensions import Unroll
from mukoe.diagnosis.finding import Finding
from mukoe.diagnosis.xray.results import Estimate, estimate_of_groups
from mukoe.diagnosis.xray.trajectories import Trajectories
from mukoe.types import Params

MOST_REWARDS = 1_024
"""Rewards up to which the model is unrolled at most."""

_RARE = 0.2
"""Share of steps with a reward up to which rewards are rare."""

_LEAST_REWARDS, _LEAST_SEEN = 20, 0.1
"""Number of rare rewards for a verdict, and share of them below which it is `fault`."""


class RareRewards(NamedTuple):
    """Rewards unlike 0, and their predictions; none where they are not rare.

    stream: `[N]` stream of each reward.
    true: `[N]` rewards.
    predicted: `[N, K]` predictions from `1 .. K` actions before; NaN where the episode was not
      that old.
    """

    stream: np.ndarray
    true: np.ndarray
    predicted: np.ndarray


def rare_rewards(
    model: Unroll, params: Params, trajectories: Trajectories, history: int, depth: int
) -> RareRewards:
    """Unrolls the model up to the actions with rewards.

    Args:
      model: unroll of `history + depth` rows.
      params: parameters of the network.
      trajectories: recorded episodes.
      history: rows in front of the root.
      depth: `K`, actions behind the root.
    """
    acted, rewards = trajectories.acted[:-1], trajectories.reward[:-1]
    rewarded = acted & (rewards != 0)
    if rewarded.sum() > _RARE * acted.sum():
        rewarded[:] = False
    found = np.argwhere(rewarded)
    if len(found) > MOST_REWARDS:
        found = found[np.linspace(0, len(found) - 1, MOST_REWARDS).astype(int)]
    times, streams = found[:, 0], found[:, 1]
    rows = np.arange(len(trajectories.first))[:, None]
    begins = np.maximum.accumulate(np.where(trajectories.first, rows, 0), axis=0)[times, streams]
    predicted = np.full((len(found), depth), np.nan)
    # Windows are repeated, so that the model is compiled for one number of them.
    repeated = np.arange(MOST_REWARDS) % max(len(found), 1)
    for ahead in range(1, depth + 1) if len(found) else ():
        starts = times + 1 - ahead - history
        window = np.maximum(starts, 0)[:, None] + np.arange(history + depth + 1)
        # Rows behind the action, perhaps of other episodes, do not change its prediction.
        window = np.minimum(window, len(rows) - 1)
        each = model(params, trajectories.rows(window[repeated], streams[repeated, None]))
        if each.rewards.size:
            column = np.asarray(each.rewards)[: len(found), ahead - 1]
            predicted[:, ahead - 1] = np.where(starts >= begins, column, np.nan)
    return RareRewards(streams, rewards[times, streams], predicted)


def foreseen(rewards: RareRewards) -> tuple[list[float], list[Estimate]]:
    """Returns numbers of actions, and the share of rewards that the model foresees by them.

    A reward is foreseen if its prediction has its sign and at least half its size.
    """
    return _shares(_seen(rewards), np.isfinite(rewards.predicted), rewards.stream)


def judge_rare_rewards(recorded: Sequence[RareRewards | None]) -> Finding:
    """Judges whether the model foresees rare rewards one action ahead.

    Args:
      recorded: rare rewards of several recordings, each None without unrolls.
    """
    check = "rare rewards are foreseen"
    seen = [_seen(each)[np.isfinite(each.predicted[:, 0]), 0] for each in recorded if each]
    flat = np.concatenate(seen) if seen else np.zeros(0)
    if len(flat) < _LEAST_REWARDS:
        text = f"{len(flat)} rare rewards have a prediction; a verdict needs {_LEAST_REWARDS}"
        return Finding(check, "unknown", text)
    text = f"one action ahead the model foresees {flat.mean():.0%} of {len(flat)} rare rewards"
    if flat.mean() >= _LEAST_SEEN:
        return Finding(check, "ok", text)
    remedy = "more updates, a torso with convolutions, or a larger agent.loss.reward_weight"
    return Finding(check, "fault", f"{text}, so that the search has none to find: try {remedy}")


def _seen(rewards: RareRewards) -> np.ndarray:
    """Returns `[N, K]`, True where a reward is foreseen."""
    sign, size = np.sign(rewards.true)[:, None], np.abs(rewards.true)[:, None]
    return rewards.predicted * sign >= size / 2


def imagined(
    rewards: RareRewards, predicted: np.ndarray, true: np.ndarray, streams: np.ndarray
) -> tuple[list[float], list[Estimate]]:
    """Returns numbers of actions, and the share of steps without reward with a predicted one.

    Half the least rare reward counts.

    Args:
      rewards: rare rewards, at least one.
      predicted: `[N, K]` predictions within episodes.
      true: `[N, K]` recorded rewards.
      streams: `[N]` stream of each window.
    """
    wrong = np.abs(predicted) >= np.abs(rewards.true).min() / 2
    return _shares(wrong, true == 0, streams)


def _shares(
    hits: np.ndarray, counted: np.ndarray, streams: np.ndarray
) -> tuple[list[float], list[Estimate]]:
    """Returns the numbers of actions `k` with any counted step, and the shares of hits there."""
    depths = [k for k in range(counted.shape[1]) if counted[:, k].any()]
    shares = [estimate_of_groups(hits[counted[:, k], k], streams[counted[:, k]]) for k in depths]
    return [float(k + 1) for k in depths], shares
