"""Reader of Minari data sets: episodes as rows of one environment."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np
from dm_env import specs
from gymnasium import spaces

from mukoe.errors import UserError
from mukoe.replay.datasets.action_decoding import action_decoder
from mukoe.replay.datasets.decoding import Decoder, observation_decoder
from mukoe.replay.datasets.storage import (
    OWN_METADATA,
    data_folder,
    own_metadata,
    read_metadata,
    require_minari,
)
from mukoe.replay.episodes import check_finite
from mukoe.system import check_fits
from mukoe.types import EnvironmentSpec, Row, num_bytes


@dataclasses.dataclass(frozen=True)
class RawDataset:
    """Data set as it is stored, opened.

    name: name of the data set.
    metadata: metadata, JSON values.
    """

    name: str
    metadata: Mapping[str, Any]
    _storage: Any

    @property
    def num_episodes(self) -> int:
        """Number of episodes."""
        return self.metadata["total_episodes"]

    @property
    def num_steps(self) -> int:
        """Number of steps, final observations excluded."""
        return self.metadata["total_steps"]

    @property
    def observation_space(self) -> spaces.Space:
        """Gymnasium space of the observations."""
        return self._storage.observation_space

    @property
    def action_space(self) -> spaces.Space:
        """Gymnasium space of the actions."""
        return self._storage.action_space

    def episode(self, index: int) -> Mapping[str, Any]:
        """Returns an episode by Minari's names: `observations`, `actions`, `rewards`, ...

        Raises:
          UserError: the file is damaged.
        """
        try:
            (stored,) = self._storage.get_episodes([index])
        except Exception as error:  # any error of Minari, h5py or Pillow about the file
            raise UserError(
                f"data set '{self.name}', episode {index}: the file is damaged or incomplete: "
                f"{' '.join(str(error).split()) or type(error).__name__}"
            ) from error
        return stored


@dataclasses.dataclass(frozen=True)
class StoredDataset:
    """Data set of one environment, opened.

    raw: data set as it is stored.
    environment_spec: spec of the environment that the converted data would come from.
    """

    raw: RawDataset
    environment_spec: EnvironmentSpec
    _observations: Decoder
    _actions: Decoder

    def check_memory(self) -> None:
        """Raises a `UserError` if the observations of all episodes do not fit into memory."""
        rows = self.raw.num_steps + self.raw.num_episodes
        required = rows * num_bytes(self.environment_spec.observations)
        check_fits(required, f"the {rows:,} observations of data set '{self.raw.name}'", "use less")

    def episodes(self) -> Iterator[Row]:
        """Yields the episodes, rows `[L+1, ...]` with the final observation.

        Raises:
          UserError: the file is damaged, or an episode has no final observation, continues after
            its termination, or has numbers that are not finite or do not fit its spaces.
        """
        name = self.raw.name
        for index in range(self.raw.num_episodes):
            stored = self.raw.episode(index)
            try:
                episode = self._decode(stored)
            except UserError as error:
                text = str(error).removeprefix("the ")
                raise UserError(f"data set '{name}', episode {index}: {text}") from error
            try:
                check_finite(episode, index)
            except UserError as error:
                raise UserError(f"data set '{name}': {error}") from error
            yield episode

    def _decode(self, stored: Mapping[str, Any]) -> Row:
        action = self._actions.decode(stored["actions"])
        length = len(action)
        terminated = np.asarray(stored["terminations"], bool)
        reward = np.asarray(stored["rewards"], np.float64)
        if not length or terminated.shape != (length,) or reward.shape != (length,):
            raise UserError(
                f"{length} actions, {len(reward)} rewards and {len(terminated)} terminations"
            )
        if terminated[:-1].any():
            step = int(np.argmax(terminated))
            raise UserError(f"it continues after its termination at step {step} of {length}")
        observation = self._observations.decode(stored["observations"])
        _check_length(observation, length)
        discount = np.append(np.where(terminated, 0.0, 1.0), 0.0)
        own: dict[str, Any] = {"discount": discount, "extras": {}}
        own.update((stored.get("infos") or {}).get(OWN_METADATA, {}))
        for name, array in {"discount": own["discount"], **own["extras"]}.items():
            if np.shape(array)[:1] != (length + 1,):
                raise UserError(f"it has {length} actions and {name} {list(np.shape(array))}")
        return Row(
            observation=observation,
            action=_with_zero(action),
            reward=_with_zero(reward.astype(np.float32)),
            discount=np.asarray(own["discount"], np.float32),
            mask=(np.arange(length + 1) < length).astype(np.float32),
            extras=dict(own["extras"]),
        )


def open_raw(name: str) -> RawDataset:
    """Opens a data set as it is stored.

    Nothing is unpickled, and no code that the metadata name is imported: spaces are JSON, arrays
    are HDF5.

    Raises:
      UserError: the package `minari` is missing, there is no such data set, its metadata are
        damaged, or its format is not supported.
    """
    require_minari()
    from minari.dataset.minari_storage import MinariStorage

    metadata = read_metadata(name)
    if metadata.get("data_format") != "hdf5":
        raise UserError(
            f"data set '{name}' has the format {metadata.get('data_format')!r}; supported is 'hdf5'"
        )
    if not {"observation_space", "action_space"} <= set(metadata):
        raise UserError(f"the metadata of data set '{name}' have no spaces")
    for key in ("total_episodes", "total_steps"):
        if type(metadata.get(key)) is not int:
            raise UserError(
                f"the metadata of data set '{name}' are damaged: {key} must be an integer, not "
                f"{metadata.get(key)!r}"
            )
    try:
        storage = MinariStorage.read(data_folder(name))
    except Exception as error:  # any error of Minari or Gymnasium about the metadata
        raise UserError(
            f"data set '{name}' cannot be opened: {' '.join(str(error).split())}"
        ) from error
    return RawDataset(name, metadata, storage)


def open_dataset(name: str, environment_spec: EnvironmentSpec) -> StoredDataset:
    """Opens a data set of an environment; the spaces may differ, see `environment_spec` there.

    Raises:
      UserError: the data set cannot be opened, see `open_raw`, or its spaces are not supported.
    """
    raw = open_raw(name)
    spec, label = environment_spec, f"data set '{name}'"
    observations = observation_decoder(raw.observation_space, spec.observations, label)
    actions = action_decoder(raw.action_space, spec, label)
    smallest = float(own_metadata(raw.metadata).get("smallest_discount", 0.0))
    there = EnvironmentSpec(
        observations.spec,
        actions.spec,
        spec.rewards,
        specs.BoundedArray((), np.float32, smallest, 1.0, "discount"),
    )
    return StoredDataset(raw, there, observations, actions)


def _check_length(observation: Any, length: int) -> None:
    for leaf in jax.tree.leaves(observation):
        if len(leaf) == length:
            raise UserError(f"it has {length} actions and no final observation")
        if len(leaf) != length + 1:
            raise UserError(f"it has {length} actions and {len(leaf)} observations")


def _with_zero(array: np.ndarray) -> np.ndarray:
    return np.concatenate([array, np.zeros_like(array[:1])])
