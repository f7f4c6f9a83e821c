"""Gymnasium environments seen as pictures, against a picture drawn by hand."""

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from mukoe.environments.gymnasium.config import GymnasiumPixelsConfig
from mukoe.environments.gymnasium.pixels import RenderedObservation
from mukoe.errors import UserError


class Painting(gymnasium.Env):
    """Four quarters of one colour each; the picture gets brighter by 1 with each step."""

    render_mode = "rgb_array"
    observation_space = spaces.Box(-1, 1, (3,))
    action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        self.time = 0
        return np.zeros(3, np.float32), {"seed": seed}

    def step(self, action):
        self.time += 1
        return np.zeros(3, np.float32), 2.0, self.time == 2, False, {}

    def render(self):
        picture = np.zeros((8, 12, 3), np.uint8)
        picture[:4, 6:] = (200, 0, 0)
        picture[4:, :6] = (0, 200, 0)
        picture[4:, 6:] = (0, 0, 200)
        return picture + np.uint8(self.time)


def test_the_picture_is_the_observation():
    environment = RenderedObservation(Painting(), 2, 2, grayscale=False)
    observation, info = environment.reset(seed=3)
    assert info == {"seed": 3} and environment.observation_space.contains(observation)
    expected = [[[0, 0, 0], [200, 0, 0]], [[0, 200, 0], [0, 0, 200]]]
    np.testing.assert_array_equal(observation, expected)
    observation, reward, terminated, _, _ = environment.step(0)
    np.testing.assert_array_equal(observation, np.array(expected) + 1)
    assert (reward, terminated) == (2.0, False)
    assert environment.step(0)[2]


def test_gray_is_luminance_and_shrinking_averages():
    environment = RenderedObservation(Painting(), 2, 2, grayscale=True)
    observation, _ = environment.reset()
    # ITU-R BT.601.
    expected = np.array([[0, 0.299 * 200], [0.587 * 200, 0.114 * 200]])
    np.testing.assert_allclose(observation[..., 0], expected, atol=1)
    whole, _ = RenderedObservation(Painting(), 1, 1, grayscale=True).reset()
    np.testing.assert_allclose(whole[0, 0, 0], expected.mean(), atol=1)


def test_actions_are_repeated_to_the_end_and_rewards_summed():
    environment = RenderedObservation(Painting(), 2, 2, grayscale=False, action_repeat=3)
    environment.reset()
    observation, reward, terminated, _, _ = environment.step(0)
    assert (reward, terminated) == (4.0, True), "the episode ends after two of three"
    assert observation[0, 0, 0] == 2


def test_an_environment_without_pictures_is_refused():
    environment = gymnasium.make("CartPole-v1")
    with pytest.raises(UserError, match="must be 'rgb_array', not None"):
        RenderedObservation(environment, 8, 8, grayscale=True)
    with pytest.raises(UserError, match="height must be from 1 to 32767, not 0"):
        GymnasiumPixelsConfig("CartPole-v1", height=0, width=8)
    with pytest.raises(UserError, match="render_mode is always 'rgb_array' for pixels"):
        GymnasiumPixelsConfig("CartPole-v1", {"render_mode": "human"})
    with pytest.raises(UserError, match="action_repeat must be at least 1, not 0"):
        GymnasiumPixelsConfig("CartPole-v1", action_repeat=0)


def test_cartpole_is_drawn_in_a_vector():
    vector = GymnasiumPixelsConfig("CartPole-v1", height=16, width=24).make_factory()(0, 2, False)
    assert vector.spec.observations.shape == (16, 24, 1)
    assert vector.spec.observations.dtype == np.uint8
    before = vector.reset().observation
    assert before.shape == (2, 16, 24, 1)
    for _ in range(8):
        after = vector.step(np.array([0, 1])).observation
    assert (after[0] != before[0]).any() and (after[0] != after[1]).any()
    assert vector.render(0).shape == (400, 600, 3)
    vector.close()


def test_frames_count_every_repetition():
    config = GymnasiumPixelsConfig("CartPole-v1", height=8, width=8, action_repeat=2)
    vector = config.make_factory()(0, 1, False)
    vector.reset()
    assert vector.action_repeat == 2
    while not vector.step(np.array([0])).last()[0]:
        pass
    (result,) = vector.finished_episodes()
    assert result.frames == 2 * result.length
    assert result.frames - 1 <= result.episode_return <= result.frames


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (None, "dtype NoneType"),
        (np.zeros((4, 4), np.uint8), r"got shape \(4, 4\)"),
        (np.zeros((4, 4, 4), np.uint8), r"got shape \(4, 4, 4\)"),
        (np.zeros((4, 4, 3)), "dtype float64"),
    ],
)
def test_a_rendering_that_is_no_picture_gets_one_line(frame, message):
    painting = Painting()
    painting.render = lambda: frame
    with pytest.raises(UserError, match=r"render\(\) must return a picture .*" + message):
        RenderedObservation(painting, 2, 2, grayscale=False).reset()
