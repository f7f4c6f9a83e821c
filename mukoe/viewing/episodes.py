"""Episodes of a watched agent, moment by moment."""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import dm_env
import numpy as np

from mukoe.environments.vector import VectorEnvironment
from mukoe.errors import UserError
from mukoe.types import Array
from mukoe.viewing.watched_agent import Decision, WatchedAgent, batch_of_one


class Moment(NamedTuple):
    """A step of an episode, before its action is taken.

    episode: number of the episode, from 0.
    step: number of the step, from 0.
    decision: what the agent thinks and will do; None when the episode is over.
    reward: that led here.
    score: the rewards so far; in a game of two, those of the player who moved first.
    side: 1, or -1 where the second of two players is to move.
    """

    episode: int
    step: int
    decision: Decision | None
    reward: float
    score: float
    side: int

    @property
    def value(self) -> float | None:
        """The agent's value; in a game of two, for the player who moved first."""
        if self.decision is None or self.decision.value is None:
            return None
        return self.side * self.decision.value


def watch_episode(
    agent: WatchedAgent,
    environment: VectorEnvironment,
    episode: int,
    max_steps: int | None,
    seed: int | None = None,
) -> Iterator[Moment]:
    """Plays an episode, and stops at each moment, when the environment can be drawn.

    Args:
      agent: acts.
      environment: a vector of one.
      episode: its number.
      max_steps: agent steps after which it is left; None to go on to its end.
      seed: for the agent's random choices; None goes on with those of the episode before.
    """
    timestep = environment.reset()
    agent.start(seed)
    score, side = 0.0, 1
    for step in itertools.count():
        ended = bool(timestep.last()[0]) or step == max_steps
        decision = None if ended else agent.decide(timestep.observation)
        yield Moment(episode, step, decision, float(timestep.reward[0]), score, side)
        if decision is None:
            return
        timestep = take(agent, environment, timestep, decision.action)
        score += side * float(timestep.reward[0])
        side = -side if timestep.discount[0] < 0 else side


def take(
    agent: WatchedAgent,
    environment: VectorEnvironment,
    timestep: dm_env.TimeStep,
    action: Array,
) -> dm_env.TimeStep:
    """Takes an action in a vector of one, lets the agent know, and returns the next step."""
    agent.update_state(timestep.observation, action)
    return environment.step(batch_of_one(action))


def render(environment: VectorEnvironment) -> np.ndarray:
    """Returns the picture `[H, W, 3]` uint8 of the environment.

    Raises:
      UserError: it cannot draw itself.
    """
    frame = environment.render(0) if hasattr(environment, "render") else None
    if frame is None or getattr(frame, "ndim", 0) != 3:
        raise UserError(
            "the environment cannot be drawn: it needs a render() that returns an array "
            "[H, W, 3] (a Gymnasium environment: render_mode='rgb_array')"
        )
    return frame
