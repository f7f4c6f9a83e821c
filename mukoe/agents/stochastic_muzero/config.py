"""The configuration of Stochastic MuZero.

Paper: Antonoglou et al., "Planning in Stochastic Environments with a Learned Model", ICLR 2022,
https://openreview.net/forum?id=X6D9bAHhBQ1.
"""

import dataclasses
from typing import TYPE_CHECKING, Literal

from mukoe.agents.planning.config import LearnedModelConfig
from mukoe.configuration.bounds import NonNegativeFloat, PositiveInt
from mukoe.configuration.fields import Validated
from mukoe.errors import UserError

if TYPE_CHECKING:
    from mukoe.agents.stochastic_muzero.builder import StochasticMuZeroBuilder


@dataclasses.dataclass(frozen=True)
class ChanceConfig(Validated):
    """Chance outcomes: their codes, their losses, their part in the search."""

    # M, codes that outcomes can have, however many actions there are. Paper: 32.
    codebook_size: PositiveInt = 32
    # Weight of the afterstate value's loss. Paper: 1.
    afterstate_value_weight: NonNegativeFloat = 0.25
    # Weight of the cross-entropy between the chance distribution and the codes. Paper: 1.
    chance_weight: NonNegativeFloat = 1.0
    # β, weight of the squared distance between code and encoding. Paper: a β without a number.
    # It has to be small: with 0.25, that of VQ-VAE (arXiv:1711.00937), where the term is from,
    # both sides of a coin get the same code (`docs/agents.md`).
    commitment_weight: NonNegativeFloat = 0.01
    # What the reward is predicted from: the 'state' after the outcome (paper), or the 'afterstate'
    # before it, in games whose actions decide it, as 2048. With 'state' the encoder, which sees the
    # next observation, gives codes to rewards, and the search takes rewards for chance.
    reward_input: Literal["state", "afterstate"] = "state"
    # Draw the outcomes in the search, as in the paper, instead of taking that of the largest
    # σ(c) / (N(c) + 1), as in mctx.
    sample_outcomes: bool = False


@dataclasses.dataclass(frozen=True)
class StochasticMuZeroConfig(LearnedModelConfig):
    """Stochastic MuZero: MuZero and a model of chance."""

    chance: ChanceConfig = ChanceConfig()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.network.dynamics != "residual":
            raise UserError(
                "Stochastic MuZero has states and afterstates of one kind: "
                f"network.dynamics must be 'residual', not {self.network.dynamics!r}"
            )

    def make_builder(self) -> "StochasticMuZeroBuilder":
        """Returns the agent's builder."""
        from mukoe.agents.stochastic_muzero.builder import StochasticMuZeroBuilder

        return StochasticMuZeroBuilder(self)
