"""Atari 2600 games on the Arcade Learning Environment, as dm_env environments.

Papers: Mnih et al. 2015 (Nature DQN: repeat, maximum, clipping, life loss, no-ops),
Machado et al. 2018 (arXiv:1709.06009: sticky actions, whole games, all actions),
Schrittwieser et al. 2020 (arXiv:1911.08265, MuZero).
"""

import dataclasses
import difflib
import functools
from typing import Literal

import ale_py
import cv2
import dm_env
import numpy as np
from ale_py import roms
from dm_env import specs

from mukoe.configuration.bounds import LARGEST_COUNT, LONGEST_SIDE, check_numbers
from mukoe.environments.vector import (
    EnvironmentFactory,
    SyncFactory,
    VectorEnvironment,
    environment_seeds,
    vectorize,
)
from mukoe.errors import UserError
from mukoe.types import EpisodeResult

INTERPOLATIONS = {"area": cv2.INTER_AREA, "linear": cv2.INTER_LINEAR}

# These cartridges have no mode for a single player.
_MULTIPLAYER_ROMS = frozenset({"combat", "joust", "maze_craze", "warlords"})


@dataclasses.dataclass(frozen=True)
class AtariConfig:
    """Every choice about how a game is presented to an agent."""

    # Name as ALE spells it, such as MsPacman; `games()` lists them all.
    game: str
    # Frames that each action is held. MuZero and Nature DQN: 4. The observation is the maximum
    # of the last two, against flicker (Nature DQN); with 1 there is no maximum.
    frame_skip: int = 4
    # One luminance channel instead of three colours. MuZero: colours. Nature DQN: luminance.
    grayscale: bool = False
    # Rows of the observation. MuZero 96, Nature DQN 84, raw screen 210.
    height: int = 96
    # Columns of the observation. MuZero 96, Nature DQN 84, raw screen 160.
    width: int = 96
    # How the screen is resized: 'area' (mean of the pixels covered) or 'linear' (several times
    # faster, skips pixels). MuZero: not said.
    resize: str = "area"
    # Probability, at each emulator frame, that the previous action is played instead.
    # Machado 0.25, Nature DQN 0; MuZero speaks of none.
    sticky_actions: float = 0.25
    # All 18 actions instead of only those that the game tells apart. MuZero (whose action
    # planes are a / 18) and Machado: all. Nature DQN: the minimal set.
    full_action_set: bool = False
    # Rewards clipped to [-1, 1]. Nature DQN: yes. MuZero: no (it scales values by h). The
    # reported return of an episode is never clipped.
    reward_clip: bool = False
    # A lost life ends the episode for the learner (discount 0) while the game goes on; off in
    # evaluation. Nature DQN: yes. Machado: advises against. MuZero: not said.
    life_loss: bool = False
    # A game starts with 1 to this many no-op frames, drawn uniformly; 0 for none.
    # MuZero and Nature DQN 30; Machado 0 (sticky actions instead).
    noop_max: int = 0
    # Emulator frames, no-ops included, after which a game is truncated (discount 1).
    # MuZero 108,000 (30 minutes); Machado and Nature DQN's evaluation 18,000 (5 minutes).
    max_frames: int = 108_000
    # Who steps the games of an actor: 'ale' is ALE's vector environment, 'python' this
    # module, 'auto' the first, which is faster, wherever it does the same.
    backend: Literal["auto", "ale", "python"] = "auto"

    def make_factory(self) -> EnvironmentFactory:
        """Returns the environment factory of the game."""
        return make_atari(self)

    def __post_init__(self):
        """Checks every field.

        Raises:
            UserError: a field has a value that makes no sense.
        """
        if self.game not in _rom_ids():
            near = difflib.get_close_matches(self.game, games(), n=3, cutoff=0.5)
            hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(games())}"
            raise UserError(f"there is no Atari game '{self.game}'; {hint}")
        check_numbers(self, "height", "width", at_least=1, at_most=LONGEST_SIDE)
        check_numbers(self, "frame_skip", "max_frames", at_least=1, at_most=LARGEST_COUNT)
        check_numbers(self, "noop_max", at_least=0, at_most=LARGEST_COUNT)
        check_numbers(self, "sticky_actions", at_least=0, below=1)
        if self.max_frames <= self.noop_max:
            raise UserError(
                f"max_frames must be more than noop_max ({self.noop_max}), not {self.max_frames}"
            )
        if self.resize not in INTERPOLATIONS:
            raise UserError(
                f"Atari resize must be one of {', '.join(INTERPOLATIONS)}; got '{self.resize}'"
            )


@functools.cache
def _rom_ids() -> dict[str, str]:
    ids = sorted(set(roms.get_all_rom_ids()) - _MULTIPLAYER_ROMS)
    return {rom.title().replace("_", ""): rom for rom in ids}


def games() -> list[str]:
    """Returns the name of every game, as `AtariConfig.game` takes it."""
    return list(_rom_ids())


class AtariEnvironment(dm_env.Environment):
    """One game. Observations are single frames `[H, W, C]` uint8 with `C` 1 or 3.

    A frame is the maximum of the last two emulator frames, taken before resizing and, with
    `grayscale`, after the conversion to luminance. Where a game ends earlier within the
    repeat, it is its last frame alone. The same seed plays the same games again.

    With `life_loss`, the episode after a lost life goes on with the game as it stands: its
    FIRST observation is the one with which the last episode ended. This holds for `reset()`
    after LAST too; at any other time `reset()` starts a new game.
    """

    def __init__(self, config: AtariConfig, seed: int):
        """Loads the game; `seed` is any integer that is not negative."""
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

    def observation_spec(self) -> specs.BoundedArray:
        """Returns one frame `[H, W, C]` uint8."""
        channels = 1 if self._config.grayscale else 3
        shape = (self._config.height, self._config.width, channels)
        return specs.BoundedArray(shape, np.uint8, 0, 255, name="observation")

    @property
    def action_repeat(self) -> int:
        """Emulator frames for each agent step."""
        return self._config.frame_skip

    def action_spec(self) -> specs.DiscreteArray:
        """Returns the number of actions; `action_names` says what they are."""
        return specs.DiscreteArray(len(self._actions), np.int32, name="action")

    def reward_spec(self) -> specs.Array:
        """Returns a float32; in [-1, 1] with `reward_clip`."""
        if self._config.reward_clip:
            return specs.BoundedArray((), np.float32, -1.0, 1.0, name="reward")
        return specs.Array((), np.float32, name="reward")

    def action_names(self) -> list[str]:
        """Returns ALE's name of every action, such as UPFIRE."""
        return [action.name for action in self._actions]

    def reset(self) -> dm_env.TimeStep:
        """Starts an episode, which is a new game unless the last one ended by a lost life."""
        if not self._life_lost:
            self._new_game()
        self._restart = self._life_lost = False
        self._lives = self._ale.lives()
        return dm_env.restart(self._observation)

    def step(self, action: int) -> dm_env.TimeStep:
        """Holds an action for `frame_skip` frames; after LAST, starts an episode instead."""
        if self._restart:
            return self.reset()
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
        # Atlantis and BankHeist count 0 lives for many frames before the game is over.
        if self._config.life_loss and 0 < self._lives < lives:
            self._restart = self._life_lost = True
            return dm_env.termination(reward, self._observation)
        return dm_env.transition(reward, self._observation, discount=1.0)

    def episode_result(self) -> EpisodeResult | None:
        """Returns the finished game, over all its lives and unclipped; None while it goes on.

        Its frames are those that the emulator played, the no-ops at the start included.
        """
        if self._life_lost or not self._restart:
            return None
        return EpisodeResult(self._return, self._length, self._ale.getEpisodeFrameNumber())

    def render(self) -> np.ndarray:
        """Returns the raw screen in colours, `[210, 160, 3]` uint8."""
        return self._ale.getScreenRGB()

    def _new_game(self) -> None:
        self._ale.reset_game()
        if self._config.noop_max:
            for _ in range(self._random.integers(1, self._config.noop_max + 1)):
                self._ale.act(ale_py.Action.NOOP)
                if self._ale.game_over(with_truncation=False):
                    self._ale.reset_game()
        self._return = 0.0
        self._length = 0
        self._grab(self._screens[0])
        self._observation = self._resize(self._screens[0])

    def _play(self, action: ale_py.Action) -> float:
        reward, grabbed = 0.0, 0
        for frame in range(self._config.frame_skip):
            reward += self._ale.act(action)
            ended = self._ale.game_over(with_truncation=False) or self._truncated()
            if ended or frame >= self._config.frame_skip - 2:
                self._grab(self._screens[grabbed])
                grabbed += 1
            if ended:
                break
        screen = self._screens[0]
        if grabbed == 2:
            np.maximum(screen, self._screens[1], out=screen)
        self._observation = self._resize(screen)
        return reward

    def _truncated(self) -> bool:
        return self._ale.getEpisodeFrameNumber() >= self._config.max_frames

    def _grab(self, screen: np.ndarray) -> None:
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
                screen, (width, height), interpolation=INTERPOLATIONS[self._config.resize]
            )
        return resized.reshape(height, width, -1)


def ale_seed(seed: int) -> int:
    """Returns the seed that the emulator gets, in 0..2**31-2, in an environment of `seed`."""
    sequence = np.random.SeedSequence(seed, spawn_key=(1,))
    return int(sequence.generate_state(1)[0] % (2**31 - 1))


def rom_name(game: str) -> str:
    """Returns what ALE calls the ROM of a game, such as ms_pacman."""
    return _rom_ids()[game]


def _load(config: AtariConfig, seed: int) -> ale_py.ALEInterface:
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    ale = ale_py.ALEInterface()
    ale.setInt("random_seed", seed)
    ale.setFloat("repeat_action_probability", config.sticky_actions)
    path = roms.get_rom_path(rom_name(config.game))
    if path is None:
        raise UserError(f"ale-py has no ROM of the Atari game '{config.game}'; install it again")
    ale.loadROM(path)
    return ale


@dataclasses.dataclass(frozen=True)
class _AleFactory(SyncFactory):
    """ALE steps the games, but for those of evaluations, which can be drawn."""

    config: AtariConfig

    def __call__(self, seed: int, num_envs: int, evaluation: bool) -> VectorEnvironment:
        """Makes `num_envs` games."""
        from mukoe.environments.atari import vector as atari_vector  # It builds on this module.

        if evaluation:
            return super().__call__(seed, num_envs, evaluation)
        seeds = environment_seeds(self.name, seed, num_envs, False)
        return atari_vector.AtariVector(self.config, seeds)


def make_atari(config: AtariConfig) -> EnvironmentFactory:
    """Makes the environment factory of a game; `life_loss` is switched off in evaluation.

    Evaluations are stepped by `AtariEnvironment`, which can be drawn; see
    `mukoe.environments.atari.vector.fits` for when ALE steps the others.

    Raises:
        UserError: ALE shall step games that it presents otherwise than `config`.
    """
    from mukoe.environments.atari import vector as atari_vector  # It builds on this module.

    name = f"Atari {config.game}"
    fits = atari_vector.fits(config)
    if config.backend == "ale" and not fits:
        raise UserError(
            "Atari backend 'ale' needs resize 'area', no life_loss, noop_max 0 and max_frames "
            "that frame_skip divides; use 'auto', or change those"
        )

    def make_environment(seed: int, evaluation: bool) -> AtariEnvironment:
        life_loss = config.life_loss and not evaluation
        return AtariEnvironment(dataclasses.replace(config, life_loss=life_loss), seed)

    if not fits or config.backend == "python":
        return vectorize(make_environment, name)

    return _AleFactory(make_environment, name, config)
