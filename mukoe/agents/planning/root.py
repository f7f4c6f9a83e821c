"""The networks that a planning agent evaluates at observations."""

from collections.abc import Callable
from typing import Protocol

import chex
import mctx
from dm_env import specs

from mukoe.agents.planning.config import PlanningConfig
from mukoe.networks.action_space import ActionSpace
from mukoe.networks.prediction import Prediction
from mukoe.networks.value_encoding import ValueEncoding
from mukoe.search.base import SearchModel
from mukoe.types import Array, Nest, Params

POSITION = "position"
"""Name of the extra that holds the true state, where reanalysis searches the rules again."""


PLAYER = "player"
"""Name of the extra that holds the seat of the player to move, with three and more players."""


class RootNetworks(Protocol):
    """Networks from observations to predictions, such as `MuZeroNetworks`.

    init: `key -> params`.
    representation: `(params, network input [B, ...]) -> state [B, ...]`.
    prediction: `(params, state) -> Prediction`.
    value_encoding: encoding of the predicted values.
    action_space: policies of the predicted policy logits, and the encoding of actions.
    num_players: number of players whose values are predicted; None for one value.
    """

    @property
    def init(self) -> Callable[[chex.PRNGKey], Params]: ...
    @property
    def representation(self) -> Callable[[Params, Nest], Array]: ...
    @property
    def prediction(self) -> Callable[[Params, Array], Prediction]: ...
    @property
    def value_encoding(self) -> ValueEncoding: ...
    @property
    def action_space(self) -> ActionSpace: ...
    @property
    def num_players(self) -> int | None: ...


def make_root(networks: RootNetworks) -> Callable[[Params, Nest], mctx.RootFnOutput]:
    """Returns the root function `(params, network input [B, ...]) -> RootFnOutput`."""

    def root(params: Params, observation: Nest) -> mctx.RootFnOutput:
        state = networks.representation(params, observation)
        prediction = networks.prediction(params, state)
        return mctx.RootFnOutput(
            prior_logits=prediction.policy_logits,
            value=networks.value_encoding.to_scalar(prediction.value_logits),
            embedding=state,
        )

    return root


def stored_position(model: SearchModel, config: PlanningConfig) -> specs.Array | None:
    """Returns the spec of the true states that rows store for reanalysis; None for no states."""
    return None if config.reanalyse.mode == "none" else model.position
