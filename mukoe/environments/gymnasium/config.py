"""Settings of the Gymnasium environments."""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec import Meta

from mukoe.configuration.bounds import LONGEST_SIDE, WIDEST_LAYER, PositiveInt
from mukoe.configuration.fields import Validated
from mukoe.environments.vector import EnvironmentFactory
from mukoe.errors import UserError

if TYPE_CHECKING:
    import gymnasium

    from mukoe.environments.gymnasium.pixels import RenderedObservation


@dataclasses.dataclass(frozen=True)
class GymnasiumConfig(Validated):
    """A registered Gymnasium environment."""

    # Registered name, such as CartPole-v1, or module:Name-v0 to import a module first.
    env: str
    # Further arguments of `gymnasium.make`.
    arguments: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    # Legal-action mask: 'none', `info['action_mask']` ('info'), or the part `action_mask` of a Dict
    # observation ('observation'), with an entry for each action of a Discrete space.
    action_mask: Literal["none", "info", "observation"] = "none"
    # Greatest number of entries of a `Sequence`, and of words of a `Text` with a vocabulary.
    sequence_length: Annotated[int, Meta(ge=1, le=WIDEST_LAYER)] = 32
    # Words of texts, in lower case; empty for the characters of the space, and for the words of
    # the missions of MiniGrid and BabyAI.
    vocabulary: tuple[str, ...] = ()
    # Whether entries of the observation with bounds within (-1, 1) are scaled to bounds of 1.
    amplify_observations: bool = False

    def make_factory(self) -> EnvironmentFactory:
        """Returns `factory(seed, num_envs, evaluation)`; see `make_gymnasium`."""
        from mukoe.environments.gymnasium.factory import make_gymnasium
        from mukoe.environments.gymnasium.general import amplify
        from mukoe.environments.gymnasium.minigrid import encode_minigrid
        from mukoe.environments.gymnasium.sequences import SequenceLimits

        def wrap(environment: "gymnasium.Env") -> "gymnasium.Env":
            environment = encode_minigrid(environment)
            return amplify(environment) if self.amplify_observations else environment

        limits = SequenceLimits(self.sequence_length, self.vocabulary)
        return make_gymnasium(self.env, wrap, self.action_mask, limits, **self.arguments)

    def with_rendering(self) -> "GymnasiumConfig":
        """Returns a copy of the configuration with `render_mode='rgb_array'`."""
        return dataclasses.replace(self, arguments={**self.arguments, "render_mode": "rgb_array"})


@dataclasses.dataclass(frozen=True)
class GymnasiumPixelsConfig(Validated):
    """A registered Gymnasium environment with pixel observations."""

    # Registered name, such as LunarLander-v3.
    env: str
    # Further arguments of `gymnasium.make`.
    arguments: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    # Rows of the observation.
    height: Annotated[int, Meta(ge=1, le=LONGEST_SIDE)] = 64
    # Columns of the observation.
    width: Annotated[int, Meta(ge=1, le=LONGEST_SIDE)] = 64
    # One luminance channel instead of three colour channels.
    grayscale: bool = True
    # Environment steps per action and per observation.
    action_repeat: PositiveInt = 1
    # Legal-action mask: 'none', or `info['action_mask']` ('info').
    action_mask: Literal["none", "info"] = "none"

    def __post_init__(self) -> None:
        super().__post_init__()
        if "render_mode" in self.arguments:
            raise UserError("arguments.render_mode is always 'rgb_array' for pixels: leave it out")

    def make_factory(self) -> EnvironmentFactory:
        """Returns `factory(seed, num_envs, evaluation)`; see `make_gymnasium`."""
        from mukoe.environments.gymnasium.factory import make_gymnasium

        return make_gymnasium(
            self.env,
            self._wrap,
            self.action_mask,
            render_mode="rgb_array",
            **self.arguments,
        )

    def _wrap(self, environment: "gymnasium.Env") -> "RenderedObservation":
        from mukoe.environments.gymnasium.pixels import RenderedObservation

        return RenderedObservation(
            environment, self.height, self.width, self.grayscale, self.action_repeat
        )
