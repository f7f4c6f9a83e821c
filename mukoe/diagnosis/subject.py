"""The agent under diagnosis, with the data of its first steps."""

import contextlib
import dataclasses
from pathlib import Path
from typing import Any

import dm_env
import jax
import numpy as np

from mukoe.acting.variables import DeviceVariableSource, VariableClient
from mukoe.agents.planning.root import POSITION
from mukoe.environments.vector import VectorEnvironment
from mukoe.environments.vector_wrapper import VectorWrapper
from mukoe.errors import UserError
from mukoe.layouts.common.checkpointing import open_checkpointer, restore_run
from mukoe.layouts.common.counting import Counter
from mukoe.layouts.common.experiment import ExperimentConfig
from mukoe.layouts.common.learner import make_learner
from mukoe.layouts.common.replay import make_replay
from mukoe.layouts.local.resume import make_acting_parts
from mukoe.nests import take
from mukoe.types import (
    EnvironmentSpec,
    Nest,
    Params,
    Sample,
    num_reward_players,
    split_legal_actions,
)

NO_POSITIONS = "rows hold no true states; agent.reanalyse.mode=learner stores them"
"""Text of findings on a search of the rules."""

_MOST_STEPS = 200_000


@dataclasses.dataclass(frozen=True)
class Transition:
    """Transition as the environment returned it.

    observation: features of the observation before the action.
    action: action.
    reward, discount: outcome of the action.
    is_last: end of the episode behind the action, by termination or truncation.
    """

    observation: Nest
    action: np.ndarray
    reward: float
    discount: float
    is_last: bool


@dataclasses.dataclass(frozen=True)
class Subject:
    """Agent under diagnosis.

    experiment: agent, environment and settings.
    environment_spec: spec of one environment.
    networks: networks of the agent's builder.
    params: parameters that acted.
    sample: batch from replay.
    transitions: transitions of every environment, in order.
    """

    experiment: ExperimentConfig
    environment_spec: EnvironmentSpec
    networks: Any
    params: Params
    sample: Sample
    transitions: list[list[Transition]]


def lacks_positions(subject: Subject) -> bool:
    """Returns whether the agent searches the rules, and its rows hold no true states for it."""
    observations = subject.environment_spec.observations
    has_positions = jax.tree.leaves(getattr(observations, "position", ()))
    return bool(has_positions) and POSITION not in subject.sample.rows.extras


def root_observations(subject: Subject) -> Nest:
    """Returns the observations `[B, ...]` at the root of each sequence, of row `replay.history`.

    They have the true states that the extras of the rows hold.
    """
    rows, root = subject.sample.rows, subject.experiment.builder.replay.history
    observation = take(rows.observation, slice(None), root)
    if POSITION in rows.extras:
        observation = observation._replace(position=rows.extras[POSITION][:, root])
    return observation


def check_rewards_are_scalars(environment_spec: EnvironmentSpec) -> None:
    """Raises a UserError for games of three and more players, whose rewards are vectors."""
    players = num_reward_players(environment_spec)
    if players is not None:
        raise UserError(f"not applicable: this game has {players} players; check and xray take two")


def collect(
    experiment: ExperimentConfig,
    environment_spec: EnvironmentSpec,
    workdir: Path | None = None,
) -> Subject:
    """Acts until replay gives a batch, with the initial parameters or those of a run.

    Args:
      experiment: agent, environment and settings of a local run.
      environment_spec: spec of one environment, from `layouts.local.check`.
      workdir: workdir of a run whose newest parameters and replay are taken; None for none.

    Raises:
      UserError: replay gives no batch within 200,000 agent steps, or the game has three players
        or more.
    """
    check_rewards_are_scalars(environment_spec)
    recorder: list[TransitionRecorder] = []

    def make_environment(seed: int, num_envs: int, evaluation: bool) -> VectorEnvironment:
        recorder.append(
            TransitionRecorder(experiment.environment_factory(seed, num_envs, evaluation))
        )
        return recorder[-1]

    recorded = dataclasses.replace(experiment, environment_factory=make_environment)
    builder, num_envs = experiment.builder, experiment.run.envs_per_actor
    networks = builder.make_networks(environment_spec)
    policy = builder.make_policy(networks, environment_spec)
    replay = make_replay(experiment, environment_spec, policy, num_envs)
    dataset = replay.make_dataset()
    learner = make_learner(
        experiment, environment_spec, networks, dataset, replay=replay, counter=Counter()
    )
    if workdir is not None:
        restore_run(open_checkpointer(workdir), learner, replay)
    variables = VariableClient(DeviceVariableSource(learner, jax.local_devices()[0]))
    adders = [replay.make_adder() for _ in range(num_envs)]
    for adder in adders:
        adder.reset()  # Of a run, episodes are stored that cannot be continued.
    acting = make_acting_parts(recorded, policy, variables, adders, {})
    with contextlib.closing(acting.environment):
        while not replay.can_sample():
            acting.loop.step()
            if acting.loop.progress.steps > _MOST_STEPS:
                raise UserError(
                    f"replay gives no batch within {_MOST_STEPS:,} agent steps; lower "
                    "agent.replay.min_size"
                )
    sample = next(dataset)
    return Subject(
        experiment=experiment,
        environment_spec=environment_spec,
        networks=networks,
        params=variables.params.network,
        sample=sample,
        transitions=recorder[-1].transitions,
    )


class TransitionRecorder(VectorWrapper):
    """Wrapper of a vector environment that records its transitions."""

    def __init__(self, environment: VectorEnvironment):
        super().__init__(environment)
        self._observation: Any = None
        self.transitions: list[list[Transition]] = [[] for _ in range(environment.num_envs)]

    def reset(self) -> dm_env.TimeStep:
        timestep = self._environment.reset()
        self._observation = _features(timestep)
        return timestep

    def step(self, actions: np.ndarray) -> dm_env.TimeStep:
        timestep = self._environment.step(actions)
        for i, transitions in enumerate(self.transitions):
            if not timestep.first()[i]:
                transitions.append(
                    Transition(
                        take(self._observation, i),
                        np.array(actions[i]),
                        float(timestep.reward[i]),
                        float(timestep.discount[i]),
                        bool(timestep.last()[i]),
                    )
                )
        self._observation = _features(timestep)
        return timestep


def _features(timestep: dm_env.TimeStep) -> Nest:
    features, _ = split_legal_actions(timestep.observation)
    return jax.tree.map(np.array, features)
