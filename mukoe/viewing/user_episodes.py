"""Episodes that a user plays in the terminal, recorded as rows."""

import shutil
import sys
from collections.abc import Callable, Sequence
from typing import Protocol

import dm_env
import jax
import numpy as np

from mukoe.environments.vector import VectorEnvironment
from mukoe.errors import UserError
from mukoe.replay.collector import EpisodeCollector
from mukoe.replay.declaration import row_spec
from mukoe.types import (
    EnvironmentSpec,
    Nest,
    Row,
    is_continuous,
    plays_in_turns,
    split_legal_actions,
)
from mukoe.viewing.action_names import action_names
from mukoe.viewing.episodes import render
from mukoe.viewing.half_blocks import to_text
from mukoe.viewing.inspected_agent import InspectedAgent
from mukoe.viewing.keyboard import MAX_KEYS, Keyboard, MovesByName

_HOME, _CLEAR_LINE, _CLEAR_BELOW = "\x1b[H", "\x1b[K", "\x1b[J"


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
    episodes: int,
    max_steps: int,
    steps_per_second: float,
    on_episode: Callable[[Row], None],
) -> None:
    """Lets the user play episodes, and passes each complete one on.

    In two-player games the user moves first in every other episode, beginning with the first one.

    Args:
      environment: vector of one environment.
      opponent: player of the other side of two-player games.
      episodes: number of episodes.
      max_steps: maximum number of steps of an episode; a longer one is passed on in parts.
      steps_per_second: steps per second; 0 to wait for a key at every step.
      on_episode: called with the rows `[L+1, ...]` of each episode.

    Raises:
      UserError: the actions are continuous.
    """
    names = action_names(environment)
    in_turns = plays_in_turns(environment.spec)
    by_name = in_turns or len(names) > MAX_KEYS
    player = MovesByName(names) if by_name else Keyboard(names, steps_per_second)
    collector = EpisodeCollector(row_spec(environment.spec, {}), max_steps, on_episode)
    screen = _Screen(environment, player.help, redraws=not by_name)
    with player.opened():
        for episode in range(episodes):
            opponent.start()
            seat = episode % 2 if in_turns else 0
            if not _play(environment, opponent, player, collector, screen, seat):
                return


def _play(
    environment: VectorEnvironment,
    opponent: Opponent,
    player: Keyboard | MovesByName,
    collector: EpisodeCollector,
    screen: "_Screen",
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
            screen.show(score)
            action = player.choose(legal) if isinstance(player, MovesByName) else player.choose()
        else:
            action = opponent.choose(timestep.observation)
        if action is None:
            return False
        if action not in legal:
            continue
        opponent.observe(timestep.observation, action)
        timestep = environment.step(np.array([action], np.int32))
        collector.add(np.array(action, np.int32), _first(timestep), {}, {})
        score += float(timestep.reward[0]) * (1 if mover == seat else -1)
        mover = 1 - mover if timestep.discount[0] < 0 else mover
    screen.show(score)
    print(f"end of the episode, return {score:g}{_CLEAR_LINE if screen.redraws else ''}")
    return True


def _first(timestep: dm_env.TimeStep) -> dm_env.TimeStep:
    return jax.tree.map(lambda array: array[0], timestep)


class _Screen:
    """View of the environment: the position as text, or a picture in half blocks."""

    def __init__(self, environment: VectorEnvironment, help_text: str, redraws: bool):
        self._environment = environment
        self._help = help_text
        self.redraws = redraws and sys.stdout.isatty()
        if self.redraws:
            print(f"{_HOME}{_CLEAR_BELOW}", end="")
        else:
            print(help_text)

    def show(self, score: float) -> None:
        """Prints the environment and the score."""
        if hasattr(self._environment, "render_text"):
            lines = self._environment.render_text(0).splitlines()
        elif self.redraws:
            columns, rows = shutil.get_terminal_size()
            try:
                lines = to_text(render(self._environment), columns - 1, rows - 4).splitlines()
            except UserError as error:
                lines = [str(error)]
        else:
            lines = []
        self._print([*lines, f"return {score:g}"])

    def _print(self, lines: Sequence[str]) -> None:
        if not self.redraws:
            print("\n".join(lines), flush=True)
            return
        shown = "\n".join(f"{line}{_CLEAR_LINE}" for line in [*lines, self._help])
        print(f"{_HOME}{shown}\n{_CLEAR_BELOW}", end="", flush=True)
