"""Episodes of a run in progress, drawn into TensorBoard's event files."""

import dataclasses
import functools
import itertools
import logging
import math
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from mukoe.environments.vector import VectorEnvironment
from mukoe.errors import UserError
from mukoe.layouts.common.experiment import ExperimentConfig, TrainingConfig
from mukoe.observability.loggers.tensorboard_images import EncodedImage, write_images
from mukoe.types import EnvironmentSpec, PolicyParams, plays_in_turns
from mukoe.viewing.action_names import action_names
from mukoe.viewing.episodes import EpisodeStep, play_episode
from mukoe.viewing.inspected_agent import InspectedAgent
from mukoe.viewing.tree_svg import draw_tree

_LOGGER = logging.getLogger(__name__)

DIRECTORY = "pictures"
"""Directory of the event files in `WORKDIR/tensorboard`."""

# A video of 10 s of most environments, with a file of at most a few MB. It is shorter where
# drawing is slow: a run may wait for it.
_MAX_STEPS = 100
_MAX_SECONDS = 20.0
_SEED = 0


def drawn_experiment(config: TrainingConfig) -> ExperimentConfig:
    """Returns the experiment of a configuration, with the drawer of its episodes."""
    make_drawer = functools.partial(TensorBoardEpisodes, config.environment)
    return dataclasses.replace(config.make_experiment(), make_drawer=make_drawer)


class TensorBoardEpisodes:
    """Draws the start of an episode as an animated GIF, and the search tree of its first step.

    An `EpisodeDrawer`. Environments that cannot be rendered have no video; the reason is logged
    once.
    """

    def __init__(
        self, environment: Any, experiment: ExperimentConfig, environment_spec: EnvironmentSpec
    ):
        """Stores the arguments; the first episode makes the agent and the environment.

        Args:
          environment: configuration of the environment.
          experiment: experiment of the run.
          environment_spec: spec of one environment.
        """
        self._config = environment
        self._experiment = experiment
        self._spec = environment_spec
        self._agent: InspectedAgent | None = None
        self._environment: VectorEnvironment | None = None
        self._is_drawn = True

    def draw(
        self, params: PolicyParams, steps: int, workdir: Path, should_stop: Callable[[], bool]
    ) -> None:
        """Writes the pictures of an episode to WORKDIR/tensorboard/pictures.

        Args:
          params: parameters of the agent.
          steps: position on the axis of the run.
          workdir: directory of the run.
          should_stop: called before every step; True ends the episode without pictures.
        """
        agent = self._updated_agent(params)
        environment = self._made_environment()
        title = f"after {steps:,} steps"
        episode = play_episode(agent, environment, 0, _MAX_STEPS, seed=_SEED)
        episode = _until(should_stop, episode)
        try:
            first = next(episode)
            images = [
                *_tree(first, environment, title),
                *self._video(itertools.chain([first], episode), environment, title),
            ]
        except _StoppedError:
            return
        if images:
            write_images(workdir / "tensorboard" / DIRECTORY, steps, images)

    def close(self) -> None:
        """Closes the environment."""
        if self._environment is not None:
            self._environment.close()

    def _updated_agent(self, params: PolicyParams) -> InspectedAgent:
        if self._agent is None:
            self._agent = InspectedAgent(self._experiment.builder, self._spec, params)
        self._agent.set_params(params)
        return self._agent

    def _made_environment(self) -> VectorEnvironment:
        if self._environment is None:
            rendering = getattr(self._config, "with_rendering", lambda: self._config)
            with warnings.catch_warnings():
                # Gymnasium warns if there is no such render mode; `render` says so.
                warnings.filterwarnings("ignore", ".*render_mode", UserWarning)
                self._environment = rendering().make_factory()(_SEED, 1, True)
        return self._environment

    def _video(
        self, steps: Iterator[EpisodeStep], environment: VectorEnvironment, title: str
    ) -> list[EncodedImage]:
        """Returns the animation of an episode; empty if the environment cannot be drawn."""
        if not self._is_drawn:
            return []
        try:
            return [_encode_video(steps, environment, title)]
        except (UserError, ImportError) as error:
            self._is_drawn = False
            _LOGGER.warning(f"TensorBoard has no videos of episodes: {error}")
            return []


class _StoppedError(Exception):
    """The run has to stop."""


def _until(should_stop: Callable[[], bool], steps: Iterator[EpisodeStep]) -> Iterator[EpisodeStep]:
    """Yields the steps for at most 20 s after the first one, which compiles the policy.

    Raises:
      _StoppedError: the run has to stop.
    """
    deadline = math.inf
    for step in steps:
        if should_stop():
            raise _StoppedError
        deadline = min(deadline, time.monotonic() + _MAX_SECONDS)
        yield step
        if time.monotonic() > deadline:
            return


def _encode_video(
    steps: Iterator[EpisodeStep], environment: VectorEnvironment, title: str
) -> EncodedImage:
    from mukoe.viewing.episode_pictures import draw_episode
    from mukoe.viewing.panel import Panel
    from mukoe.viewing.style import HEIGHT, WIDTH
    from mukoe.viewing.video import GIF_DOWNSCALING, encode_gif

    pictures = draw_episode(Panel(action_names(environment), title), steps, environment)
    data, _ = encode_gif(pictures, 1.0 if plays_in_turns(environment.spec) else 10.0)
    size = (WIDTH // GIF_DOWNSCALING, HEIGHT // GIF_DOWNSCALING)
    return EncodedImage("evaluation/episode", data, *size)


def _tree(step: EpisodeStep, environment: VectorEnvironment, title: str) -> list[EncodedImage]:
    """Returns the search tree of a step; empty for an agent without a search."""
    decision = step.decision
    if decision is None or decision.tree is None:
        return []
    svg = draw_tree(decision, action_names(environment), f"search of the first step, {title}")
    root = ElementTree.fromstring(svg)
    size = (int(root.attrib["width"]), int(root.attrib["height"]))
    return [EncodedImage("search/tree", svg.encode(), *size)]
