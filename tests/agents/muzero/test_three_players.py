"""MuZero with three players: its targets and loss by hand, its model, and learning."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("pgx")

import configs.muzero_nim
from mukoe.agents.planning.deterministic_model.model import muzero_model
from mukoe.agents.planning.targets import make_targets
from mukoe.configuration.overrides import apply_overrides
from mukoe.environments.pgx.multiplayer.nim_solver import solve_nim
from mukoe.errors import UserError
from mukoe.layouts import local
from mukoe.learning.returns import n_step_returns
from mukoe.networks.action_space import DiscreteSpace
from mukoe.search.config import SearchConfig
from mukoe.search.plan import plan
from mukoe.search.players import Turn
from mukoe.types import PolicyParams, Row

# Its fixtures take long, so one worker runs it whole.
pytestmark = pytest.mark.xdist_group("muzero_three_players")


def run_of(workdir, overrides):
    """Returns a finished run of the shipped config, and the config with its overrides."""
    config = apply_overrides(configs.muzero_nim.get_config(), overrides)
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
            "agent.loss.unroll_steps": "2",
            "agent.replay.min_size": "64",
            "agent.replay.batch_size": "32",
            "agent.search.num_simulations": "4",
        },
    )


@pytest.fixture(scope="module")
def networks_and_spec(short_run):
    _, config = short_run
    spec = config.make_experiment().environment_factory(0, 1, False).spec
    return config.agent.make_builder().make_networks(spec), spec


def test_a_run_stores_the_players_to_move(short_run):
    run, _ = short_run
    rows = run.replay.sample().rows
    assert rows.reward.shape == (32, 15, 3)
    players, acted = rows.extras["player"], rows.mask > 0
    # In Nim the turn passes in order.
    following = (players[:, :-1] + 1) % 3
    np.testing.assert_array_equal(following[acted[:, 1:]], players[:, 1:][acted[:, 1:]])
    assert set(players[acted]) == {0, 1, 2}
    assert run.learner.steps > 10


def log_softmax(logits):
    logits = np.asarray(logits, float)
    logits = logits - logits.max(axis=-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


def test_the_losses_are_those_by_hand(short_run, networks_and_spec):
    run, config = short_run
    networks, spec = networks_and_spec
    sample, params = run.replay.sample(), run.learner.save().params
    loss = config.agent.make_builder().make_loss(networks, spec)
    rows, steps = sample.rows, 2
    state = networks.representation(params, rows.observation.features[:, 0])
    values = [networks.prediction(params, state).value_logits]
    rewards, players = [], []
    for k in range(steps):
        # An absorbing state has a random action, and no loss of the players.
        state, reward = networks.dynamics(params, state, rows.action[:, k])
        prediction = networks.prediction(params, state)
        values.append(prediction.value_logits)
        rewards.append(reward)
        players.append(prediction.player_logits)
    expected = {"value_loss": [], "reward_loss": [], "player_loss": []}
    whole = rows.mask[:, :steps].all(axis=1)
    assert whole.sum() > 10
    for entry in np.flatnonzero(whole):
        value = reward = player = 0.0
        for k in range(steps + 1):
            outcome = rows.reward[entry, k:].sum(axis=0) * rows.mask[entry, k]
            weight = 1 if k == 0 else 1 / steps
            for seat in range(3):
                log_probs = log_softmax(values[k][entry, seat])
                value -= weight * log_probs[int(outcome[seat]) + 1] / 3
            if k < steps:
                for seat in range(3):
                    log_probs = log_softmax(rewards[k][entry, seat])
                    reward -= log_probs[int(rows.reward[entry, k, seat]) + 1] / 3 / steps
            if k and rows.mask[entry, k]:
                own = int(rows.extras["player"][entry, k])
                player -= log_softmax(players[k - 1][entry])[own] / steps
        expected["value_loss"].append(value)
        expected["reward_loss"].append(reward)
        expected["player_loss"].append(player)
    part = jax.tree.map(lambda array: np.asarray(array)[whole], sample)
    _, extra = loss(params, params, part, jax.random.PRNGKey(3))
    for name, losses in expected.items():
        np.testing.assert_allclose(extra.metrics[name], np.mean(losses), rtol=2e-3, err_msg=name)


def test_returns_are_those_of_each_player(short_run):
    _, config = short_run
    random = np.random.default_rng(0)
    rows = Row(
        observation=(),
        action=np.zeros((2, 8), np.int32),
        reward=random.normal(size=(2, 8, 3)),
        discount=np.array([[1.0] * 8, [1.0, 1, 1, 0, 0, 0, 0, 0]]),
        mask=np.array([[1.0] * 8, [1.0, 1, 1, 1, 0, 0, 0, 0]]),
        extras={
            "search_policy": np.full((2, 8, 15), 1 / 15),
            "search_value": random.normal(size=(2, 8, 3)),
            "player": np.zeros((2, 8), np.int32),
        },
    )
    settings = dataclasses.replace(config.agent.targets, unroll_steps=2, td_steps=5, discount=0.9)
    values = rows.extras["search_value"]
    targets = make_targets(rows, values, jax.random.PRNGKey(0), DiscreteSpace(15), settings)
    for seat in range(3):
        expected = n_step_returns(
            rows.reward[..., seat], rows.discount, rows.mask, values[..., seat], 5, 0.9
        )
        np.testing.assert_allclose(targets.values[..., seat], expected, rtol=1e-5)


def test_a_player_who_is_out_has_no_turn_and_no_value(networks_and_spec):
    networks, spec = networks_and_spec
    model = muzero_model(networks, spec, 1.0)
    params = networks.init(jax.random.PRNGKey(0))
    noise = jax.random.split(jax.random.PRNGKey(1), len(jax.tree.leaves(params)))
    # The last layers are zeros at first.
    params = jax.tree.unflatten(
        jax.tree.structure(params),
        [
            leaf + 0.3 * jax.random.normal(key, leaf.shape)
            for key, leaf in zip(noise, jax.tree.leaves(params), strict=True)
        ],
    )
    features = jax.random.bernoulli(jax.random.PRNGKey(2), 0.5, (8, 3, 5, 4))
    active = jnp.array([[True, True, False], [True, True, True]] * 4)
    turn = Turn(jnp.zeros(8, jnp.int32), active)
    root = model.evaluate_root(params, features, None, turn)
    config = SearchConfig(num_simulations=30)
    _, tree = jax.jit(lambda: plan(config, model, params, jax.random.PRNGKey(0), root, None, 0))()
    players, values = np.asarray(tree.player), np.asarray(tree.value_vectors)
    assert 2 not in players[::2]
    assert set(players[1::2].ravel()) == {0, 1, 2}
    assert not values[::2, :, 2].any() and not np.asarray(tree.reward_vectors)[::2, :, 2].any()
    assert values[1::2, :, 2].any() and values[::2, :, :2].any()


def test_a_value_prefix_is_refused():
    config = apply_overrides(configs.muzero_nim.get_config(), {"agent.value_prefix.lstm_size": "8"})
    with pytest.raises(UserError, match="with a value prefix .* and this one has 3 players"):
        local.check(config.make_experiment())


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_it_learns_to_play_like_the_solution(tmp_path):
    run, config = run_of(tmp_path, {})
    builder = config.agent.make_builder()
    environment = config.make_experiment().environment_factory(0, 64, False)
    networks = builder.make_networks(environment.spec)
    policy = builder.make_policy(networks, environment.spec, evaluation=True)
    act, best_actions = jax.jit(policy.apply), solve_nim().best_actions
    shares = []
    for network in (networks.init(jax.random.PRNGKey(0)), run.learner.save().params):
        kept, timestep, random = [], environment.reset(), np.random.default_rng(0)
        for step in range(40):
            observation, going = timestep.observation, ~timestep.last()
            params, key = PolicyParams(network, np.int32(0)), jax.random.PRNGKey(step)
            action, _, _ = act(params, key, observation, policy.initial_state(64))
            heaps = observation.features[..., 0].sum(-1)
            best = best_actions[tuple(heaps.T)]
            kept.append(best[np.arange(64), np.asarray(action)][going])
            legal = observation.legal_actions
            drawn = [int(random.choice(np.flatnonzero(row))) for row in legal]
            timestep = environment.step(np.array(drawn))
        shares.append(np.concatenate(kept).mean())
    print(f"value-keeping moves: {shares[0]:.4f} untrained, {shares[1]:.4f} trained")
    assert shares[0] < 0.8
    assert shares[1] > 0.85
