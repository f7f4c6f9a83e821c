"""Stored data to learn from: the replay of other runs, and Minari data sets."""

import dataclasses
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from dm_env import specs

from mukoe.agents.extensions import LearnsFromDemonstrations, Reanalyses, rollout_of
from mukoe.configuration import load_config
from mukoe.configuration.plain import to_dict
from mukoe.configuration.workdir import flatten
from mukoe.environments.gymnasium.general import amplification
from mukoe.errors import UserError
from mukoe.layouts.common.checkpointing import open_checkpointer
from mukoe.layouts.common.experiment import ExperimentConfig, TrainingConfig, check_experiment
from mukoe.layouts.common.offline_sources import Source
from mukoe.layouts.common.run_state import unpack
from mukoe.layouts.common.seeds import SeededPart, random_seed
from mukoe.replay.datasets.reader import RawDataset, open_dataset
from mukoe.replay.datasets.storage import own_metadata, registered_environment
from mukoe.replay.declaration import row_spec
from mukoe.replay.episodes import add_episode, stored_episodes
from mukoe.replay.in_process import InProcessReplay, bytes_required
from mukoe.system import check_fits
from mukoe.types import (
    EnvironmentSpec,
    Policy,
    Row,
    SearchStatistics,
    is_continuous,
    without_position,
)

_LOGGER = logging.getLogger(__name__)

_LEARNER_STEPS = "learner_steps"


@dataclasses.dataclass(frozen=True)
class OfflineData:
    """Episodes of one or several sources.

    source: workdir of the run that collected them, or name of the data set.
    environment: plain configuration of its environment, as far as it is known.
    environment_spec: spec of its environment.
    extras_spec: specs of the extras of its rows.
    episodes: rows `[L+1, ...]` of each episode, with final observation.
    shares: number of episodes of each source, and its share of the sampled items; empty to sample
      all rows alike.
    """

    source: Path | str
    environment: Mapping[str, Any]
    environment_spec: EnvironmentSpec
    extras_spec: Mapping[str, specs.Array]
    episodes: list[Row]
    shares: Sequence[tuple[int, float]] = ()

    @property
    def num_rows(self) -> int:
        """Number of rows, final observations included."""
        return sum(len(episode.mask) for episode in self.episodes)

    @property
    def summary(self) -> str:
        """Number and source of the episodes."""
        steps = self.num_rows - len(self.episodes)
        return f"{len(self.episodes):,} episodes ({steps:,} steps) of {self.source}"

    def missing_statistics(self, extras_spec: Mapping[str, specs.Array]) -> list[str]:
        """Returns the search statistics that an agent stores and these rows do not have."""
        return [
            name
            for name in SearchStatistics._fields
            if name in extras_spec and not self._has(name, extras_spec)
        ]

    def _has(self, name: str, extras_spec: Mapping[str, specs.Array]) -> bool:
        stored = self.extras_spec.get(name)
        return stored is not None and _describe(stored) == _describe(extras_spec[name])


def read_sources(
    sources: Sequence[Source],
    environment_spec: EnvironmentSpec,
    config: TrainingConfig | None = None,
) -> OfflineData:
    """Reads all sources, and warns of other settings of the environment.

    Search statistics are kept where every source has them.

    Args:
      sources: sources, from `parse_sources`.
      environment_spec: spec of one environment of the run that learns.
      config: configuration of the run that learns; None not to warn.

    Raises:
      UserError: a source does not exist, cannot be read, or has other spaces than the environment.
    """
    parts = []
    for source in sources:
        if source.kind == "workdir":
            part = read_workdir(Path(source.name))
        else:
            part = read_dataset(source.name, environment_spec, config and config.environment)
        _check_spaces(part, environment_spec)
        if config is not None:
            warn_of_other_environment(part, config)
        parts.append(part)
    if len(parts) == 1:
        return parts[0]
    common = [
        {name: _describe(spec) for name, spec in part.extras_spec.items()}.items() for part in parts
    ]
    names = {name for name, _ in set(common[0]).intersection(*common[1:])}
    total = sum(source.weight or 0.0 for source in sources)
    return OfflineData(
        source=" and ".join(str(part.source) for part in parts),
        environment=parts[0].environment,
        environment_spec=parts[0].environment_spec,
        extras_spec={n: spec for n, spec in parts[0].extras_spec.items() if n in names},
        episodes=[episode for part in parts for episode in part.episodes],
        shares=[
            (len(part.episodes), source.weight / total)
            for part, source in zip(parts, sources, strict=True)
            if source.weight is not None
        ],
    )


def read_dataset(
    name: str, environment_spec: EnvironmentSpec, environment: Any = None
) -> OfflineData:
    """Reads a Minari data set.

    Args:
      name: name of the data set, such as cartpole/random-v0.
      environment_spec: spec of one environment of the run that learns.
      environment: configuration of this environment, for `check_foreign`; None not to check.

    Raises:
      UserError: there is no such data set, it cannot be read, or its spaces differ from those of
        the environment.
    """
    dataset = open_dataset(name, environment_spec)
    if environment is not None:
        check_foreign(dataset.raw, environment)
    data = OfflineData(
        source=f"data set '{name}'",
        environment=dict(own_metadata(dataset.raw.metadata).get("environment", {})),
        environment_spec=dataset.environment_spec,
        extras_spec={},
        episodes=[],
    )
    _check_spaces(data, environment_spec)
    dataset.check_memory()
    episodes = list(dataset.episodes())
    if not episodes:
        raise UserError(f"data set '{name}' holds no episode")
    return dataclasses.replace(data, extras_spec=_common_extras(episodes), episodes=episodes)


def _common_extras(episodes: Sequence[Row]) -> dict[str, specs.Array]:
    """Returns the specs of the extras that all episodes have in common."""
    described = [
        {name: (array.shape[1:], array.dtype) for name, array in episode.extras.items()}
        for episode in episodes
    ]
    return {
        name: specs.Array(*kind, name)
        for name, kind in described[0].items()
        if all(found.get(name) == kind for found in described)
    }


def _check_spaces(data: OfflineData, environment_spec: EnvironmentSpec) -> None:
    if difference := spec_difference(data.environment_spec, environment_spec):
        raise UserError(f"the data of {data.source} do not fit the environment: {difference}")


def read_workdir(source: Path) -> OfflineData:
    """Reads the newest replay checkpoint of a run, which may have finished or stopped.

    Args:
      source: workdir of the run; it is not changed.

    Raises:
      UserError: there is no run, it saved no replay, or the data cannot be read.
    """
    config = load_config(source)
    if not isinstance(config, TrainingConfig):
        raise UserError(f"the config file of {source} gives no TrainingConfig")
    experiment = config.make_experiment()
    if rollout_of(experiment.builder):
        raise UserError(f"the run in {source} has no replay: its agent learns from rollouts")
    spec = check_experiment(experiment)
    builder = experiment.builder
    extras_spec = builder.make_policy(builder.make_networks(spec), spec).extras_spec
    checkpointer = open_checkpointer(source)
    if not checkpointer.has_run():
        raise UserError(
            f"the run in {source} saved no replay: only layouts local and sebulba do, with "
            "run.replay_checkpoint_seconds above 0 and a replay below run.replay_checkpoint_gib"
        )
    state = unpack(checkpointer.read_run_parts(), "replay")
    try:
        episodes = list(stored_episodes(state, row_spec(spec, extras_spec)))
    except UserError as error:
        raise UserError(f"cannot learn from the replay of {source}: {error}") from error
    if not episodes:
        raise UserError(f"the replay of {source} holds no complete sequence")
    environment = dict(flatten(to_dict(config)["environment"]))
    return OfflineData(source, environment, spec, extras_spec, episodes)


def check_data(
    data: OfflineData,
    experiment: ExperimentConfig,
    environment_spec: EnvironmentSpec,
    policy: Policy,
    share: float = 1.0,
) -> None:
    """Checks that an agent can learn from the data.

    Args:
      data: episodes of a source.
      experiment: agent, environment and settings.
      environment_spec: spec of one environment, in which the agent is evaluated.
      policy: behaviour policy of the agent.
      share: fraction of a batch that is drawn from the data.

    Raises:
      UserError: the spaces differ, the agent stores extras that the data do not have, or it would
        learn from search statistics that are missing, or the data do not fit into memory.
    """
    _check_spaces(data, environment_spec)
    statistics = data.missing_statistics(policy.extras_spec)
    for name, spec in policy.extras_spec.items():
        is_renewed = name in (*statistics, _LEARNER_STEPS)
        stored = data.extras_spec.get(name)
        if not is_renewed and (stored is None or _describe(stored) != _describe(spec)):
            has = "none" if stored is None else _describe(stored)
            raise UserError(
                f"the agent learns from {name} {_describe(spec)} of each row, and the data of "
                f"{data.source} have {has}"
            )
    learned = learned_statistics(statistics, experiment.builder)
    if unknown := [name for name in learned if not renews(experiment.builder, name, share)]:
        raise UserError(
            f"the data of {data.source} have no {' and no '.join(unknown)} of this agent: set "
            "--config.agent.reanalyse.mode=replay (with search=full), or mode=learner with "
            f"fraction={share:g}{' or more' if share < 1 else ''}"
        )
    rows, declaration = row_spec(environment_spec, policy.extras_spec), experiment.builder.replay
    check_fits(
        bytes_required(declaration.filled(1, data.num_rows), rows, num_streams=1),
        f"replay of the {data.num_rows:,} rows of {data.source}",
        "learn from less data, such as a run with a smaller replay",
    )


def learned_statistics(names: Sequence[str], builder: Any) -> list[str]:
    """Returns those of some search statistics that the loss of an agent reads in stored data."""
    if not isinstance(builder, LearnsFromDemonstrations):
        return list(names)
    return [name for name in names if name in builder.demonstrations.learned_statistics]


def renews(builder: Any, statistic: str, share: float = 1.0) -> bool:
    """Returns whether an agent computes a search statistic of all rows before it learns from them.

    Args:
      builder: builder of the agent.
      statistic: name of the statistic.
      share: fraction of a batch that is drawn from these rows, which come first in the batch.
    """
    if not isinstance(builder, Reanalyses):
        return False
    settings = builder.reanalyse
    if settings.search == "values" and statistic != "search_value":
        return False
    return settings.mode == "replay" or (settings.mode == "learner" and settings.fraction >= share)


def warn_of_other_environment(data: OfflineData, config: TrainingConfig) -> None:
    """Warns of an environment with equal spaces and other settings than that of the data."""
    here = dict(flatten(to_dict(config)["environment"]))
    there = data.environment
    names = [name for name in {**there, **here} if there.get(name) != here.get(name)]
    if there and names:
        texts = [f"{name} is {there.get(name)} there, {here.get(name)} here" for name in names]
        _LOGGER.warning(f"the data of {data.source} are of another environment: {'; '.join(texts)}")


def check_foreign(dataset: RawDataset, environment: Any) -> None:
    """Checks a data set of other software, and warns if it is of another registered environment.

    Args:
      dataset: data set, opened.
      environment: configuration of the environment of the run that learns.

    Raises:
      UserError: the environment scales observations, and those of the data are not scaled.
    """
    if own_metadata(dataset.metadata):
        return
    scales = getattr(environment, "amplify_observations", False)
    if scales and amplification(dataset.observation_space) is not None:
        raise UserError(
            f"the observations of data set '{dataset.name}' are not scaled to bounds of 1, and "
            "those of the environment are: set --config.environment.amplify_observations=false"
        )
    here, there = getattr(environment, "env", None), registered_environment(dataset.metadata)
    if here is not None and there is not None and here != there:
        _LOGGER.warning(f"data set '{dataset.name}' is of {there}, and this run of {here}")


def make_offline_replay(
    experiment: ExperimentConfig,
    environment_spec: EnvironmentSpec,
    policy: Policy,
    data: OfflineData,
    keep_learner_steps: bool = False,
) -> InProcessReplay:
    """Builds a replay of all episodes, with the sequences and the sampler of the agent.

    It has room for the whole data. Its rows are those of `agent_episodes`.

    Args:
      experiment: agent, environment and settings.
      environment_spec: spec of one environment.
      policy: behaviour policy of the agent, whose extras are stored.
      data: checked episodes, see `check_data`.
      keep_learner_steps: True to keep the stored learner steps, of a run that is copied.
    """
    batch_size = experiment.builder.replay.batch_size
    seed = random_seed(experiment.run, {}, SeededPart.REPLAY)
    return make_filled_replay(
        experiment, environment_spec, policy, data, batch_size, seed, keep_learner_steps
    )


def make_filled_replay(
    experiment: ExperimentConfig,
    environment_spec: EnvironmentSpec,
    policy: Policy,
    data: OfflineData,
    batch_size: int,
    seed: int,
    keep_learner_steps: bool = False,
) -> InProcessReplay:
    """Builds a replay of all episodes.

    Args:
      experiment: agent, environment and settings.
      environment_spec: spec of one environment.
      policy: behaviour policy of the agent, whose extras are stored.
      data: checked episodes, see `check_data`.
      batch_size: number of items in a sample.
      seed: seed of the sampler.
      keep_learner_steps: True to keep the stored learner steps, of a run that is copied.
    """
    replay = InProcessReplay(
        experiment.builder.replay.filled(batch_size, data.num_rows),
        row_spec(environment_spec, policy.extras_spec),
        num_streams=1,
        seed=seed,
    )
    adder = replay.make_adder()
    ends = []
    for episode in agent_episodes(data, policy, keep_learner_steps):
        add_episode(adder, episode)
        ends.append(replay.inserted)
    if data.shares:
        counts, shares = zip(*data.shares, strict=True)
        replay.share([ends[end - 1] for end in np.cumsum(counts)], shares)
    return replay


def agent_episodes(
    data: OfflineData, policy: Policy, keep_learner_steps: bool = False
) -> Iterator[Row]:
    """Yields the episodes with the extras that an agent stores.

    Rows have learner step 0, the oldest, where the agent stores it; missing search statistics are
    0.

    Args:
      data: checked episodes, see `check_data`.
      policy: behaviour policy of the agent, whose extras are stored.
      keep_learner_steps: True to keep the stored learner steps, of a run that is copied.
    """
    zeroed = set(data.missing_statistics(policy.extras_spec))
    if not (keep_learner_steps and _LEARNER_STEPS in data.extras_spec):
        zeroed.add(_LEARNER_STEPS)
    for episode in data.episodes:
        extras = {
            name: np.zeros((len(episode.mask), *spec.shape), spec.dtype)
            if name in zeroed
            else episode.extras[name]
            for name, spec in policy.extras_spec.items()
        }
        yield episode._replace(extras=extras)


def spec_difference(stored: EnvironmentSpec, here: EnvironmentSpec) -> str | None:
    """Returns the first difference of the spaces of two environments; None for equal ones."""
    pairs = [*_leaves(stored).items()], [*_leaves(here).items()]
    if pairs[0] == pairs[1]:
        return None
    there, this = dict(pairs[0]), dict(pairs[1])
    name = next(name for name in {**there, **this} if there.get(name) != this.get(name))
    return f"{name} is {there.get(name, 'absent')} there and {this.get(name, 'absent')} here"


def _leaves(spec: EnvironmentSpec) -> dict[str, str]:
    """Returns descriptions of the observations, the actions and the turns, by name."""
    paths, _ = jax.tree_util.tree_flatten_with_path(without_position(spec.observations))
    leaves = {f"observation{jax.tree_util.keystr(path)}": _describe(leaf) for path, leaf in paths}
    actions = spec.actions
    if is_continuous(spec):
        bounds = f" from {np.min(actions.minimum):g} to {np.max(actions.maximum):g}"
        leaves["action"] = _describe(actions) + bounds
    else:
        leaves["action"] = f"one of {actions.num_values}"
    leaves["smallest discount"] = f"{np.min(spec.discounts.minimum):g}"
    return leaves


def _describe(spec: specs.Array) -> str:
    return f"{np.dtype(spec.dtype).name}{list(spec.shape)}"
