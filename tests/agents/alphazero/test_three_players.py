"""AlphaZero with three players: searches against max^n, the loss by hand, and learning."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("pgx")

import configs.alphazero_nim
from mukoe.agents.alphazero.model import alphazero_model
from mukoe.agents.alphazero.networks import AlphaZeroNetworks
from mukoe.configuration.overrides import apply_overrides
from mukoe.environments.pgx.multiplayer.nim_solver import solve_nim
from mukoe.environments.pgx.openings import with_random_opening
from mukoe.environments.pgx.positions import pack_position
from mukoe.environments.pgx.rules import load_rules
from mukoe.layouts import local
from mukoe.networks.action_space import DiscreteSpace
from mukoe.networks.prediction import Prediction
from mukoe.networks.value_encoding import SupportConfig, ValueEncoding
from mukoe.search.config import SearchConfig
from mukoe.search.plan import plan
from mukoe.search.players import turn_of
from mukoe.search.q_normalization import BOARD_GAMES
from mukoe.types import PolicyParams
from mukoe.viewing.episodes import play_episode
from mukoe.viewing.inspected_agent import InspectedAgent

# Its fixtures take long, so one worker runs it whole.
pytestmark = pytest.mark.xdist_group("alphazero_three_players")


def uniform_networks():
    """Networks with a uniform prior and value 0."""

    def prediction(params, state):
        batch = state.shape[0]
        return Prediction(jnp.zeros((batch, 15)), jnp.zeros((batch, 3, 3)))

    return AlphaZeroNetworks(
        init=lambda key: {},
        representation=lambda params, features: features,
        prediction=prediction,
        value_encoding=ValueEncoding(SupportConfig(-1.0, 1.0, 3, hyperbolic=False)),
        action_space=DiscreteSpace(15),
        num_players=3,
    )


def test_the_rules_alone_reach_the_values_of_max_n():
    """With few counters left: no learning is involved."""
    rules = load_rules("nim_3p", None).with_positions()
    positions = jax.jit(with_random_opening(rules, 7).init)(
        jax.random.split(jax.random.PRNGKey(0), 200)
    )
    few = positions.board.sum(axis=-1) <= 5
    positions = jax.tree.map(lambda leaf: leaf[few], positions)
    config = SearchConfig(
        algorithm="muzero", num_simulations=200, pb_c_init=0.5, q_normalization=BOARD_GAMES
    )
    model = alphazero_model(uniform_networks(), rules, 1.0)
    observation = rules.observe(positions)
    root = model.evaluate_root(
        {}, positions.observation, pack_position(positions), turn_of(observation)
    )
    search = jax.jit(functools.partial(plan, config, model, evaluation=True))
    output, _ = search({}, jax.random.PRNGKey(0), root, positions.legal_action_mask, 0)
    heaps, solved = tuple(np.asarray(positions.board).T), solve_nim()
    assert len(heaps[0]) > 30
    values = solved.values[heaps]
    assert set(values[:, 0]) == {-1, 0, 1}
    # Seats are absolute, those of the solution are relative to the player to move.
    seats = (np.asarray(positions.current_player)[:, None] + np.arange(3)) % 3
    found = np.take_along_axis(np.asarray(output.search_value), seats, axis=1)
    np.testing.assert_array_equal(found.argmax(axis=1), values.argmax(axis=1))
    np.testing.assert_array_equal(found.argmin(axis=1), values.argmin(axis=1))
    taken = np.take_along_axis(solved.best_actions[heaps], np.asarray(output.action)[:, None], 1)
    assert taken.all()


def run_of(workdir, overrides):
    """Returns a finished run of the shipped config, and the config with its overrides."""
    config = apply_overrides(configs.alphazero_nim.get_config(), overrides)
    experiment = config.make_experiment()
    run = local.make_run(experiment, local.check(experiment), workdir)
    while not run.ended:
        run.step()
    run.close()
    return run, config


@pytest.fixture(scope="module")
def short_run(tmp_path_factory):
    return run_of(
        tmp_path_factory.mktemp("run"),
        {
            "run.max_actor_steps": "600",
            "run.envs_per_actor": "8",
            "run.evaluation_episodes": "3",
            "agent.replay.min_size": "64",
            "agent.replay.batch_size": "32",
            "agent.search.num_simulations": "4",
        },
    )


def test_a_run_stores_vectors(short_run):
    run, _ = short_run
    rows = run.replay.sample().rows
    assert rows.reward.shape == (32, 13, 3)
    assert rows.extras["search_value"].shape == (32, 13, 3)
    assert rows.observation.player.shape == (32, 1)
    assert run.learner.steps > 10


def test_the_value_loss_is_the_cross_entropy_with_the_outcome_of_each_player(short_run):
    run, config = short_run
    builder = config.agent.make_builder()
    spec = config.make_experiment().environment_factory(0, 1, False).spec
    networks, sample = builder.make_networks(spec), run.replay.sample()
    params = run.learner.save().params
    loss = builder.make_loss(networks, spec)
    _, extra = loss(params, params, sample, jax.random.PRNGKey(3))
    features = sample.rows.observation.features[:, 0]
    logits = np.asarray(
        networks.prediction(params, networks.representation(params, features)).value_logits
    )
    assert logits.shape == (32, 3, 3)
    losses = []
    for entry in range(32):
        outcome = sample.rows.reward[entry].sum(axis=0)
        assert sorted(outcome) == [-1, 0, 1]
        for seat in range(3):
            row = logits[entry, seat] - logits[entry, seat].max()
            log_probs = row - np.log(np.exp(row).sum())
            losses.append(-log_probs[int(outcome[seat]) + 1])
    np.testing.assert_allclose(extra.metrics["value_loss"], np.mean(losses), rtol=1e-4)


def test_an_episode_of_self_play_is_shown(short_run):
    """The value is that of the player to move, as the tree's, and the score that of the first."""
    run, config = short_run
    environment = config.make_experiment().environment_factory(0, 1, False)
    builder, params = config.agent.make_builder(), run.learner.save().params
    agent = InspectedAgent(builder, environment.spec, PolicyParams(params, np.int32(0)))
    steps = list(play_episode(agent, environment, 0, None, seed=0))
    assert steps[-1].result in ("A won", "B won", "C won")
    assert steps[-1].score in (-1, 0, 1)
    for step in steps[:-1]:
        tree = step.decision.tree
        seen = np.append(tree.qvalues[0][tree.child_visits[0] > 0], tree.raw_values[0])
        assert seen.min() - 1e-5 <= step.value <= seen.max() + 1e-5


def optimal_share(config, make_params):
    """Returns the share of moves that keep the value in random games, and their number."""
    builder = config.agent.make_builder()
    environment = config.make_experiment().environment_factory(0, 64, False)
    networks = builder.make_networks(environment.spec)
    params = PolicyParams(make_params(networks), np.int32(0))
    policy = builder.make_policy(networks, environment.spec, evaluation=True)
    act = jax.jit(policy.apply)
    solved, kept, count = solve_nim(), 0, 0
    timestep, random = environment.reset(), np.random.default_rng(0)
    for step in range(40):
        observation = timestep.observation
        action, _, _ = act(params, jax.random.PRNGKey(step), observation, ())
        heaps = observation.features[..., 0].sum(-1)
        going = ~timestep.last()
        best = solved.best_actions[tuple(heaps.T)]
        kept += int(best[np.arange(64), np.asarray(action)][going].sum())
        count += int(going.sum())
        drawn = [int(random.choice(np.flatnonzero(legal))) for legal in observation.legal_actions]
        timestep = environment.step(np.array(drawn))
    return kept / count, count


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_it_learns_to_play_like_the_solution(tmp_path):
    run, config = run_of(tmp_path, {})
    trained, count = optimal_share(config, lambda networks: run.learner.save().params)
    untrained, _ = optimal_share(config, lambda networks: networks.init(jax.random.PRNGKey(0)))
    print(f"value-keeping moves of {count}: {untrained:.4f} untrained, {trained:.4f} trained")
    assert count > 1_000
    assert untrained < 0.9
    assert trained > 0.98
