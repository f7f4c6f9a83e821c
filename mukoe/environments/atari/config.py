"""Settings of the Atari games.

Sources of the values: Mnih et al. 2015 (Nature DQN), Machado et al. 2018 (arXiv:1709.06009),
Schrittwieser et al. 2020 (arXiv:1911.08265, MuZero).
"""

import dataclasses
from typing import Annotated, Literal

from msgspec import Meta

from mukoe.configuration.bounds import LARGEST_COUNT, LONGEST_SIDE
from mukoe.configuration.fields import Validated
from mukoe.environments.atari.roms import game_names
from mukoe.environments.similar_names import similar_names
from mukoe.environments.vector import EnvironmentFactory
from mukoe.errors import UserError


@dataclasses.dataclass(frozen=True)
class AtariConfig(Validated):
    """An Atari game and its preprocessing."""

    # Name in ALE's spelling, such as MsPacman; `game_names()` lists all of them.
    game: str
    # Emulator frames per action. MuZero and Nature DQN: 4. The observation is the maximum
    # of the last two frames, against flicker (Nature DQN); with 1 there is no maximum.
    frame_skip: Annotated[int, Meta(ge=1, le=LARGEST_COUNT)] = 4
    # One luminance channel instead of three colour channels. MuZero: colours. Nature DQN:
    # luminance.
    grayscale: bool = False
    # Rows of the observation. MuZero 96, Nature DQN 84, raw screen 210.
    height: Annotated[int, Meta(ge=1, le=LONGEST_SIDE)] = 96
    # Columns of the observation. MuZero 96, Nature DQN 84, raw screen 160.
    width: Annotated[int, Meta(ge=1, le=LONGEST_SIDE)] = 96
    # Interpolation of the screen: 'area' (mean of the covered pixels) or 'linear' (several
    # times faster, skips pixels). MuZero: unspecified.
    resize: Literal["area", "linear"] = "area"
    # Probability, at each emulator frame, that the previous action is repeated (sticky actions).
    # Machado 0.25, Nature DQN 0; MuZero: unspecified.
    sticky_actions: Annotated[float, Meta(ge=0, lt=1)] = 0.25
    # All 18 actions instead of the minimal set of the game. MuZero (whose action
    # planes are a / 18) and Machado: all. Nature DQN: the minimal set.
    full_action_set: bool = False
    # Rewards clipped to [-1, 1]. Nature DQN: yes. MuZero: no (it scales values by h). The
    # reported return of an episode is never clipped.
    reward_clip: bool = False
    # A lost life ends the episode for the learner (discount 0) while the game continues; off in
    # evaluation. Nature DQN: yes. Machado: advises against. MuZero: unspecified.
    life_loss: bool = False
    # The fire button is pressed at the start of a game and after each lost life, in games that have
    # it: Breakout waits for it before it releases the ball. OpenAI Baselines: yes, at the start.
    # Nature DQN, Machado and MuZero: no.
    press_fire: bool = False
    # Maximum number of no-op frames at the start of a game, drawn uniformly from 1 to this
    # number; 0 for none. MuZero and Nature DQN 30; Machado 0 (sticky actions instead).
    noop_max: Annotated[int, Meta(ge=0, le=LARGEST_COUNT)] = 0
    # Emulator frames, no-ops included, after which a game is truncated (discount 1).
    # MuZero 108,000 (30 minutes); Machado and Nature DQN's evaluation 18,000 (5 minutes).
    max_frames: Annotated[int, Meta(ge=1, le=LARGEST_COUNT)] = 108_000
    # Implementation that steps the games of an actor: 'ale' is ALE's vector environment,
    # 'python' is `AtariEnvironment`, 'auto' is 'ale', which is faster, where both are equivalent.
    backend: Literal["auto", "ale", "python"] = "auto"

    def __post_init__(self):
        """Checks every field.

        Raises:
            UserError: a field is invalid.
        """
        super().__post_init__()
        names = game_names()
        if self.game not in names:
            near = similar_names(self.game, names)
            hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(names)}"
            raise UserError(f"there is no Atari game '{self.game}'; {hint}")
        if self.max_frames <= self.noop_max:
            raise UserError(
                f"max_frames must be more than noop_max ({self.noop_max}), not {self.max_frames}"
            )

    def make_factory(self) -> EnvironmentFactory:
        """Returns `factory(seed, num_envs, evaluation)`; see `make_atari`."""
        from mukoe.environments.atari.factory import make_atari

        return make_atari(self)
