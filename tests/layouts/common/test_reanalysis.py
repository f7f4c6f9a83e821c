"""Reanalysis of the in-process replay, with a model that is the environment itself."""

import contextlib
import dataclasses
import types

import jax
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from mukoe.acting.actor import Actor
from mukoe.acting.loop import EnvironmentLoop
from mukoe.acting.runners import LocalRunner
from mukoe.agents.muzero.config import MuZeroConfig
from mukoe.agents.planning.config import PlanningReplayConfig, UnrollLossConfig
from mukoe.agents.planning.policy import make_search_policy
from mukoe.agents.planning.reanalyse import make_reanalyse
from mukoe.errors import UserError
from mukoe.layouts.common.reanalysis import ReplayReanalyser, check_reanalysis_in_process
from mukoe.learning.reanalysis import ReanalyseConfig, change_metrics
from mukoe.networks.action_space import DiscreteSpace
from mukoe.networks.history import HistoryConfig
from mukoe.replay.declaration import row_spec
from mukoe.replay.in_process import InProcessReplay
from mukoe.search.config import SearchConfig
from mukoe.types import PolicyParams, Row
from tests.agents.planning.true_mdp import CELLS, corridors, optimal, true_model
from tests.layouts.tiny import tiny

NETWORKS = types.SimpleNamespace(action_space=DiscreteSpace(2))


class Parameters:
    """A learner that only holds parameters."""

    batch_sharding = NamedSharding(Mesh(np.array(jax.devices()[:1]), ("data",)), PartitionSpec())

    def __init__(self, params):
        self.params = PolicyParams(jax.tree.map(np.float32, params), np.int32(3))

    def device_variables(self):
        return jax.device_put(self.params)

    def update(self, wait=False):
        pass

    def measure(self, part):
        assert part == "reanalysis"
        return contextlib.nullcontext()


def config(search="full", algorithm="muzero", frames=1, **settings):
    return MuZeroConfig(
        history=HistoryConfig(frames),
        search=SearchConfig(
            algorithm=algorithm, dirichlet_fraction=0.0, gumbel_scale=0.0, **settings
        ),
        loss=UnrollLossConfig(unroll_steps=2, td_steps=2),
        replay=PlanningReplayConfig(min_size=20),
        reanalyse=ReanalyseConfig(mode="replay", search=search),
    )


def random_params(seed=0):
    rng = np.random.default_rng(seed)
    return {
        "values": rng.uniform(0, 1, CELLS),
        "logits": rng.normal(size=(CELLS, 2)),
        "past": np.float32(1),
    }


def collect(config, params, masked=False):
    """A replay of steps of the search policy in two environments."""
    policy = make_policy(config, masked)
    rows = row_spec(corridors(0, 2, masked).spec, policy.extras_spec)
    replay = InProcessReplay(config.make_builder().replay, rows, 0, 2)
    act(replay, policy, params, masked)
    return replay


def make_policy(config, masked=False):
    spec = corridors(0, 2, masked).spec
    return make_search_policy(
        true_model(), DiscreteSpace(2), spec, config, False, lambda params: params
    )


def act(replay, policy, params, masked=False, steps=60):
    """Adds steps of two environments."""
    runner = LocalRunner(policy, Parameters(params), jax.random.PRNGKey(0), 2)
    actor = Actor(runner, [replay.make_adder() for _ in range(2)], tuple(policy.extras_spec))
    loop = EnvironmentLoop(corridors(0, 2, masked), actor)
    for _ in range(steps):
        loop.step()


def make_reanalyser(config, replay, learner, rows=16):
    reanalyse = make_reanalyse(NETWORKS, true_model(), config)
    key = jax.random.PRNGKey(1)
    return ReplayReanalyser(reanalyse, replay, learner, key, rows)


def rewrite_all(reanalyser, replay):
    """A whole pass; returns the metrics of its steps."""
    metrics = [reanalyser.step()]
    while reanalyser.state()["position"][0] < replay.inserted:
        metrics.append(reanalyser.step())
    return metrics


def stored(replay):
    """Every row of the items, and final observations, oldest first."""
    return replay.stretch(0, 2 * replay.size).rows


@pytest.mark.parametrize(
    ("algorithm", "frames", "masked"), [("muzero", 3, False), ("gumbel", 1, True)]
)
def test_with_the_parameters_that_acted_the_statistics_are_the_stored_ones(
    algorithm, frames, masked
):
    params = random_params()
    settings = config(algorithm=algorithm, frames=frames, num_simulations=6)
    replay = collect(settings, params, masked=masked)
    before = stored(replay)
    # Truncations, terminations, and first steps of episodes are among the rows.
    assert len(set(before.discount[before.mask[:, -1] > 0][:, -1].tolist())) == 2
    np.testing.assert_array_equal(before.extras["learner_steps"][before.mask > 0], 3)
    metrics = rewrite_all(make_reanalyser(settings, replay, Parameters(params)), replay)
    for name, values in stored(replay).extras.items():
        np.testing.assert_allclose(values, before.extras[name], atol=1e-5, err_msg=name)
    for row in metrics:
        np.testing.assert_allclose(row["reanalyse_value_change"], 0, atol=1e-5)
        np.testing.assert_allclose(row["reanalyse_policy_kl"], 0, atol=1e-5)


def test_values_only_rewrites_the_values_of_the_network_and_keeps_policies():
    params, newer = random_params(), random_params(1)
    settings = config(search="values", frames=3, num_simulations=6)
    replay = collect(settings, params)
    before = stored(replay)
    metrics = rewrite_all(make_reanalyser(settings, replay, Parameters(newer)), replay)
    after = stored(replay)
    seen = np.cumprod(before.mask[:, ::-1][:, 1:], axis=1)[:, ::-1]
    frames = before.observation[..., 0]
    past = (frames[:, :2] * seen) @ [0.1, 0.2]
    expected = newer["values"][frames[:, 2].astype(int)] + past
    valid = np.any(before.observation != 0, axis=(1, 2)) | (before.mask[:, -1] > 0)
    count = int(valid.sum())
    np.testing.assert_allclose(
        after.extras["search_value"][:count, -1], expected[:count], rtol=1e-5
    )
    np.testing.assert_array_equal(after.extras["search_policy"], before.extras["search_policy"])
    assert all("reanalyse_policy_kl" not in row for row in metrics)
    assert metrics[-1]["reanalysed_per_step"] == pytest.approx(count / replay.inserted)


def test_with_the_true_model_the_targets_of_a_random_policy_become_optimal():
    uniform = {"values": np.zeros(CELLS), "logits": np.zeros((CELLS, 2)), "past": np.float32(0)}
    random_policy = config(num_simulations=0)
    replay = collect(random_policy, uniform)
    settings = config(algorithm="gumbel", num_simulations=16)
    params = jax.tree.map(np.copy, uniform)
    learner = Parameters(params)
    reanalyser = make_reanalyser(settings, replay, learner, rows=200)
    for _ in range(5):  # Passes of an agent whose network learns the targets exactly.
        reanalyser.step()
        rows = stored(replay)
        cells, acted = rows.observation[:, -1, 0].astype(int), rows.mask[:, -1] > 0
        for cell in range(1, CELLS - 1):
            there = acted & (cells == cell)
            params["values"][cell] = rows.extras["search_value"][there, -1].mean()
            policy = rows.extras["search_policy"][there, -1].mean(axis=0)
            params["logits"][cell] = np.log(policy + 1e-3)
        learner.params = Parameters(params).params
    expected, q = optimal()
    assert set(cells[acted]) == {1, 2, 3}
    assert set(rows.action[acted, -1]) == {0, 1}, "the data are not optimal"
    np.testing.assert_allclose(
        rows.extras["search_value"][acted, -1], expected[cells[acted]], atol=0.01
    )
    best = np.eye(2)[q.argmax(axis=1)]
    np.testing.assert_allclose(
        rows.extras["search_policy"][acted, -1], best[cells[acted]], atol=0.02
    )


def test_values_that_no_target_reads_are_not_renewed():
    loss = UnrollLossConfig(bootstrap="target")
    with pytest.raises(UserError, match=r"search=values .* set loss.bootstrap=search"):
        MuZeroConfig(loss=loss, reanalyse=ReanalyseConfig(mode="replay", search="values"))
    MuZeroConfig(loss=loss, reanalyse=ReanalyseConfig(mode="replay", search="full"))


def test_an_update_rewrites_at_most_the_whole_replay():
    config = tiny()
    reanalyse = ReanalyseConfig(mode="replay", rows_per_update=100_001)
    agent = dataclasses.replace(config.agent, reanalyse=reanalyse)
    experiment = dataclasses.replace(config, agent=agent).make_experiment()
    with pytest.raises(UserError, match="rows_per_update 100001 must not be above .* 100000"):
        check_reanalysis_in_process(experiment)


def test_changes_are_means_over_actions_in_nats():
    windows = Row(
        observation=np.zeros((3, 1)),
        action=np.zeros((3, 2)),
        reward=np.zeros((3, 2)),
        discount=np.zeros((3, 2)),
        mask=np.float32([[1, 1], [0, 1], [1, 0]]),
        extras={
            "search_policy": np.float32([[[9, 9], [0.5, 0.5]], [[9, 9], [1, 0]], [[9, 9], [0, 0]]]),
            "search_value": np.float32([[9, 1], [9, 2], [9, 3]]),
        },
    )
    new = {
        "search_policy": np.float32([[1, 0], [0.5, 0.5], [1, 0]]),
        "search_value": np.float32([1.5, 1, 100]),
    }
    metrics = change_metrics(windows, new)
    # The last row is a final observation. 0.5 log(0.5 / 1) + 0.5 log(0.5 / 0.001) in the second.
    expected = (np.log(2) + 0.5 * np.log(0.5) + 0.5 * np.log(500)) / 2
    np.testing.assert_allclose(metrics["reanalyse_policy_kl"], expected, rtol=1e-5)
    np.testing.assert_allclose(metrics["reanalyse_value_change"], 0.75, rtol=1e-6)


def test_the_change_of_values_of_three_players_is_their_mean():
    extras = {"search_value": np.float32([[[9, 9, 9], [1, 2, 3]], [[9, 9, 9], [0, 0, 0]]])}
    mask = np.float32([[1, 1], [1, 0]])
    windows = Row(np.zeros((2, 2)), mask, mask, mask, mask, extras)
    metrics = change_metrics(windows, {"search_value": np.float32([[1, 4, 2], [50, 50, 50]])})
    np.testing.assert_allclose(metrics["reanalyse_value_change"], (0 + 2 + 1) / 3, rtol=1e-6)


def test_rows_of_one_learner_step_are_searched_under_different_keys():
    """Before the first update a whole pass is searched with the same parameters."""
    replay, learner = collect(config(), random_params()), Parameters(random_params())

    def draw(params, key, windows):
        return {"search_value": jax.random.normal(key, windows.mask.shape[:1])}

    reanalyser = ReplayReanalyser(draw, replay, learner, jax.random.PRNGKey(1), rows_per_update=8)
    changes = [float(reanalyser.step()["reanalyse_value_change"]) for _ in range(3)]
    found = []
    for first in (0, 8, 16):
        stretch = replay.stretch(first, 8)
        found.append(stretch.rows.extras["search_value"][:, -1])
    assert not np.array_equal(found[0], found[1]) and not np.array_equal(found[1], found[2])
    assert np.isfinite(changes).all()
