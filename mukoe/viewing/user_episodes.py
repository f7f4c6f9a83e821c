"""Episodes that a user plays, recorded as rows."""

import contextlib
from collections.abc import Callable, Sequence
from typing import Protocol

import dm_env
import jax
import numpy as np

from mukoe.environments.vector import VectorEnvironment
from mukoe.errors import UserError
from mukoe.replay.collector import EpisodeCollector
from mukoe.replay.declaration import row_spec
from mukoe.search.players import turn_of
from mukoe.types import (
    EnvironmentSpec,
    Nest,
    Row,
    is_continuous,
    num_reward_players,
    plays_in_turns,
    split_legal_actions,
)
from mukoe.viewing.inspected_agent import InspectedAgent


class UserInterface(Protocol):
    """View of the environment for a user, who chooses the actions."""

    def opened(self) -> contextlib.AbstractContextManager[None]:
        """Opens the view for the episodes within the context."""

    def show(self, score: float, legal_actions: Sequence[int]) -> None:
        """Shows the environment and the return so far, before an action of the user."""

    def choose(self, legal_actions: Sequence[int]) -> int | None:
        """Returns the user's action, None if the user quits."""

    def end(self, score: float) -> None:
        """Shows the end of an episode and its return."""


class Opponent(Protocol):
    """Player of the other side."""

    def start(self) -> None:
        """Starts an episode."""

    def choose(self, observation: Nest) -> int:
        """Returns the action at an observation `[1, ...]`."""

    def observe(self, observation: Nest, action: int) -> None:
        """Takes the action that was applied at an observation, by either player."""


class RandomOpponent:
    """Player that chooses legal actions with equal probability."""

    def __init__(self, spec: EnvironmentSpec, seed: int):
        self._num_actions = num_actions(spec)
        self._random = np.random.default_rng(seed)

    def start(self) -> None:
        """Starts an episode."""

    def choose(self, observation: Nest) -> int:
        """Returns the action at an observation `[1, ...]`."""
        return int(self._random.choice(legal_actions(observation, self._num_actions)))

    def observe(self, observation: Nest, action: int) -> None:
        """Does nothing."""


class AgentOpponent:
    """Agent of a run as the player of the other side."""

    def __init__(self, agent: InspectedAgent):
        self._agent = agent

    def start(self) -> None:
        """Starts an episode."""
        self._agent.start()

    def choose(self, observation: Nest) -> int:
        """Returns the action at an observation `[1, ...]`."""
        return int(self._agent.decide(observation).action)

    def observe(self, observation: Nest, action: int) -> None:
        """Takes the action that was applied at an observation, by either player."""
        self._agent.update_state(observation, action)


def num_actions(spec: EnvironmentSpec) -> int:
    """Returns the number of actions.

    Raises:
      UserError: the actions are continuous.
    """
    if is_continuous(spec):
        raise UserError("--policy=human needs discrete actions: continuous ones have no keys")
    return int(spec.actions.num_values)


def legal_actions(observation: Nest, count: int) -> list[int]:
    """Returns the legal actions at an observation `[1, ...]`."""
    _, legal = split_legal_actions(observation)
    return list(range(count)) if legal is None else np.flatnonzero(legal[0]).tolist()


def record_user(
    environment: VectorEnvironment,
    opponent: Opponent,
    interface: UserInterface,
    episodes: int,
    max_steps: int,
    on_episode: Callable[[Row], None],
) -> None:
    """Lets the user play episodes, and passes each complete one on.

    In games of several players the user takes the next seat in every episode, beginning with the
    first one.

    Args:
      environment: vector of one environment.
      opponent: player of the other seats in games of several players.
      interface: view of the environment, and source of the user's actions.
      episodes: number of episodes.
      max_steps: maximum number of steps of an episode; a longer one is passed on in parts.
      on_episode: called with the rows `[L+1, ...]` of each episode.

    Raises:
      UserError: the actions are continuous.
    """
    players = num_reward_players(environment.spec) or 1 + plays_in_turns(environment.spec)
    collector = EpisodeCollector(row_spec(environment.spec, {}), max_steps, on_episode)
    with interface.opened():
        for episode in range(episodes):
            opponent.start()
            seat = episode % players
            if not _play(environment, opponent, interface, collector, seat):
                return


def _play(
    environment: VectorEnvironment,
    opponent: Opponent,
    interface: UserInterface,
    collector: EpisodeCollector,
    seat: int,
) -> bool:
    """Plays one episode; returns False if the user quits."""
    timestep = environment.reset()
    collector.add_first(_first(timestep))
    count = num_actions(environment.spec)
    score, mover = 0.0, 0
    while not timestep.last()[0]:
        legal = legal_actions(timestep.observation, count)
        action: int | None
        if mover == seat:
            interface.show(score, legal)
            action = interface.choose(legal)
        else:
            action = opponent.choose(timestep.observation)
        if action is None:
            return False
        if action not in legal:
            continue
        opponent.observe(timestep.observation, action)
        timestep = environment.step(np.array([action], np.int32))
        collector.add(np.array(action, np.int32), _first(timestep), {}, {})
        if (turn := turn_of(timestep.observation)) is not None:
            score += float(timestep.reward[0, seat])
            mover = int(turn.player[0])
            continue
        score += float(timestep.reward[0]) * (1 if mover == seat else -1)
        mover = 1 - mover if timestep.discount[0] < 0 else mover
    interface.end(score)
    return True


def _first(timestep: dm_env.TimeStep) -> dm_env.TimeStep:
    return jax.tree.map(lambda array: array[0], timestep)
