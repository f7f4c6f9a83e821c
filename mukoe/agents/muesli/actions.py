"""Choice of the action-dependent parts by the action space."""

from typing import Any

from mukoe.agents.muesli.config import MuesliConfig
from mukoe.agents.muesli.continuous import ContinuousActions
from mukoe.agents.muesli.discrete import DiscreteActions
from mukoe.agents.muesli.look_ahead import MuesliActions
from mukoe.errors import UserError
from mukoe.networks.action_space import BoxSpace, DiscreteSpace
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
      UserError: the config does not support continuous actions, or actions have several parts.
    """
    discount = -config.discount if turns else config.discount
    space = networks.action_space
    if isinstance(space, BoxSpace):
        return ContinuousActions(networks, space, config, discount)
    if isinstance(space, DiscreteSpace):
        return DiscreteActions(networks, config, discount)
    raise UserError(
        "Muesli needs Discrete or continuous actions, not actions of several parts; MuZero with "
        "agent.search.num_candidates > 0 and PPO take them"
    )
