"""Episodes of an inspected agent, step by step."""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import dm_env
import numpy as np

from mukoe.environments.pgx.environment import GameEnvironment, SelfPlayEnvironment
from mukoe.environments.vector import VectorEnvironment
from mukoe.errors import UserError
from mukoe.types import Array
from mukoe.viewing.inspected_agent import Decision, InspectedAgent, add_batch_axis


class EpisodeStep(NamedTuple):
    """Step of an episode, before its action is applied.

    episode: index of the episode, from 0.
    step_index: index of the step, from 0.
    decision: decision of the agent; None at the end of the episode.
    reward: reward of the previous action.
    score: sum of rewards so far; in self-play of several players, of the one who moved first.
    side: 1, or -1 if the second of two players is to move.
    result: result at the end of the episode, such as 'X won' or 'terminated'; empty before.
    """

    episode: int
    step_index: int
    decision: Decision | None
    reward: float
    score: float
    side: int
    result: str = ""

    @property
    def value(self) -> float | None:
        """Value of the agent; in two-player games, for the player who moved first.

        Of three and more players it is that of the player to move.
        """
        if self.decision is None or self.decision.value is None:
            return None
        return self.side * self.decision.value


def play_episode(
    agent: InspectedAgent,
    environment: VectorEnvironment,
    episode: int,
    max_steps: int | None,
    seed: int | None = None,
    opening_moves: int = 0,
) -> Iterator[EpisodeStep]:
    """Plays an episode and yields each step while the environment can be rendered.

    Args:
      agent: agent that acts.
      environment: vector of one environment.
      episode: index of the episode.
      max_steps: maximum number of agent steps; None for a full episode.
      seed: seed of the agent's random choices; None continues those of the previous episode.
      opening_moves: number of random moves of both players at the start of a game of self-play,
        yielded as decisions without a value.
    """
    timestep = environment.reset()
    agent.start(seed)
    opening = _draw_opening(environment, opening_moves)
    score, side = 0.0, 1
    for index in itertools.count():
        ended = bool(timestep.last()[0]) or index == max_steps
        if ended:
            decision = None
        elif index < len(opening):
            decision = Decision(opening[index], None, None, None)
        else:
            decision = decide(agent, environment, timestep)
        step = EpisodeStep(episode, index, decision, _reward(timestep), score, side)
        if decision is None:
            yield step._replace(result=_describe_result(environment, timestep, index))
            return
        yield step
        timestep = apply_action(agent, environment, timestep, decision.action)
        score += side * _reward(timestep)
        side = -side if timestep.discount[0] < 0 else side


def _reward(timestep: dm_env.TimeStep) -> float:
    """Returns the reward; of three and more players, the first component."""
    return float(np.ravel(timestep.reward[0])[0])


def _describe_result(environment: VectorEnvironment, timestep: dm_env.TimeStep, length: int) -> str:
    if not timestep.last()[0]:
        return f"stopped after {length} steps"
    text = environment.result_text(0) if hasattr(environment, "result_text") else ""
    return text or ("terminated" if timestep.discount[0] == 0 else "truncated")


def _draw_opening(environment: VectorEnvironment, moves: int) -> list[int]:
    if not moves:
        return []
    if not isinstance(environment, SelfPlayEnvironment):
        raise UserError("an opening needs self-play in a two-player game")
    return environment.draw_opening(moves)


def decide(
    agent: InspectedAgent, environment: VectorEnvironment, timestep: dm_env.TimeStep
) -> Decision:
    """Returns the decision of an agent; its expected line ends with the game at the latest."""
    decision = agent.decide(timestep.observation)
    if decision.tree is None or not isinstance(environment, GameEnvironment):
        return decision
    return decision._replace(line_limit=environment.count_playable(decision.line))


def apply_action(
    agent: InspectedAgent,
    environment: VectorEnvironment,
    timestep: dm_env.TimeStep,
    action: Array,
) -> dm_env.TimeStep:
    """Applies an action, updates the state of the agent, and returns the next time step."""
    agent.update_state(timestep.observation, action)
    return environment.step(add_batch_axis(action))


def render(environment: VectorEnvironment) -> np.ndarray:
    """Returns a picture `[H, W, 3]` uint8 of the environment.

    Raises:
      UserError: the environment has no `render`, or it fails or returns no picture.
    """
    try:
        frame = np.asarray(environment.render(0) if hasattr(environment, "render") else None)
    except UserError:
        raise
    except NotImplementedError:  # the method that Gymnasium's environments inherit
        frame = np.asarray(None)
    except Exception as error:  # any error of the environment's own method
        raise UserError(
            f"render() of the environment failed: {type(error).__name__}: "
            + " ".join(str(error).split())
        ) from error
    if frame.ndim != 3 or frame.shape[-1] != 3 or frame.dtype != np.uint8:
        raise UserError(
            "the environment cannot be drawn: it needs a render() that returns an array "
            "[H, W, 3] uint8 (a Gymnasium environment: render_mode='rgb_array')"
        )
    return frame
