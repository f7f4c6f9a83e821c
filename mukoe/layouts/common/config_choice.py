"""Choices that follow from the agent and the environment of a configuration."""

import dataclasses
from typing import Any

from mukoe.agents.extensions import rollout_of
from mukoe.layouts.common.experiment import TrainingConfig
from mukoe.networks.config import NetworkConfig
from mukoe.networks.value_encoding import SupportConfig


def with_environment(config: Any, environment: Any) -> Any:
    """Returns a configuration for another environment.

    The bins of values and rewards fit the scale of one environment: for another one they are
    replaced by the default bins, which fit any scale. Outcomes of two-player games have one scale.
    """
    changed = dataclasses.replace(config, environment=environment)
    network = getattr(getattr(config, "agent", None), "network", None)
    both = (config.environment, environment)
    is_scaled = not all(getattr(each, "two_players", False) for each in both)
    if environment == config.environment or not isinstance(network, NetworkConfig) or not is_scaled:
        return changed
    fitting = dataclasses.replace(
        network, value_support=SupportConfig(), reward_support=SupportConfig()
    )
    if fitting == network:
        return changed
    print(
        "the bins of values and rewards in the config fit another environment: "
        "agent.network.value_support and reward_support have their defaults, which fit any scale",
        flush=True,
    )
    return dataclasses.replace(changed, agent=dataclasses.replace(config.agent, network=fitting))


def default_layout(config: TrainingConfig) -> str:
    """Returns the layout of an agent: 'sebulba' where it learns from rollouts, else 'local'."""
    return "sebulba" if rollout_of(config.agent.make_builder()) else "local"
