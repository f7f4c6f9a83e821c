"""Atari games against the emulator itself, driven independently."""

import ale_py
import cv2
import dm_env
import numpy as np
import pytest
from ale_py import roms

from mukoe.environments.atari.config import AtariConfig
from mukoe.environments.atari.environment import AtariEnvironment
from mukoe.environments.atari.factory import make_atari
from mukoe.types import EpisodeResult


def config(game="Breakout", **kwargs):
    """Returns a deterministic luminance configuration at the raw resolution, with changes."""
    defaults = {"grayscale": True, "height": 210, "width": 160, "sticky_actions": 0.0}
    return AtariConfig(game, **{**defaults, **kwargs})


def emulator(rom):
    """Returns a bare emulator; without sticky actions its seed has no effect."""
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    ale = ale_py.ALEInterface()
    ale.setFloat("repeat_action_probability", 0.0)
    ale.loadROM(roms.get_rom_path(rom))
    ale.reset_game()
    return ale


def play(environment, steps, seed=0):
    """Returns the time steps of random actions."""
    random = np.random.default_rng(seed)
    count = environment.action_spec().num_values
    timesteps = [environment.reset()]
    for _ in range(steps):
        timesteps.append(environment.step(int(random.integers(count))))
    return timesteps


def frames(timesteps):
    return np.stack([t.observation for t in timesteps])


@pytest.mark.parametrize("grayscale", [True, False])
@pytest.mark.parametrize("game", ["MsPacman", "Breakout", "Pong"])
def test_frames_are_the_maximum_of_the_last_two_played(game, grayscale):
    environment = AtariEnvironment(config(game, grayscale=grayscale), seed=3)
    ale = emulator({"MsPacman": "ms_pacman"}.get(game, game.lower()))
    actions = ale.getMinimalActionSet()
    screen = ale.getScreenGrayscale if grayscale else ale.getScreenRGB
    random = np.random.default_rng(0)
    shape = (210, 160, 1 if grayscale else 3)

    np.testing.assert_array_equal(environment.reset().observation, screen().reshape(shape))
    differing = 0
    for _ in range(60):
        action = int(random.integers(len(actions)))
        reward, screens = 0, []
        for _ in range(4):
            reward += ale.act(actions[action])
            screens.append(screen())
        timestep = environment.step(action)
        expected = np.maximum(screens[2], screens[3])
        np.testing.assert_array_equal(timestep.observation, expected.reshape(shape))
        assert timestep.reward == reward
        differing += (expected != screens[3]).any()
    assert differing > 0  # Otherwise the maximum would not have been tested.


def test_without_repeat_there_is_no_maximum():
    environment, ale = AtariEnvironment(config("Pong", frame_skip=1), seed=0), emulator("pong")
    environment.reset()
    for _ in range(80):
        ale.act(ale_py.Action.NOOP)
        observation = environment.step(0).observation
    np.testing.assert_array_equal(observation[..., 0], ale.getScreenGrayscale())


@pytest.mark.parametrize("grayscale", [True, False])
def test_area_resizing_is_the_mean_of_the_pixels_covered(grayscale):
    halved = config("Pong", grayscale=grayscale, height=105, width=80)
    environment, ale = AtariEnvironment(halved, seed=0), emulator("pong")
    screen = ale.getScreenGrayscale() if grayscale else ale.getScreenRGB()
    blocks = screen.reshape(105, 2, 80, 2, -1).astype(float).mean(axis=(1, 3))
    observation = environment.reset().observation
    assert observation.dtype == np.uint8
    assert np.abs(observation - blocks).max() <= 0.5


def test_linear_resizing_and_the_shape_of_the_paper():
    linear = config("Pong", height=84, width=90, resize="linear")
    expected = cv2.resize(emulator("pong").getScreenGrayscale(), (90, 84))
    observation = AtariEnvironment(linear, seed=0).reset().observation
    np.testing.assert_array_equal(observation[..., 0], expected)
    paper = AtariEnvironment(AtariConfig("Pong"), seed=0)
    assert paper.observation_spec().shape == paper.reset().observation.shape == (96, 96, 3)


def test_the_same_seed_plays_the_same_games_and_another_one_others():
    stochastic = config("Breakout", sticky_actions=0.25, noop_max=30, height=52, width=40)
    same = [play(AtariEnvironment(stochastic, seed=5), 400) for _ in range(2)]
    assert sum(t.last() for t in same[0]) >= 1  # More than one game each.
    np.testing.assert_array_equal(frames(same[0]), frames(same[1]))
    assert [t.reward for t in same[0]] == [t.reward for t in same[1]]
    other = play(AtariEnvironment(stochastic, seed=6), 400)
    assert (frames(other) != frames(same[0])).any()


@pytest.mark.parametrize(
    "choice", [{"sticky_actions": 0.25}, {"noop_max": 30}], ids=["sticky", "noops"]
)
def test_each_source_of_chance_follows_the_seed_on_its_own(choice):
    runs = {}
    for seed in (1, 1, 2):
        environment = AtariEnvironment(config("MsPacman", **choice), seed)
        run = frames(play(environment, 100))
        if seed in runs:
            np.testing.assert_array_equal(run, runs[seed])
        runs[seed] = run
    assert (runs[1] != runs[2]).any()


def test_without_chance_every_seed_plays_the_same():
    runs = [frames(play(AtariEnvironment(config("MsPacman"), seed), 60)) for seed in (1, 2)]
    np.testing.assert_array_equal(*runs)


def test_the_environments_of_a_vector_differ():
    stochastic = config("MsPacman", sticky_actions=0.25)
    vector = make_atari(stochastic)(0, 3, False)
    vector.reset()
    random = np.random.default_rng(0)
    for _ in range(100):
        observation = vector.step(np.full(3, random.integers(9))).observation
    assert observation.shape == (3, 210, 160, 1)
    assert (observation[0] != observation[1]).any() and (observation[1] != observation[2]).any()


def test_noops_are_frames_of_the_emulator():
    starts = set()
    for seed in range(12):
        environment = AtariEnvironment(config("Pong", noop_max=5, max_frames=10), seed)
        timestep = environment.reset()
        steps = 0
        while not timestep.last():
            timestep = environment.step(0)
            steps += 1
        result = environment.episode_result()
        # Four frames a step after `n` no-ops, cut at frame 10.
        assert (result.length, result.frames) == (steps, 10)
        starts.add(steps)
    assert starts == {2, 3}  # 1 or 2 no-ops leave three steps, 3 to 5 leave two.


def test_the_frame_limit_truncates():
    environment = AtariEnvironment(config("Pong", max_frames=10), seed=0)
    timesteps = play(environment, 3)
    assert [t.last() for t in timesteps] == [False, False, False, True]
    assert timesteps[-1].discount == 1.0
    assert environment.episode_result().frames == 10
    assert environment.step(0).first()


def test_the_end_of_the_game_terminates_and_counts_what_was_played():
    environment = AtariEnvironment(config("Breakout"), seed=0)
    ale = emulator("breakout")
    actions = ale.getMinimalActionSet()
    environment.reset()
    random = np.random.default_rng(1)
    score, played, steps = 0.0, 0, 0
    while True:
        action = int(random.integers(len(actions)))
        timestep = environment.step(action)
        steps += 1
        for _ in range(4):
            if not ale.game_over():
                score += ale.act(actions[action])
                played += 1
        if timestep.last():
            break
    assert ale.game_over()
    assert timestep.discount == 0.0
    assert environment.episode_result() == EpisodeResult(score, steps, played)


def test_a_lost_life_ends_the_episode_but_not_the_game():
    # Without ever firing again, each of the five balls of Breakout is lost soon.
    environment = AtariEnvironment(config("Breakout", life_loss=True), seed=0)
    ale = emulator("breakout")
    timestep = environment.reset()
    lives, ends, length, results = 5, [], 0, []
    while len(ends) < 5:
        timestep = environment.step(1)
        length += 1
        for _ in range(4):
            if not ale.game_over():
                ale.act(ale_py.Action.FIRE)
        lost = ale.lives() < lives
        lives = ale.lives()
        assert timestep.last() == lost
        if timestep.last():
            assert timestep.discount == 0.0
            ends.append(length)
            results.append(environment.episode_result())
            last_frame = timestep.observation
            if lives:
                timestep = environment.step(0)  # Ignored: the game stands still.
                assert timestep.first()
                np.testing.assert_array_equal(timestep.observation, last_frame)
    assert results[:4] == [None] * 4
    assert results[4].length == length  # The whole game, not the last life.
    assert environment.step(0).first()
    np.testing.assert_array_equal(
        environment.reset().observation[..., 0], emulator("breakout").getScreenGrayscale()
    )


@pytest.mark.parametrize("life_loss", [False, True])
def test_fire_is_pressed_at_the_start_and_after_each_lost_life(life_loss):
    environment = AtariEnvironment(config(press_fire=True, life_loss=life_loss), seed=0)
    ale = emulator("breakout")
    played = 0

    def repeat(action):
        nonlocal played
        screens = []
        for _ in range(4):
            if not ale.game_over():
                ale.act(action)
                played += 1
                screens.append(ale.getScreenGrayscale())
        return np.maximum(*screens[-2:])[..., None] if len(screens) == 4 else None

    timestep, screen = environment.reset(), repeat(ale_py.Action.FIRE)
    lives, steps, firsts = 5, 0, 1
    while not ale.game_over():
        np.testing.assert_array_equal(timestep.observation, screen)
        # Only fire releases the next ball, and this policy never presses it.
        timestep, screen = environment.step(0), repeat(ale_py.Action.NOOP)
        steps += 1
        if 0 < ale.lives() < lives:
            lives = ale.lives()
            if life_loss:
                assert timestep.last()
                timestep = environment.step(0)
                firsts += timestep.first()
            screen = repeat(ale_py.Action.FIRE)
    assert firsts == (5 if life_loss else 1) and timestep.last()
    assert environment.episode_result() == EpisodeResult(0.0, steps, played)


def test_a_copy_at_the_first_observation_continues_in_the_same_way():
    # Sticky actions may repeat the fire, which a copy of the emulator does not hold.
    stochastic = config(press_fire=True, sticky_actions=0.9, height=52, width=40)
    for seed in range(8):
        original, copy = (AtariEnvironment(stochastic, seed) for _ in range(2))
        original.reset()
        copy.set_state(original.get_state())
        for _ in range(20):
            expected, timestep = original.step(2), copy.step(2)
            np.testing.assert_array_equal(timestep.observation, expected.observation)


def test_fire_is_pressed_only_in_games_that_have_it():
    with_fire, without = (
        AtariEnvironment(config("MsPacman", press_fire=fire), seed=0) for fire in (True, False)
    )
    np.testing.assert_array_equal(with_fire.reset().observation, without.reset().observation)


def test_the_last_life_ends_with_the_game():
    # Atlantis counts its six lives down to 0, and is over only some hundred frames later.
    environment = AtariEnvironment(config("Atlantis", life_loss=True, height=21, width=16), seed=0)
    random, ends = np.random.default_rng(0), 0
    environment.reset()
    while environment.episode_result() is None:
        ends += environment.step(int(random.integers(4))).last()
    assert ends == 6


def test_every_game_is_counted_from_nothing():
    ale = emulator("pong")
    score = sum(ale.act(ale_py.Action.NOOP) for _ in range(600))
    assert score < 0
    vector = make_atari(config("Pong", max_frames=600, height=21, width=16))(0, 1, False)
    for _ in range(2):
        for _ in range(151):
            vector.step(np.array([0]))
        assert vector.finished_episodes() == [EpisodeResult(score, 150, 600)]


def test_a_vector_reports_whole_games_and_evaluation_plays_them():
    factory = make_atari(config("Breakout", life_loss=True))
    for evaluation, lasts in ((False, 5), (True, 1)):
        vector = factory(0, 1, evaluation)
        vector.reset()
        seen, results = 0, []
        while not results:
            seen += int(vector.step(np.array([1])).step_type[0] == dm_env.StepType.LAST)
            results = vector.finished_episodes()
        assert seen == lasts
        assert results[0].frames <= 4 * results[0].length


def test_clipped_rewards_leave_the_return_alone():
    limit = {"max_frames": 1600}
    vectors = [
        make_atari(config("MsPacman", reward_clip=clip, **limit))(0, 1, False)
        for clip in (True, False)
    ]
    rewards, results = [], []
    for vector in vectors:
        random = np.random.default_rng(0)
        vector.reset()
        rewards.append([])
        while not (finished := vector.finished_episodes()):
            rewards[-1].append(float(vector.step(random.integers(9, size=1)).reward[0]))
        results.append(finished[0])
    clipped, raw = np.array(rewards)
    assert raw.max() >= 10.0
    np.testing.assert_array_equal(clipped, np.sign(raw))
    assert results[0] == results[1]
    assert results[0].episode_return == raw.sum()


def test_sticky_actions_repeat_single_frames():
    # With probability close to 1 the first no-op is repeated forever.
    stuck = AtariEnvironment(config("MsPacman", sticky_actions=0.999999), seed=0)
    idle = AtariEnvironment(config("MsPacman"), seed=0)
    stuck.reset()
    idle.reset()
    for _ in range(80):
        left, none = stuck.step(3), idle.step(0)
    np.testing.assert_array_equal(left.observation, none.observation)


def test_action_sets():
    minimal = AtariEnvironment(config("Breakout"), seed=0)
    assert minimal.action_names() == ["NOOP", "FIRE", "RIGHT", "LEFT"]
    assert minimal.action_spec().num_values == 4
    full = AtariEnvironment(config("Breakout", full_action_set=True), seed=0)
    assert full.action_spec().num_values == len(set(full.action_names())) == 18


def test_the_picture_is_the_raw_screen():
    environment = AtariEnvironment(config("Pong"), seed=0)
    environment.reset()
    np.testing.assert_array_equal(environment.render(), emulator("pong").getScreenRGB())
