"""Reanalysis within the update: states that are searched, and targets of the true model."""

import dataclasses
import types

import jax
import numpy as np
import pytest

from mukoe.agents.alphazero.config import AlphaZeroConfig, AlphaZeroLossConfig
from mukoe.agents.muzero.config import MuZeroConfig
from mukoe.agents.planning.config import PlanningReplayConfig, UnrollLossConfig
from mukoe.agents.planning.reanalyse import make_reanalyse, renew, with_reanalysis
from mukoe.agents.planning.targets import sample_targets
from mukoe.agents.stochastic_muzero.config import StochasticMuZeroConfig
from mukoe.environments.pgx.rules import load_rules
from mukoe.learning.reanalysis import ReanalyseConfig
from mukoe.networks.action_space import DiscreteSpace
from mukoe.networks.history import HistoryConfig
from mukoe.replay.declaration import row_spec
from mukoe.types import LossExtra, PolicyParams, Sample
from tests.agents.planning.test_targets import SPEC, items_by_start, policy
from tests.agents.planning.true_mdp import true_model
from tests.layouts.common.test_reanalysis import collect, random_params
from tests.layouts.common.test_reanalysis import config as search_config

KEY = jax.random.PRNGKey(0)
PARAMS = PolicyParams((), np.int32(0))


def settings(unroll_steps=1, td_steps=4, bootstrap="search", fraction=1.0, frames=1):
    return MuZeroConfig(
        discount=0.5,
        history=HistoryConfig(frames),
        loss=UnrollLossConfig(unroll_steps=unroll_steps, td_steps=td_steps, bootstrap=bootstrap),
        replay=PlanningReplayConfig(samples_per_insert=2.0),
        reanalyse=ReanalyseConfig(mode="learner", fraction=fraction),
    )


def numbered(searched):
    """Statistics that show which observation they are of: value 1000 + `t + 1`, policy `t + 1`."""

    def reanalyse(params, key, windows):
        newest = windows.observation[:, -1, 0]
        searched.append(newest.size)
        return {"search_value": 1000 + newest, "search_policy": newest[:, None] + np.zeros(5)}

    return reanalyse


def renew_all(config, sample, searched=None):
    reanalyse = numbered([] if searched is None else searched)
    return jax.jit(
        lambda sample: renew(reanalyse, config, config.reanalyse.fraction, PARAMS, sample, KEY)
    )(sample)


def targets_of(config, sample):
    networks = types.SimpleNamespace(action_space=DiscreteSpace(5))
    return jax.jit(lambda sample: sample_targets(networks, config, (), sample, KEY))(sample)


def sample_of_four_steps(truncated, frames=1):
    """Items of an episode of 4 actions, each of 6 rows; see `test_targets`."""
    return Sample((), np.ones(4, np.float32), items_by_start(truncated, frames - 1))


@pytest.mark.parametrize("truncated", [False, True])
@pytest.mark.parametrize("frames", [1, 3])
def test_the_states_that_the_targets_read_are_searched(truncated, frames):
    """K = 1 and n = 4: states 0, 1, and min(4, end), min(5, end); the end of item `i` is 4 - i."""
    searched = []
    sample = sample_of_four_steps(truncated, frames)
    new, metrics = renew_all(settings(frames=frames), sample, searched)
    assert searched == [4 * 4]
    # Two samples per step, four searches each.
    assert metrics["reanalysed_per_step"] == 8
    values = np.asarray(new.rows.extras["search_value"])[:, frames - 1 :]
    before = sample.rows.extras["search_value"][:, frames - 1 :]
    for item, read in enumerate([[0, 1, 4], [0, 1, 3], [0, 1, 2], [0, 1]]):
        # State `s` of item `i` is observation `i + s`, which shows its number plus 1.
        expected = before[item].copy()
        expected[read] = [1000 + item + state + 1 for state in read]
        np.testing.assert_array_equal(values[item], expected)
    policies = np.asarray(new.rows.extras["search_policy"])[:, frames - 1 :]
    np.testing.assert_array_equal(policies[0, 1], [2] * 5)
    np.testing.assert_array_equal(policies[0, 2], policy(2))
    for name in ("observation", "action", "reward", "discount", "mask"):
        np.testing.assert_array_equal(getattr(new.rows, name), getattr(sample.rows, name))


def test_the_targets_use_the_new_statistics():
    sample = sample_of_four_steps(truncated=True)
    config = settings()
    new, _ = renew_all(config, sample)
    targets = targets_of(config, new)
    # Rewards 1 2 3 4; the end shows 5. z_0 = 1 + 2/2 + 3/4 + 4/8 + 1005/16, z_1 = 2 + 3/2 + 1 +
    # 1005/8, and in item 3 z_0 = 4 + 1005/2.
    np.testing.assert_allclose(targets.values[0], [3.25 + 1005 / 16, 4.5 + 1005 / 8])
    np.testing.assert_allclose(targets.values[3, 0], 4 + 1005 / 2)


def test_the_sign_changes_where_the_turn_passes():
    sample = sample_of_four_steps(truncated=True)
    rows = sample.rows._replace(discount=-sample.rows.discount)
    config = settings()
    new, _ = renew_all(config, sample._replace(rows=rows))
    targets = targets_of(config, new)
    # z_0 = 1 - 2/2 + 3/4 - 4/8 + 1005/16, and in item 3 z_0 = 4 - 1005/2.
    np.testing.assert_allclose(targets.values[0, 0], 0.25 + 1005 / 16)
    np.testing.assert_allclose(targets.values[3, 0], 4 - 1005 / 2)


@pytest.mark.parametrize(
    ("changes", "states"),
    [
        ({"unroll_steps": 3, "td_steps": 2}, 6),  # As many as there are rows.
        ({"unroll_steps": 1, "td_steps": 4, "bootstrap": "target"}, 2),
    ],
)
def test_no_state_is_searched_for_nothing(changes, states):
    searched = []
    renew_all(settings(**changes), sample_of_four_steps(False), searched)
    assert searched == [4 * states]


@pytest.mark.parametrize(("fraction", "count"), [(0.0, 0), (0.5, 2), (1.0, 4)])
def test_a_fraction_of_the_batch_is_reanalysed(fraction, count):
    sample = sample_of_four_steps(truncated=True)
    new, metrics = renew_all(settings(fraction=fraction), sample)
    changed = np.asarray(new.rows.extras["search_value"])[:, 0] > 1000
    np.testing.assert_array_equal(changed, np.arange(4) < count)
    assert metrics.get("reanalysed_per_step", 0) == 2 * 4 * fraction


@pytest.mark.parametrize(("fraction", "demonstrated", "share"), [(0.5, 0.0, 0.5), (0.25, 0.5, 0.5)])
def test_searches_of_reanalysers_are_a_fraction_of_the_sampled_sequences(
    fraction, demonstrated, share
):
    """A reanalyser searches whole samples, of which a batch has a fraction."""
    plain = settings(fraction=fraction)
    replay = dataclasses.replace(plain.replay, demonstration_fraction=demonstrated, batch_size=32)
    config = dataclasses.replace(plain, replay=replay)
    sample = sample_of_four_steps(truncated=True)
    _, metrics = jax.jit(lambda sample: renew(numbered([]), config, 1.0, PARAMS, sample, KEY))(
        sample
    )
    assert metrics["reanalysed_states"] == 4 * 4
    assert metrics["reanalysed_per_step"] == 2 * 4 * share


def test_the_loss_gets_the_statistics_of_the_target_parameters():
    def loss(params, target_params, sample, key):
        return sample.rows.extras["search_value"][0, 0], LossExtra({"loss": params}, None)

    def reanalyse(params, key, windows):
        return {"search_value": params.network + windows.observation[:, -1, 0]}

    renewed = with_reanalysis(loss, reanalyse, settings())
    value, extra = renewed(3.0, 70.0, sample_of_four_steps(True), KEY)
    assert value == 71 and extra.metrics["loss"] == 3.0
    per_step = {"reanalysed_per_step", "reanalysed_states"}
    assert set(extra.metrics) == {"loss", "reanalyse_value_change", *per_step}
    gradient = jax.grad(lambda target: renewed(3.0, target, sample_of_four_steps(True), KEY)[0])
    assert gradient(70.0) == 0


def test_with_the_parameters_that_acted_the_targets_are_the_stored_ones():
    params = random_params()
    config = search_config(frames=3, num_simulations=6)
    learner = ReanalyseConfig(mode="learner", fraction=1.0)
    config = dataclasses.replace(config, reanalyse=learner)
    sample = collect(config, params).sample()
    reanalyse = make_reanalyse(
        types.SimpleNamespace(action_space=DiscreteSpace(2)), true_model(), config
    )

    @jax.jit
    def both(params, sample):
        policy_params = PolicyParams(params, np.int32(0))
        new, _ = renew(reanalyse, config, 1.0, policy_params, sample, KEY)
        networks = types.SimpleNamespace(action_space=DiscreteSpace(2))
        return tuple(sample_targets(networks, config, (), one, KEY) for one in (new, sample))

    sample = sample._replace(keys=(), learner_steps=np.int32(3))
    new, stored = both(params, sample)
    for name in ("values", "policies"):
        known = np.asarray(stored.masks.acted if name == "policies" else stored.masks.known) > 0
        np.testing.assert_allclose(
            getattr(new, name)[known], getattr(stored, name)[known], atol=1e-5
        )
    other, _ = both(random_params(1), sample)
    assert np.abs(other.values - stored.values).mean() > 0.01


@pytest.mark.parametrize(
    "config",
    [
        MuZeroConfig(),
        StochasticMuZeroConfig(),
        AlphaZeroConfig("tic_tac_toe"),
        AlphaZeroConfig("2048", loss=AlphaZeroLossConfig(td_steps=3)),
    ],
    ids=lambda config: f"{type(config).__name__} {getattr(config, 'game', '')}",
)
def test_every_planning_agent_reanalyses_in_its_loss(config):
    reanalyse = ReanalyseConfig(mode="learner", fraction=0.5)
    search = dataclasses.replace(config.search, num_simulations=2)
    builder = dataclasses.replace(config, reanalyse=reanalyse, search=search).make_builder()
    spec = rules_spec(config.game) if isinstance(config, AlphaZeroConfig) else SPEC
    declaration, networks = builder.replay, builder.make_networks(spec)
    assert declaration.observed_rows is None
    acting = builder.make_policy(networks, spec)
    check_stored_extras(acting, networks, spec)
    rows = row_spec(spec, acting.extras_spec)
    batch = jax.tree.map(
        lambda one: jax.ShapeDtypeStruct((4, declaration.item_length, *one.shape), one.dtype), rows
    )
    sample = Sample((), jax.ShapeDtypeStruct((4,), np.float32), batch)
    params = jax.eval_shape(networks.init, KEY)
    loss = builder.make_loss(networks, spec)
    sample = sample._replace(learner_steps=jax.ShapeDtypeStruct((), np.int32))
    _, extra = jax.eval_shape(loss, params, params, sample, KEY)
    assert extra.metrics["reanalyse_policy_kl"].shape == extra.metrics["sample_age"].shape == ()


def check_stored_extras(policy, networks, spec):
    """Asserts that what the policy returns has the specs that replay is given."""
    params = PolicyParams(jax.eval_shape(networks.init, KEY), np.int32(0))
    observation = jax.tree.map(lambda one: np.zeros((2, *one.shape), one.dtype), spec.observations)
    _, extras, _ = jax.eval_shape(policy.apply, params, KEY, observation, policy.initial_state(2))
    for name, expected in policy.extras_spec.items():
        assert (extras[name].shape, extras[name].dtype) == ((2, *expected.shape), expected.dtype)


def rules_spec(game):
    return load_rules(game, max_steps=None).with_positions().spec


def test_searches_per_step_follow_from_the_updates_of_a_step():
    def reanalyse(params, key, windows):
        return {"search_value": windows.observation[:, -1, 0]}

    sample = sample_of_four_steps(True)
    batch = jax.tree.map(lambda array: np.repeat(array, 8, axis=0), sample.rows)
    sample = Sample((), np.ones(8, np.float32), batch)
    config = settings(fraction=0.5)
    for fraction, live in ((0.0, 8), (0.25, 6)):
        replay = dataclasses.replace(
            config.replay, samples_per_insert=3.0, demonstration_fraction=fraction
        )
        changed = dataclasses.replace(config, replay=replay)
        _, metrics = renew(reanalyse, changed, 0.5, PolicyParams((), 0), sample, KEY)
        searches = float(metrics["reanalysed_states"])
        assert searches % 4 == 0 and searches >= 8
        np.testing.assert_allclose(metrics["reanalysed_per_step"], 3.0 / live * searches)
