"""Adapter of the Arcade Learning Environment (Atari 2600 games) to dm_env.

Papers: Mnih et al. 2015 (Nature DQN: repeat, maximum, clipping, life loss, no-ops),
Machado et al. 2018 (arXiv:1709.06009: sticky actions, whole games, all actions),
Schrittwieser et al. 2020 (arXiv:1911.08265, MuZero).
"""

import json
from collections.abc import Mapping

import ale_py
import cv2
import dm_env
import numpy as np
from ale_py import roms
from dm_env import specs

from mukoe.environments.atari.config import AtariConfig
from mukoe.environments.atari.roms import rom_id
from mukoe.errors import UserError
from mukoe.types import EpisodeResult

# Recorded call of `reset`; actions are recorded by their index.
_RESET = -1

_INTERPOLATIONS = {"area": cv2.INTER_AREA, "linear": cv2.INTER_LINEAR}


class AtariEnvironment(dm_env.Environment):
    """One game. Observations are single frames `[H, W, C]` uint8 in 0..255 with `C` 1 or 3.

    A frame is the maximum of the last two emulator frames, taken before resizing and, with
    `grayscale`, after the conversion to luminance. If a game ends earlier within the action
    repeat, the frame is its last emulator frame. Games are a function of the seed and the actions.

    With `life_loss`, the episode after a lost life continues the current game: its FIRST
    observation is the final observation of the previous episode. This also holds for `reset()`
    after LAST; otherwise `reset()` starts a new game.

    With `press_fire`, an action repeat of fire precedes the FIRST observation, and, without
    `life_loss`, the observation after a lost life. It counts as frames, not as a step.
    """

    def __init__(self, config: AtariConfig, seed: int):
        """Loads the game; `seed` is a non-negative integer."""
        self._config = config
        self._random = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0,)))
        self._ale = _load(config, ale_seed(seed))
        self._actions = (
            self._ale.getLegalActionSet()
            if config.full_action_set
            else self._ale.getMinimalActionSet()
        )
        channels = () if config.grayscale else (3,)
        self._screens = [np.zeros((*self._ale.getScreenDims(), *channels), np.uint8) for _ in "ab"]
        self._observation = np.zeros(self.observation_spec().shape, np.uint8)
        self._restart = True
        self._life_lost = False
        self._lives = 0
        self._return = 0.0
        self._length = 0
        # Emulator and observation at the start of the game, and its calls since: an action's
        # index, or -1 for `reset`.
        self._start: tuple[bytes, np.ndarray] | None = None
        self._calls = bytearray()

    def observation_spec(self) -> specs.BoundedArray:
        """Returns the spec of a frame, `[H, W, C]` uint8 in 0..255."""
        channels = 1 if self._config.grayscale else 3
        shape = (self._config.height, self._config.width, channels)
        return specs.BoundedArray(shape, np.uint8, 0, 255, name="observation")

    @property
    def action_repeat(self) -> int:
        """Emulator frames per agent step."""
        return self._config.frame_skip

    def action_spec(self) -> specs.DiscreteArray:
        """Returns the spec of the action, int32 in 0..A-1; `action_names` lists their meanings."""
        return specs.DiscreteArray(len(self._actions), np.int32, name="action")

    def reward_spec(self) -> specs.Array:
        """Returns the spec of the reward, `[]` float32; in [-1, 1] with `reward_clip`."""
        if self._config.reward_clip:
            return specs.BoundedArray((), np.float32, -1.0, 1.0, name="reward")
        return specs.Array((), np.float32, name="reward")

    def action_names(self) -> list[str]:
        """Returns ALE's names of the actions, such as UPFIRE."""
        return [action.name for action in self._actions]

    def reset(self) -> dm_env.TimeStep:
        """Starts an episode: a new game, unless the last episode ended with a lost life."""
        if self._life_lost:
            self._record(_RESET)
            self._restart = self._life_lost = False
            self._lives = self._ale.lives()
            self._press_fire()
        else:
            self._new_game()
        return dm_env.restart(self._observation)

    def step(self, action: int) -> dm_env.TimeStep:
        """Repeats an action for `frame_skip` frames; after LAST, starts an episode instead."""
        if self._restart:
            return self.reset()
        self._record(int(action))
        reward = self._play(self._actions[int(action)])
        self._return += reward
        self._length += 1
        if self._config.reward_clip:
            reward = max(-1.0, min(1.0, reward))
        if self._ale.game_over(with_truncation=False):
            self._restart = True
            return dm_env.termination(reward, self._observation)
        if self._truncated():
            self._restart = True
            return dm_env.truncation(reward, self._observation, discount=1.0)
        lives, self._lives = self._lives, self._ale.lives()
        # Atlantis and BankHeist report 0 lives for many frames before the game is over.
        if self._config.life_loss and 0 < self._lives < lives:
            self._restart = self._life_lost = True
            return dm_env.termination(reward, self._observation)
        if 0 < self._lives < lives:
            self._press_fire()
        return dm_env.transition(reward, self._observation, discount=1.0)

    def episode_result(self) -> EpisodeResult | None:
        """Returns the result of a finished game, over all lives and unclipped; None before.

        `frames` counts emulator frames, including the no-ops at the start.
        """
        if self._life_lost or not self._restart:
            return None
        return EpisodeResult(self._return, self._length, self._ale.getEpisodeFrameNumber())

    def get_state(self) -> dict[str, np.ndarray]:
        """Returns a copy of the state, as `CopiesState` does.

        The emulator is copied at the start of the game, since its copies lack the action that
        sticky actions repeat; the actions of the game so far are repeated by `set_state`.
        """
        assert self._start is not None
        emulator, observation = self._start
        random = json.dumps(self._random.bit_generator.state).encode()
        return {
            "emulator": np.frombuffer(emulator, np.uint8),
            "observation": observation,
            "random": np.frombuffer(random, np.uint8),
            "calls": np.frombuffer(bytes(self._calls), np.int8),
        }

    def set_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Restores a copied state in an environment that has not played."""
        emulator, calls = state["emulator"].tobytes(), state["calls"].tolist()
        self._random.bit_generator.state = json.loads(state["random"].tobytes())
        self._ale.restoreState(ale_py.ALEState(emulator))
        self._begin_game(emulator, state["observation"])
        for call in calls:
            self.reset() if call == _RESET else self.step(call)

    def render(self) -> np.ndarray:
        """Returns the raw RGB screen, `[210, 160, 3]` uint8."""
        return self._ale.getScreenRGB()

    def _new_game(self) -> None:
        self._ale.reset_game()
        if self._config.noop_max:
            for _ in range(self._random.integers(1, self._config.noop_max + 1)):
                self._ale.act(ale_py.Action.NOOP)
                if self._ale.game_over(with_truncation=False):
                    self._ale.reset_game()
        self._capture(self._screens[0])
        emulator = self._ale.cloneState(include_rng=True).serialize()
        self._begin_game(emulator, self._resize(self._screens[0]))

    def _begin_game(self, emulator: bytes, observation: np.ndarray) -> None:
        self._start = (emulator, observation)
        self._calls = bytearray()
        self._return, self._length = 0.0, 0
        self._restart = self._life_lost = False
        self._lives = self._ale.lives()
        self._observation = observation
        self._press_fire()

    def _record(self, call: int) -> None:
        self._calls += call.to_bytes(1, "big", signed=True)

    def _press_fire(self) -> None:
        if self._config.press_fire and ale_py.Action.FIRE in self._actions:
            self._return += self._play(ale_py.Action.FIRE)

    def _play(self, action: ale_py.Action) -> float:
        reward, captured = 0.0, 0
        for frame in range(self._config.frame_skip):
            reward += self._ale.act(action)
            ended = self._ale.game_over(with_truncation=False) or self._truncated()
            if ended or frame >= self._config.frame_skip - 2:
                self._capture(self._screens[captured])
                captured += 1
            if ended:
                break
        screen = self._screens[0]
        if captured == 2:
            np.maximum(screen, self._screens[1], out=screen)
        self._observation = self._resize(screen)
        return reward

    def _truncated(self) -> bool:
        return self._ale.getEpisodeFrameNumber() >= self._config.max_frames

    def _capture(self, screen: np.ndarray) -> None:
        if self._config.grayscale:
            self._ale.getScreenGrayscale(screen)
        else:
            self._ale.getScreenRGB(screen)

    def _resize(self, screen: np.ndarray) -> np.ndarray:
        height, width = self._config.height, self._config.width
        if screen.shape[:2] == (height, width):
            resized = screen.copy()
        else:
            resized = cv2.resize(
                screen, (width, height), interpolation=_INTERPOLATIONS[self._config.resize]
            )
        return resized.reshape(height, width, -1)


def ale_seed(seed: int) -> int:
    """Returns the emulator seed, in 0..2**31-2, of an environment with seed `seed`."""
    sequence = np.random.SeedSequence(seed, spawn_key=(1,))
    return int(sequence.generate_state(1)[0] % (2**31 - 1))


def _load(config: AtariConfig, seed: int) -> ale_py.ALEInterface:
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    ale = ale_py.ALEInterface()
    ale.setInt("random_seed", seed)
    ale.setFloat("repeat_action_probability", config.sticky_actions)
    path = roms.get_rom_path(rom_id(config.game))
    if path is None:
        raise UserError(f"ale-py has no ROM for the Atari game '{config.game}'; reinstall it")
    ale.loadROM(path)
    return ale
