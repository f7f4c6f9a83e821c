"""Adapter of ALE's vector environment, which steps Atari games in native threads."""

import os

import dm_env
import numpy as np
from ale_py import vector_env

from mukoe.environments.atari.config import AtariConfig
from mukoe.environments.atari.environment import AtariEnvironment, ale_seed
from mukoe.environments.atari.roms import rom_id
from mukoe.environments.vector import environment_spec
from mukoe.errors import UserError
from mukoe.system import available_cores
from mukoe.types import EnvironmentSpec, EpisodeResult

# At ALE's own limit the observation is outdated, so the limit is never reached.
_NO_FRAME_LIMIT = 2**31 - 1


def is_supported(config: AtariConfig) -> bool:
    """Returns whether ALE's vector environment supports `config`.

    Unsupported settings are:
      - `resize` other than 'area', its only method;
      - `life_loss`: it restarts the game instead of continuing it;
      - `press_fire`: it presses fire at the start of a game only;
      - `noop_max` other than 0: it draws from 0 to `noop_max - 1` instead of from 1;
      - `max_frames` that is not a multiple of `frame_skip`: it cannot stop within an action repeat.

    For equal seeds and actions the results equal those of `AtariEnvironment` bit for bit, with
    two exceptions. It captures no screen after the end of a game, so that the observation of a
    LAST step with discount 0 is the previous one, or its maximum with a later frame; learning does
    not use that observation. After a truncation, sticky actions use a different part of the same
    random sequence.
    """
    return (
        config.resize == "area"
        and not config.life_loss
        and not config.press_fire
        and config.noop_max == 0
        and config.max_frames % config.frame_skip == 0
    )


class AtariVector:
    """`B` games stepped by ALE's threads, a `VectorEnvironment`.

    Observations are single frames `[B, H, W, C]` uint8 in 0..255.
    """

    def __init__(self, config: AtariConfig, seeds: list[int]):
        """Loads the games.

        Args:
            config: configuration for which `is_supported` is True.
            seeds: `B` environment seeds, as for `AtariEnvironment`.
        """
        self._config = config
        self._spec = environment_spec(AtariEnvironment(config, seeds[0]))
        self._seeds: np.ndarray | None = np.array([ale_seed(seed) for seed in seeds])
        self._environment = vector_env.AtariVectorEnv(
            rom_id(config.game),
            len(seeds),
            num_threads=min(_threads(), len(seeds)),
            max_num_frames_per_episode=_NO_FRAME_LIMIT,
            repeat_action_probability=config.sticky_actions,
            full_action_space=config.full_action_set,
            img_height=config.height,
            img_width=config.width,
            grayscale=config.grayscale,
            stack_num=1,
            frameskip=config.frame_skip,
            noop_max=0,
            reward_clipping=False,
            use_fire_reset=False,
        )
        self._restart = np.ones(len(seeds), bool)
        self._truncated = np.zeros(len(seeds), bool)
        self._returns = np.zeros(len(seeds))
        self._lengths = np.zeros(len(seeds), int)
        self._finished: list[EpisodeResult] = []

    @property
    def num_envs(self) -> int:
        """Number of environments `B`."""
        return len(self._restart)

    @property
    def spec(self) -> EnvironmentSpec:
        """Specs of one environment."""
        return self._spec

    @property
    def action_repeat(self) -> int:
        """Emulator frames per agent step."""
        return self._config.frame_skip

    def reset(self) -> dm_env.TimeStep:
        """Starts a new game in every stream and drops unfinished ones."""
        # Seeds are set once: later games continue the same random sequences.
        frames, _ = self._environment.reset(seed=self._seeds)
        self._seeds = None
        self._restart[:] = self._truncated[:] = False
        self._returns[:] = self._lengths[:] = 0
        zeros = np.zeros(self.num_envs, np.float32)
        return dm_env.TimeStep(
            np.full(self.num_envs, dm_env.StepType.FIRST, np.int32),
            zeros,
            zeros + 1,
            self._observation(frames),
        )

    def step(self, actions: np.ndarray) -> dm_env.TimeStep:
        """Applies one action per stream, `[B]` integers.

        Raises:
            UserError: an action is out of range.
        """
        if self._seeds is not None:
            return self.reset()
        first = self._restart
        frames, rewards, over, _, info = self._environment.step(self._checked(np.asarray(actions)))
        if self._truncated.any():
            # A truncated game runs one more step, which is discarded.
            frames, info = self._environment.reset(options={"reset_mask": self._truncated})
        played = ~first
        over = over & played
        rewards = np.where(played, rewards, 0).astype(np.float32)
        self._returns = np.where(played, self._returns + rewards, 0.0)
        self._lengths = np.where(played, self._lengths + 1, 0)
        self._truncated = ~over & (info["episode_frame_number"] >= self._config.max_frames)
        self._restart = over | self._truncated
        self._finish(info["episode_frame_number"])
        if self._config.reward_clip:
            rewards = np.clip(rewards, -1.0, 1.0)
        return dm_env.TimeStep(
            _step_types(first, self._restart),
            rewards,
            (~over).astype(np.float32),
            self._observation(frames),
        )

    def finished_episodes(self) -> list[EpisodeResult]:
        """Returns the games that ended since the last call, with unclipped returns."""
        finished, self._finished = self._finished, []
        return finished

    def close(self) -> None:
        """Stops ALE's threads."""
        del self._environment

    def _observation(self, frames: np.ndarray) -> np.ndarray:
        return frames.reshape(self.num_envs, *self._spec.observations.shape)

    def _finish(self, frames: np.ndarray) -> None:
        for index in np.flatnonzero(self._restart):
            self._finished.append(
                EpisodeResult(
                    float(self._returns[index]),
                    int(self._lengths[index]),
                    int(frames[index]),
                    environment=int(index),
                )
            )

    def _checked(self, actions: np.ndarray) -> np.ndarray:
        name, count = f"Atari {self._config.game}", self._spec.actions.num_values
        if actions.shape != (self.num_envs,) or actions.dtype.kind not in "iu":
            raise UserError(
                f"{name}: actions must be {self.num_envs} integers; "
                f"got shape {actions.shape}, dtype {actions.dtype}"
            )
        actions = np.where(self._restart, 0, actions).astype(np.int32)
        invalid = (actions < 0) | (actions >= count)
        if invalid.any():
            index = int(np.argmax(invalid))
            raise UserError(
                f"{name}, environment {index} of the vector: action must be in 0..{count - 1}; "
                f"got {actions[index]}"
            )
        return actions


def _step_types(first: np.ndarray, last: np.ndarray) -> np.ndarray:
    types = np.where(last, dm_env.StepType.LAST, dm_env.StepType.MID)
    return np.where(first, dm_env.StepType.FIRST, types).astype(np.int32)


def _threads() -> int:
    """Returns the thread limit: OMP_NUM_THREADS if set, else the number of available cores."""
    limit = os.environ.get("OMP_NUM_THREADS", "")
    if limit.isdigit() and int(limit):
        return int(limit)
    return available_cores()
