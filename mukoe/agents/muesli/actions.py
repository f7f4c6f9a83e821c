"""Choice of the action-dependent parts by the action space."""

from typing import Any

from mukoe.agents.muesli.config import MuesliConfig
from mukoe.agents.muesli.discrete import DiscreteActions
from mukoe.agents.muesli.look_ahead import MuesliActions
from mukoe.agents.muesli.sampled import SampledActions
from mukoe.networks.action_space import BoxSpace, ProductSpace
from mukoe.networks.models import MuZeroNetworks


def make_actions(
    networks: MuZeroNetworks, config: MuesliConfig, turns: bool = False
) -> MuesliActions[Any]:
    """Returns the action-dependent parts of the agent.

    Args:
      networks: networks of the model.
      config: configuration of the agent.
      turns: two players who take turns; the next value is then the opponent's.

    Raises:
      UserError: the config does not support actions that are sampled.
    """
    discount = -config.discount if turns else config.discount
    space = networks.action_space
    if isinstance(space, BoxSpace | ProductSpace):
        return SampledActions(networks, space, config, discount)
    return DiscreteActions(networks, config, discount)
