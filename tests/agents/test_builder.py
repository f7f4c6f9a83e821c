"""Size of the builder contract, and the optional protocols of the agents."""

import pytest

from mukoe.agents.alphazero.config import AlphaZeroConfig
from mukoe.agents.builder import ActorLearnerBuilder
from mukoe.agents.extensions import (
    EstimatesMemory,
    FollowsRunLength,
    Inspectable,
    LearnsFromRollouts,
    ProfilesNetworks,
    Reanalyses,
    rollout_of,
)
from mukoe.agents.muesli.config import MuesliConfig
from mukoe.agents.muzero.config import MuZeroConfig
from mukoe.agents.ppo.config import PPOConfig
from mukoe.agents.stochastic_muzero.config import StochasticMuZeroConfig

PLANNING = {EstimatesMemory, Inspectable, ProfilesNetworks, Reanalyses}
ON_POLICY = {EstimatesMemory, FollowsRunLength, LearnsFromRollouts}
PROTOCOLS = PLANNING | ON_POLICY


def test_the_contract_has_seven_public_members():
    members = {name for name in vars(ActorLearnerBuilder) if not name.startswith("_")}
    assert members == {
        "learner_settings",
        "make_actor",
        "make_learner",
        "make_loss",
        "make_networks",
        "make_policy",
        "replay",
    }


@pytest.mark.parametrize(
    "config, expected",
    [
        (MuZeroConfig(), PLANNING),
        (StochasticMuZeroConfig(), PLANNING),
        (AlphaZeroConfig(game="tic_tac_toe"), PLANNING),
        (MuesliConfig(), {EstimatesMemory}),
        (PPOConfig(), ON_POLICY),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, set) else "",
)
def test_optional_protocols_of_the_agents(config, expected):
    builder = config.make_builder()
    assert {protocol for protocol in PROTOCOLS if isinstance(builder, protocol)} == expected
    assert (rollout_of(builder) is not None) == (expected is ON_POLICY)
