"""Rare rewards, such as the results of games, and whether the model foresees them.

The errors by unroll depth do not show them: a model that predicts 0 everywhere is nearly right.
Here each of them is the reward of the 1st to `K`-th action after the root.
"""

from typing import NamedTuple

import numpy as np

from mukoe.agents.extensions import Unroll
from mukoe.diagnosis.xray.results import Estimate, estimate_of_groups
from mukoe.diagnosis.xray.trajectories import Trajectories
from mukoe.types import Params

MOST_REWARDS = 1_024
"""Rewards up to which the model is unrolled at most."""

_RARE = 0.2
"""Share of steps with a reward up to which rewards are rare."""


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
    found = np.argwhere(rewarded & (rewarded.sum() <= _RARE * acted.sum()))
    if len(found) > MOST_REWARDS:
        found = found[np.linspace(0, len(found) - 1, MOST_REWARDS).astype(int)]
    times, streams = found[:, 0], found[:, 1]
    rows = np.arange(len(trajectories.first))[:, None]
    begins = np.maximum.accumulate(np.where(trajectories.first, rows, 0), axis=0)[times, streams]
    starts = times[:, None] - np.arange(depth) - history
    windows = np.maximum(starts, 0)[..., None] + np.arange(history + depth + 1)
    # Rows behind the action, perhaps of other episodes, do not change its prediction.
    windows = np.minimum(windows, len(rows) - 1).reshape(-1, history + depth + 1)
    predicted = np.full(len(windows), np.nan)
    for begin in range(0, len(windows), MOST_REWARDS):
        # The last part is filled up with windows from the start, for one compilation.
        part = np.arange(begin, begin + MOST_REWARDS) % len(windows)
        each = model(params, trajectories.rows(windows[part], streams[part // depth, None]))
        if each.rewards.size:
            predicted[part] = np.asarray(each.rewards)[np.arange(len(part)), part % depth]
    predicted = np.where(starts >= begins[:, None], predicted.reshape(starts.shape), np.nan)
    return RareRewards(streams, rewards[times, streams], predicted)


def is_foreseen(rewards: RareRewards) -> np.ndarray:
    """Returns `[N, K]`, True where a prediction has the sign and at least half the size."""
    sign, size = np.sign(rewards.true)[:, None], np.abs(rewards.true)[:, None]
    return rewards.predicted * sign >= size / 2


def foreseen(rewards: RareRewards) -> tuple[list[float], list[Estimate]]:
    """Returns numbers of actions, and the share of rewards that the model foresees by them."""
    return _shares(is_foreseen(rewards), np.isfinite(rewards.predicted), rewards.stream)


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
