"""Rewards of the last action of an episode, such as the result of a game, that the model foresees.

The errors by unroll depth hardly have any of them: a window of `K` actions inside an episode has
its last action at the very end only. Here it is the 1st to `K`-th action after the root.
"""

from typing import NamedTuple

import numpy as np

from mukoe.agents.extensions import Unroll
from mukoe.diagnosis.xray.results import Estimate, estimate_of_groups
from mukoe.diagnosis.xray.trajectories import Trajectories
from mukoe.types import Params

MOST_ENDS = 1_024
"""Episodes that are unrolled at most."""


class FinalRewards(NamedTuple):
    """Rewards unlike 0 of last actions, and their predictions.

    stream: `[N]` stream of each episode.
    true: `[N]` rewards.
    predicted: `[N, K]` predictions from `1 .. K` actions before the end; NaN where the episode is
      shorter.
    """

    stream: np.ndarray
    true: np.ndarray
    predicted: np.ndarray


def final_rewards(
    model: Unroll, params: Params, trajectories: Trajectories, history: int, depth: int
) -> FinalRewards:
    """Unrolls the model up to the last actions of episodes.

    Args:
      model: unroll of `history + depth` rows.
      params: parameters of the network.
      trajectories: recorded episodes.
      history: rows in front of the root.
      depth: `K`, actions behind the root.
    """
    acted, rewards = trajectories.acted[:-1], trajectories.reward[:-1]
    ends = np.argwhere(acted & trajectories.last[1:] & (rewards != 0))
    if len(ends) > MOST_ENDS:
        ends = ends[np.linspace(0, len(ends) - 1, MOST_ENDS).astype(int)]
    times, streams = ends[:, 0], ends[:, 1]
    rows = np.arange(len(trajectories.first))[:, None]
    begins = np.maximum.accumulate(np.where(trajectories.first, rows, 0), axis=0)[times, streams]
    predicted = np.full((len(ends), depth), np.nan)
    # Windows are repeated, so that the model is compiled for one number of them.
    repeated = np.arange(MOST_ENDS) % max(len(ends), 1)
    for ahead in range(1, depth + 1) if len(ends) else ():
        starts = times + 1 - ahead - history
        window = np.maximum(starts, 0)[:, None] + np.arange(history + depth + 1)
        # Rows behind the last action, of other episodes, do not change its prediction.
        window = np.minimum(window, len(rows) - 1)
        each = model(params, trajectories.rows(window[repeated], streams[repeated, None]))
        if each.rewards.size:
            found = np.asarray(each.rewards)[: len(ends), ahead - 1]
            predicted[:, ahead - 1] = np.where(starts >= begins, found, np.nan)
    return FinalRewards(streams, rewards[times, streams], predicted)


def foreseen(rewards: FinalRewards) -> tuple[list[float], list[Estimate]]:
    """Returns numbers of actions, and the share of final rewards that the model foresees by them.

    A reward is foreseen if its prediction has its sign and at least half its size.
    """
    seen = rewards.predicted * np.sign(rewards.true)[:, None] >= np.abs(rewards.true)[:, None] / 2
    return _shares(seen, np.isfinite(rewards.predicted), rewards.stream)


def imagined(
    rewards: FinalRewards, predicted: np.ndarray, true: np.ndarray, streams: np.ndarray
) -> tuple[list[float], list[Estimate]]:
    """Returns numbers of actions, and the share of steps without reward with a predicted one.

    Half the least final reward counts.

    Args:
      rewards: final rewards, at least one.
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
