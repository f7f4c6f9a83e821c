"""Pictures of whole episodes."""

import zlib
from collections.abc import Iterable, Iterator

import numpy as np

from mukoe.environments.vector import VectorEnvironment
from mukoe.viewing.episodes import EpisodeStep, render
from mukoe.viewing.panel import Panel, draw_curve


def draw_episode(
    panel: Panel, steps: Iterable[EpisodeStep], environment: VectorEnvironment
) -> Iterator[np.ndarray]:
    """Yields a picture `[720, 1280, 3]` uint8 per step of an episode.

    The episode is played to its end first, because its length and the range of its values give
    the axes of the curve; the pictures are stored compressed until then.

    Args:
      panel: panel that draws the steps.
      steps: steps of one episode, each yielded while the environment can be rendered.
      environment: vector of one environment.

    Raises:
      UserError: the environment cannot be rendered.
    """
    values, compressed = [], []
    shape: tuple[int, ...] = ()
    for step in steps:
        picture = panel.draw(step, render(environment))
        shape = picture.shape
        values.append(step.value)
        compressed.append(zlib.compress(picture.tobytes(), level=1))
    for index, data in enumerate(compressed):
        picture = np.frombuffer(zlib.decompress(data), np.uint8).reshape(shape)
        yield draw_curve(picture, index, values)
