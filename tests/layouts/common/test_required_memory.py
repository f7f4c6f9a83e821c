"""What is larger than any memory is refused before anything is made of it."""

import dataclasses

import jax
import pytest

from mukoe import system as memory
from mukoe.agents.alphazero.config import AlphaZeroConfig, AlphaZeroNetworkConfig
from mukoe.agents.muesli.config import MuesliConfig, MuesliLossConfig, MuesliReplayConfig
from mukoe.agents.muzero.config import MuZeroConfig
from mukoe.agents.planning.config import PlanningReplayConfig, UnrollLossConfig
from mukoe.agents.ppo.config import PPOConfig
from mukoe.agents.stochastic_muzero.config import StochasticMuZeroConfig
from mukoe.configuration import apply_overrides
from mukoe.environments.gymnasium.config import GymnasiumConfig
from mukoe.environments.pgx.config import PgxConfig
from mukoe.errors import UserError
from mukoe.layouts import local, sebulba
from mukoe.layouts.common.experiment import RunConfig, TrainingConfig
from mukoe.layouts.common.required_memory import RequiredMemory
from mukoe.networks.config import NetworkConfig
from mukoe.search.config import SearchConfig
from tests.configuration.fuzzed import HUGE, MAY_BE_ENDLESS, leaves, refusal

_NETWORK = NetworkConfig(hidden_sizes=(8,), width=8, head_sizes=(8,))
_SEARCHING = {
    "network": _NETWORK,
    "search": SearchConfig(num_simulations=2),
    "loss": UnrollLossConfig(unroll_steps=2, td_steps=2),
    "replay": PlanningReplayConfig(min_size=20, batch_size=8, samples_per_insert=2.0),
}
_MUESLI = MuesliConfig(
    network=dataclasses.replace(_NETWORK, dynamics="lstm"),
    loss=MuesliLossConfig(sequence_length=4, unroll_steps=2, num_samples=2),
    replay=MuesliReplayConfig(batch_size=8),
)
_ALPHAZERO = AlphaZeroConfig(
    game="tic_tac_toe",
    network=AlphaZeroNetworkConfig(width=8, blocks=1, head_sizes=(8,)),
    search=SearchConfig(num_simulations=2),
    replay=PlanningReplayConfig(min_size=20, batch_size=8, samples_per_insert=2.0),
)
AGENTS = {
    "muzero": (local, MuZeroConfig(**_SEARCHING)),
    "muzero on devices": (sebulba, MuZeroConfig(**_SEARCHING)),
    "stochastic muzero": (local, StochasticMuZeroConfig(**_SEARCHING)),
    "alphazero": (local, _ALPHAZERO),
    "muesli": (local, _MUESLI),
    "ppo": (sebulba, PPOConfig()),
}
# What these environments have no use for: CartPole has no pictures, PPO no rounds of a length, and
# AlphaZero's torso no hidden layers.
UNUSED = {
    "muzero": {"network.head_channels"},
    "muzero on devices": {"network.head_channels"},
    "stochastic muzero": {"network.head_channels"},
    "alphazero": {"network.hidden_sizes"},
    "muesli": {"network.head_channels"},
    "ppo": {"network.channels", "network.width", "sebulba.round_steps"},
}


def experiment_of(agent, **run):
    is_alphazero = isinstance(agent, AlphaZeroConfig)
    environment = PgxConfig(agent.game) if is_alphazero else GymnasiumConfig("CartPole-v1")
    return TrainingConfig(environment, agent, RunConfig(**run))


# A state of 8 numbers, 2 actions with a prior and a child each, 5 numbers and 3 links.
_NODE = 4 * (8 + 4 + 5 + 3)


def check_size(required, each, monkeypatch, **kind):
    """Checks that acting takes `each` bytes per environment."""
    monkeypatch.setattr(memory, "available_bytes", lambda: 10 * each)
    required.check_acting(10, "", **kind)
    with pytest.raises(UserError, match="acting in 11 environments needs .*lower something"):
        required.check_acting(11, "lower something", **kind)


def huge_fields(name):
    """Integer fields without an upper bound in their config."""
    layout, agent = AGENTS[name]
    config = experiment_of(agent)
    elsewhere = ("distributed.", *(() if layout is sebulba else ("sebulba.",)))
    for leaf in leaves(config):
        short = leaf.name.removeprefix("agent.")
        if int not in leaf.kinds or leaf.owner in MAY_BE_ENDLESS or short in UNUSED[name]:
            continue
        if not leaf.name.startswith(elsewhere) and refusal(config, leaf.name, str(HUGE)) is None:
            yield leaf.name


@pytest.mark.parametrize("name", AGENTS)
def test_huge_numbers_are_refused_by_arithmetic(name):
    layout, agent = AGENTS[name]
    layout.check(experiment_of(agent).make_experiment())
    tried = list(huge_fields(name))
    assert len(tried) >= 6, tried
    for field in tried:
        config = apply_overrides(experiment_of(agent), {field: str(HUGE)})
        with pytest.raises(UserError) as refused:
            layout.check(config.make_experiment())
        assert "\n" not in str(refused.value), field


def test_simulations_are_refused_by_the_size_of_their_tree():
    agent = dataclasses.replace(AGENTS["muzero"][1], search=SearchConfig(num_simulations=2**31 - 2))
    with pytest.raises(UserError, match="acting in 4 environments needs .* the simulations"):
        local.check(experiment_of(agent).make_experiment())


def test_a_schedule_over_more_updates_than_are_counted_is_refused():
    agent = AGENTS["ppo"][1]
    with pytest.raises(UserError, match="lower run.max_actor_steps, or set agent.anneal_lr=false"):
        sebulba.check(experiment_of(agent, max_actor_steps=HUGE).make_experiment())
    sebulba.check(
        experiment_of(
            dataclasses.replace(agent, anneal_lr=False), max_actor_steps=HUGE
        ).make_experiment()
    )


def test_the_tree_is_as_large_as_the_arithmetic_says(monkeypatch):
    config = experiment_of(AGENTS["muzero"][1]).make_experiment()
    required = RequiredMemory(config, local.check(config))
    check_size(required, 1024 + 4 * 4 + 3 * _NODE, monkeypatch)


@pytest.mark.parametrize("trees", [1, 5])
def test_an_evaluation_needs_every_tree(trees, monkeypatch):
    search = SearchConfig(num_simulations=2, evaluation_trees=trees)
    agent = dataclasses.replace(AGENTS["muzero"][1], search=search)
    config = experiment_of(agent).make_experiment()
    required = RequiredMemory(config, local.check(config))
    check_size(required, 1024 + 4 * 4 + 3 * _NODE, monkeypatch)
    check_size(required, 1024 + 4 * 4 + trees * 3 * _NODE, monkeypatch, evaluation=True)


def test_a_reused_tree_has_room_for_the_kept_nodes():
    sizes = []
    for reused in (False, True):
        search = SearchConfig(num_simulations=2, evaluation_reuse_tree=reused)
        config = experiment_of(dataclasses.replace(_ALPHAZERO, search=search)).make_experiment()
        spec = local.check(config)
        networks = config.builder.make_networks(spec)
        params = jax.eval_shape(networks.init, jax.random.PRNGKey(0))
        sizes.append(config.builder.memory_use(networks, params, spec).evaluation)
    # The root and 2 simulations, behind twice as many simulations of earlier searches.
    assert sizes[1] / sizes[0] == pytest.approx((2 + 2 * 2 + 1) / 3)
