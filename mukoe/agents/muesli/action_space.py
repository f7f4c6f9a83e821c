"""Which actions Muesli has."""

from typing import Any

from mukoe.agents.muesli.config import MuesliConfig
from mukoe.agents.muesli.continuous import ContinuousActions
from mukoe.agents.muesli.discrete import DiscreteActions
from mukoe.agents.muesli.look_ahead import ActionSpace
from mukoe.networks.models import MuZeroNetworks


def make_action_space(
    networks: MuZeroNetworks, config: MuesliConfig, turns: bool = False
) -> ActionSpace[Any]:
    """Returns the actions that the networks were made for.

    Args:
      networks: the model.
      config: of the agent.
      turns: whether two players take turns, so that the next value is the opponent's.

    Raises:
      UserError: the config does not fit continuous actions.
    """
    discount = -config.discount if turns else config.discount
    if networks.gaussian is None:
        return DiscreteActions(networks, config, discount)
    return ContinuousActions(networks, networks.gaussian, config, discount)
