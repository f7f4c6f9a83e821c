"""Descriptions of data sets and stored replays: spaces, returns, lengths and ends."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from mukoe.errors import UserError
from mukoe.layouts.common.offline_data import OfflineData
from mukoe.replay.datasets.reader import RawDataset
from mukoe.replay.datasets.spaces import action_space, observation_space, to_stored
from mukoe.replay.datasets.storage import OWN_METADATA, own_metadata


@dataclasses.dataclass(frozen=True)
class StoredEpisode:
    """Episode of a source.

    observations: arrays `[L+1, ...]` in dicts and tuples of their space.
    actions: actions `[L]` or `[L, D]`.
    rewards: rewards `[L]`.
    discounts: discounts `[L]`, -1 where the turn passes.
    extras: stored outputs of the policy, `[L+1, ...]` each.
    """

    observations: Any
    actions: np.ndarray
    rewards: np.ndarray
    discounts: np.ndarray
    extras: Mapping[str, np.ndarray]

    @property
    def episode_return(self) -> float:
        """Sum of the rewards; of two players, that of the player who moved first."""
        sides = np.cumprod(np.append(1.0, np.where(self.discounts < 0, -1.0, 1.0)))[:-1]
        return float((sides * self.rewards).sum())


@dataclasses.dataclass(frozen=True)
class EpisodeSource:
    """Episodes of a data set or of a stored replay, by index.

    title: name of the source.
    origin: name of the environment and of the policy, as far as they are known.
    observation_space: text of the observation space.
    action_space: text of the action space.
    num_episodes: number of episodes.
    read: function that returns an episode by its index.
    """

    title: str
    origin: str
    observation_space: str
    action_space: str
    num_episodes: int
    read: Callable[[int], StoredEpisode]

    def episode(self, index: int) -> StoredEpisode:
        """Returns an episode.

        Raises:
          UserError: there is no such episode, or it cannot be read.
        """
        if not 0 <= index < self.num_episodes:
            raise UserError(f"{self.title} has the episodes 0 to {self.num_episodes - 1}")
        return self.read(index)


def dataset_source(dataset: RawDataset) -> EpisodeSource:
    """Returns the episodes of a data set."""
    environment = own_metadata(dataset.metadata).get("environment")
    return EpisodeSource(
        title=f"data set '{dataset.name}'",
        origin=_origin(environment, dataset.metadata),
        observation_space=str(dataset.observation_space),
        action_space=str(dataset.action_space),
        num_episodes=dataset.num_episodes,
        read=lambda index: _of_minari(dataset.episode(index)),
    )


def replay_source(data: OfflineData) -> EpisodeSource:
    """Returns the episodes of a stored replay."""
    return EpisodeSource(
        title=f"replay of {data.source}",
        origin=_origin(data.environment, {}),
        observation_space=str(observation_space(data.environment_spec.observations)),
        action_space=str(action_space(data.environment_spec)),
        num_episodes=len(data.episodes),
        read=lambda index: _of_rows(data.episodes[index]),
    )


def describe(source: EpisodeSource) -> str:
    """Returns a text about all episodes of a source, which has at least one."""
    if not source.num_episodes:
        raise UserError(f"{source.title} holds no episode")
    returns, lengths, terminated = [], [], 0
    extras: Mapping[str, np.ndarray] = {}
    for index in range(source.num_episodes):
        episode = source.episode(index)
        returns.append(episode.episode_return)
        lengths.append(len(episode.rewards))
        terminated += int(len(episode.discounts) and episode.discounts[-1] == 0)
        extras = extras or episode.extras
    stored = [f"{name} {array.dtype}{list(array.shape[1:])}" for name, array in extras.items()]
    best = np.sort(returns)[-max(1, len(returns) // 4) :]
    lines = [
        f"{source.title}: {source.num_episodes:,} episodes, {sum(lengths):,} steps{source.origin}",
        f"observations  {source.observation_space}",
        f"actions       {source.action_space}",
        f"extras        {', '.join(stored) or 'none'}",
        f"returns       {_statistics(returns)}, best quarter {best.mean():g}",
        f"lengths       {_statistics(lengths)}",
        f"ends          {terminated:,} terminated, {source.num_episodes - terminated:,} truncated",
    ]
    return "\n".join(lines)


def _statistics(values: list[Any]) -> str:
    low, first, median, third, high = np.percentile(values, [0, 25, 50, 75, 100])
    return (
        f"mean {np.mean(values):g}, from {low:g} to {high:g}, quartiles {first:g} {median:g} "
        f"{third:g}"
    )


def _origin(environment: Any, metadata: Mapping[str, Any]) -> str:
    names = environment if isinstance(environment, Mapping) else {}
    known = [str(names[field]) for field in ("game", "env") if field in names]
    if algorithm := metadata.get("algorithm_name"):
        known.append(str(algorithm))
    return f" ({', '.join(known)})" if known else ""


def _of_minari(stored: Mapping[str, Any]) -> StoredEpisode:
    own = (stored.get("infos") or {}).get(OWN_METADATA, {})
    rewards = np.asarray(stored["rewards"], np.float64)
    plain = np.where(np.asarray(stored["terminations"], bool), 0.0, 1.0)
    return StoredEpisode(
        stored["observations"],
        _flat_actions(stored["actions"]),
        rewards,
        np.asarray(own.get("discount", plain))[: len(rewards)],
        own.get("extras", {}),
    )


def _flat_actions(actions: Any) -> np.ndarray:
    """Returns actions `[L, ...]`; those of several parts as one vector `[L, D]` per step."""
    parts = [np.asarray(part) for part in jax.tree.leaves(actions)]
    if len(parts) == 1:
        return parts[0]
    return np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)


def _of_rows(rows: Any) -> StoredEpisode:
    length = len(rows.mask) - 1
    reward, discount = rows.reward[:length].astype(np.float64), rows.discount[:length]
    extras = {name: array for name, array in rows.extras.items() if isinstance(array, np.ndarray)}
    return StoredEpisode(
        to_stored(rows.observation), rows.action[:length], reward, discount, extras
    )


def largest_array(observations: Any) -> np.ndarray:
    """Returns the largest array of nested observations, such as the features beside a mask."""
    return max(map(np.asarray, jax.tree.leaves(observations)), key=lambda array: array.size)
