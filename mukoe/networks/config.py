"""Configuration of the networks of agents that plan or look ahead with a model."""

import dataclasses
from typing import Annotated, Literal

from msgspec import Meta

from mukoe.configuration.bounds import MOST_COMPILED, PositiveInt, UnitInterval
from mukoe.configuration.fields import Validated
from mukoe.errors import UserError
from mukoe.networks.distributions import GaussianConfig
from mukoe.networks.parts import PartsConfig
from mukoe.networks.precision import Precision
from mukoe.networks.torsos import TORSOS
from mukoe.networks.value_encoding import SupportConfig


@dataclasses.dataclass(frozen=True)
class NetworkConfig(Validated):
    """The networks of MuZero. Paper: arXiv:1911.08265, appendix F, on Atari."""

    # Name of a torso in `mukoe.networks.torsos`, or package.module:attribute of another one.
    # Paper: 'large'.
    torso: str = "mlp"
    # Torsos and combination of the parts of a Dict or Tuple observation.
    parts: PartsConfig = PartsConfig()
    # Normalise observations, which must be vectors, by running statistics of sampled rows.
    normalize_observations: bool = False
    # Widths of the torso's hidden layers; channels of the stages of 'impala'; hidden layers of the
    # blocks of attention, one block each.
    hidden_sizes: tuple[PositiveInt, ...] = (128,)
    # Channels of a spatial state, length of a vector state. Paper: 256.
    width: PositiveInt = 64
    # Residual blocks between torso and state. Paper: 16 for board games; for Atari it is
    # silent on whether the 16 follow the down-sampling.
    representation_blocks: Annotated[int, Meta(ge=0, le=MOST_COMPILED)] = 0
    # 'residual' blocks; an 'lstm' or 'gru' that takes actions as input (Muesli, arXiv:2104.06159),
    # whose state is a vector, of 2 x `width` for an LSTM: output and cell; or 'transformer' blocks
    # over the places of a spatial state, or over the quarters of a vector.
    dynamics: Literal["residual", "lstm", "gru", "transformer"] = "residual"
    # Residual or transformer blocks of the dynamics. Paper: 16.
    dynamics_blocks: Annotated[int, Meta(ge=0, le=MOST_COMPILED)] = 1
    # How an action enters a spatial state: 'planes', one for each action, filled with 1 or 0;
    # 'cell', one plane with a 1 where the stone goes (paper: Go, shogi; a last action beyond
    # the cells is a pass, all zeros); 'column', one plane with a 1 all along a column.
    action_encoding: Literal["planes", "cell", "column"] = "planes"
    # Channels of the 1x1 convolution of a head on a spatial state.
    head_channels: PositiveInt = 16
    # Hidden layers of a head.
    head_sizes: tuple[PositiveInt, ...] = (64,)
    # The policy head of continuous actions.
    gaussian: GaussianConfig = GaussianConfig()
    # Scale states to [0, 1], but for those of an LSTM or GRU. Paper: yes (appendix G).
    scale_hidden_state: bool = True
    # Gradient into the state that enters a dynamics call. Paper: 1/2 (appendix G).
    dynamics_gradient_scale: UnitInterval = 0.5
    # Type in which layers compute: 'float32', or 'bfloat16' on accelerators, while parameters,
    # optimiser, targets and losses are float32.
    precision: Precision = "float32"
    # Bins of the value. Paper: 601 over [-300, 300], transformed.
    value_support: SupportConfig = SupportConfig()
    # Bins of the reward. Paper: as the value.
    reward_support: SupportConfig = SupportConfig()

    def __post_init__(self) -> None:
        super().__post_init__()
        TORSOS[self.torso]  # Raises for an unknown name.
        if self.width % 2:
            raise UserError(f"network.width must be even, not {self.width}")
