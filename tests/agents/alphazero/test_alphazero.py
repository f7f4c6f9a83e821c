"""AlphaZero: its model against perfect play, its loss against NumPy, and all of it together."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("pgx")

from mukoe.agents.alphazero.config import AlphaZeroConfig, AlphaZeroNetworkConfig
from mukoe.agents.alphazero.model import alphazero_model
from mukoe.agents.alphazero.networks import AlphaZeroNetworks
from mukoe.agents.planning.config import PlanningReplayConfig
from mukoe.agents.planning.symmetries import image_of_sample
from mukoe.environments.board_symmetries import board_symmetries
from mukoe.environments.pgx.config import PgxConfig
from mukoe.environments.pgx.exact_solver import board_index, solve_tic_tac_toe
from mukoe.environments.pgx.openings import with_random_opening
from mukoe.environments.pgx.positions import pack_position
from mukoe.environments.pgx.rules import load_rules
from mukoe.errors import UserError
from mukoe.layouts import local
from mukoe.layouts.common.experiment import RunConfig, TrainingConfig
from mukoe.networks.action_space import DiscreteSpace
from mukoe.networks.prediction import Prediction
from mukoe.networks.value_encoding import ValueEncoding
from mukoe.search.config import SearchConfig
from mukoe.search.plan import plan
from mukoe.types import PolicyParams

# Its fixtures take long, so one worker runs it whole.
pytestmark = pytest.mark.xdist_group("alphazero")

AGENT = AlphaZeroConfig(
    game="tic_tac_toe",
    network=AlphaZeroNetworkConfig(width=8, blocks=1, head_channels=2, head_sizes=(8,)),
    discount=1.0,
    search=SearchConfig(algorithm="gumbel", num_simulations=4),
    replay=PlanningReplayConfig(
        min_size=64, batch_size=32, samples_per_insert=2.0, sampler="uniform"
    ),
)
CONFIG = TrainingConfig(
    environment=PgxConfig("tic_tac_toe", random_opening_moves=3),
    agent=AGENT,
    run=RunConfig(max_actor_steps=600, envs_per_actor=8, evaluation_episodes=2),
)


def uniform_networks(value_encoding=AGENT.network.value_support):
    """Networks with a uniform prior and value 0."""
    encoding = ValueEncoding(value_encoding)

    def prediction(params, state):
        nothing = jnp.zeros((state.shape[0], 9))
        return Prediction(nothing, nothing[:, : encoding.config.num_bins])

    return AlphaZeroNetworks(
        init=lambda key: {},
        representation=lambda params, features: features,
        prediction=prediction,
        value_encoding=encoding,
        action_space=DiscreteSpace(9),
    )


@pytest.mark.parametrize(
    ("algorithm", "simulations"),
    [pytest.param("muzero", 300, marks=pytest.mark.slow), ("gumbel", 128)],
)
def test_without_any_knowledge_the_rules_alone_are_played_perfectly(algorithm, simulations):
    """At enough simulations, where five moves are left at most: no learning is involved."""
    rules = load_rules("tic_tac_toe", None).with_positions()
    init = jax.jit(with_random_opening(rules, 7).init)
    positions = init(jax.random.split(jax.random.PRNGKey(0), 200))
    positions = jax.tree.map(lambda leaf: leaf[positions._step_count >= 4], positions)
    config = SearchConfig(algorithm=algorithm, num_simulations=simulations)
    model = alphazero_model(uniform_networks(), rules, 1.0)
    search = jax.jit(functools.partial(plan, config, model, evaluation=True))
    root = model.evaluate_root({}, positions.observation, pack_position(positions))
    legal = positions.legal_action_mask
    output, _ = search({}, jax.random.PRNGKey(0), root, legal, 0)
    cells = np.asarray(positions.observation).reshape(-1, 9, 2).astype(int)
    index, solved = board_index(cells[..., 0], cells[..., 1]), solve_tic_tac_toe()
    assert len(index) > 60
    assert {-1, 0, 1} == set(solved.values[index])
    assert np.take_along_axis(solved.best_actions[index], output.action[:, None], 1).all()
    decided = solved.values[index] != 0
    np.testing.assert_array_equal(
        np.sign(output.search_value)[decided], solved.values[index][decided]
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A finished run of some seconds, and the folder of its logs."""
    workdir = tmp_path_factory.mktemp("run")
    experiment = CONFIG.make_experiment()
    run = local.make_run(experiment, local.check(experiment), workdir)
    while not run.ended:
        run.step()
    run.close()
    return run, workdir


def test_it_trains_in_one_process(trained):
    run, workdir = trained
    assert run.learner.steps > 10
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(run.learner.save().params))
    header = (workdir / "logs" / "learner.csv").read_text().splitlines()[0].split(",")
    assert {"policy_loss", "value_loss", "policy_entropy"} <= set(header)


def test_an_item_is_a_position_and_the_rest_of_its_game(trained):
    run, _ = trained
    rows = run.replay.sample().rows
    assert rows.reward.shape[1] == 10
    # The network looks at the first position alone, so no other is kept.
    assert rows.observation.features.shape[1] == 1
    assert (rows.mask[:, 0] == 1).all()


def cross_entropy(logits, probs):
    logits = logits - logits.max(-1, keepdims=True)
    return -(probs * (logits - np.log(np.exp(logits).sum(-1, keepdims=True)))).sum(-1)


def test_the_loss_is_that_of_the_paper(trained):
    """Equation 1 by hand: the outcome for the player to move, and the search's policy."""
    run, _ = trained
    builder = AGENT.make_builder()
    spec = CONFIG.make_experiment().environment_factory(0, 1, False).spec
    networks = builder.make_networks(spec)
    sample = run.replay.sample()
    params = run.learner.save().params
    key = jax.random.PRNGKey(3)
    _, extra = builder.make_loss(networks, spec)(params, params, sample, key)
    _, symmetry_key = jax.random.split(key)
    drawn = jax.random.randint(symmetry_key, (32,), 0, 8)
    images = image_of_sample(sample, board_symmetries(spec), drawn).rows
    features, policy = images.observation.features[:, 0], images.extras["search_policy"][:, 0]
    prediction = networks.prediction(params, networks.representation(params, features))
    outcomes = []
    for reward, mask, discount in zip(
        sample.rows.reward, sample.rows.mask, sample.rows.discount, strict=True
    ):
        (last,) = np.flatnonzero(mask * (discount == 0))
        # Who moves last wins or draws; an even number of moves before, it is the same player.
        outcomes.append(reward[last] * (-1.0) ** last)
    assert set(outcomes) >= {-1.0, 1.0}
    value_probs = np.eye(3)[np.array(outcomes, int) + 1]
    losses = cross_entropy(np.asarray(prediction.value_logits), value_probs)
    policy_losses = cross_entropy(np.asarray(prediction.policy_logits), np.asarray(policy))
    np.testing.assert_allclose(extra.metrics["policy_loss"], policy_losses.mean(), rtol=1e-4)
    np.testing.assert_allclose(extra.metrics["value_loss"], losses.mean(), rtol=1e-4)
    assert extra.metrics["values_outside_bins"] == 0


def test_the_search_needs_the_whole_network():
    """An actor that searches by itself, from roots of a server: by shapes alone."""
    builder = AGENT.make_builder()
    environment = CONFIG.make_experiment().environment_factory(0, 2, False)
    networks = builder.make_networks(environment.spec)
    params = PolicyParams(networks.init(jax.random.PRNGKey(0)), np.int32(0))
    policy = builder.make_policy(networks, environment.spec)
    observation = environment.reset().observation

    def act(params, key):
        root, _ = policy.split.represent(params, observation, ())
        few = policy.split.search_params(params)
        return policy.split.search(few, key, root, observation.legal_actions)

    action, extras = jax.eval_shape(act, params, jax.random.PRNGKey(1))
    assert action.shape == (2,)
    assert extras["search_policy"].shape == (2, 9)


def test_the_torso_is_configured():
    spec = CONFIG.make_experiment().environment_factory(0, 1, False).spec

    def networks_of(torso):
        network = dataclasses.replace(AGENT.network, torso=torso)
        return dataclasses.replace(AGENT, network=network).make_builder().make_networks(spec)

    params = jax.eval_shape(networks_of("patch_transformer").init, jax.random.PRNGKey(0))
    assert "representation/patch_transformer_torso/patches" in params
    with pytest.raises(UserError, match="torso 'small' takes images of at least 32x32, not 3x3"):
        networks_of("small")


def test_another_game_than_the_environment_is_refused():
    config = dataclasses.replace(CONFIG, environment=PgxConfig("connect_four"))
    with pytest.raises(UserError, match="agent.game is 'tic_tac_toe', but the environment"):
        local.check(config.make_experiment())


def test_a_game_of_chance_is_refused():
    with pytest.raises(UserError, match="'backgammon' has moves of chance"):
        AlphaZeroConfig(game="backgammon")


def test_observations_without_the_position_are_refused():
    experiment = dataclasses.replace(
        CONFIG.make_experiment(), environment_factory=PgxConfig("tic_tac_toe").make_factory()
    )
    with pytest.raises(UserError, match="set environment.positions=true"):
        local.check(experiment)
