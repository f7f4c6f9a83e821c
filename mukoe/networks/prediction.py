"""Prediction function `p, v = f(s)`."""

from typing import NamedTuple

import haiku as hk
import jax

from mukoe.networks.config import NetworkConfig
from mukoe.networks.heads import make_head, make_player_head
from mukoe.networks.state import lstm_output
from mukoe.types import Array, PerAction, PerBin


class Prediction(NamedTuple):
    """Output of the prediction function.

    policy_logits: `[B, A]`; with continuous actions `[B, 2 D]`, see `gaussian_policy`.
    value_logits: `[B, bins]`; `[B, P, bins]` with three and more players.
    player_logits: `[B, P]` logits of the player to move, of a learned model of such a game; else
        `()`.
    """

    policy_logits: PerAction
    value_logits: PerBin
    player_logits: Array = ()


class PredictionHeads(hk.Module):
    """Policy and value heads on a state."""

    def __init__(
        self,
        config: NetworkConfig,
        policy_outputs: int,
        name: str,
        num_players: int | None = None,
        predicts_player: bool = False,
    ):
        super().__init__(name=name)
        self._config = config
        self._num_players = num_players
        self._predicts_player = predicts_player
        self._policy_outputs = policy_outputs

    def __call__(self, state: jax.Array) -> Prediction:
        """Maps states `[B, ..., width]`, or `[B, 2 width]` of an LSTM, to predictions."""
        if self._config.dynamics == "lstm":
            state = lstm_output(state)
        policy_logits = make_head(self._policy_outputs, self._config, "policy_head")(state)
        value_head = make_player_head(
            self._config.value_support.num_bins, self._num_players, self._config, "value_head"
        )
        prediction = Prediction(policy_logits, value_head(state))
        if self._num_players is None or not self._predicts_player:
            return prediction
        player_head = make_head(self._num_players, self._config, "player_head")
        return prediction._replace(player_logits=player_head(state))
