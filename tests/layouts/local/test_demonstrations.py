"""Runs of one process with demonstrations beside the actor."""

import dataclasses
import re
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

from mukoe.agents.planning.cloning import CloningConfig
from mukoe.errors import UserError
from mukoe.layouts import local, sebulba
from mukoe.layouts.common.demonstrations import check_demonstrations, select_demonstrations
from mukoe.layouts.common.offline_data import OfflineData
from mukoe.learning.reanalysis import ReanalyseConfig
from mukoe.replay.episodes import stored_episodes
from mukoe.types import Row
from tests.layouts.finished import rows_of
from tests.layouts.tiny import tiny

REPLAY = ReanalyseConfig(mode="replay", rows_per_update=16)


def demonstrating(fraction=0.25, cloning="none", bootstrap="search", reanalyse=None, **replay):
    """A config of a run with demonstrations."""
    config = tiny(evaluation_period=0, log_period=30)
    agent = dataclasses.replace(
        config.agent,
        replay=dataclasses.replace(config.agent.replay, demonstration_fraction=fraction, **replay),
        loss=dataclasses.replace(config.agent.loss, bootstrap=bootstrap),
        cloning=CloningConfig(cloning),
        reanalyse=reanalyse or ReanalyseConfig(),
    )
    return dataclasses.replace(config, agent=agent)


def recorded(spec, lengths=(5, 20, 9)):
    """Episodes of a behaviour without a search."""
    rng = np.random.default_rng(0)

    def episode(length):
        acted = np.float32(np.arange(length + 1) < length)
        return Row(
            observation=rng.normal(size=(length + 1, 4)).astype(np.float32),
            action=(rng.integers(0, 2, length + 1) * acted).astype(np.int32),
            reward=acted,
            discount=acted * (np.arange(length + 1) < length - 1).astype(np.float32),
            mask=acted,
            extras={},
        )

    return OfflineData(Path("runs/a"), {}, spec, {}, [episode(length) for length in lengths])


def make_run(config, workdir, resume=False):
    experiment = config.make_experiment()
    spec = local.check(experiment, demonstrations=True)
    data = select_demonstrations(recorded(spec), experiment, spec)
    workdir.mkdir(exist_ok=True)
    return local.make_run(experiment, spec, workdir, resume, demonstrations=data)


def advance(run, steps):
    while run.counter.get_counts().get("actor_steps", 0) < steps:
        run.step()


def state_of(run):
    return (
        run.replay.state_dict(),
        run.learner.save(),
        run.reanalyser.state(),
        run.demonstrations.state(),
        run.acting.state(),
    )


@pytest.mark.slow
def test_a_resumed_run_is_bit_for_bit_an_uninterrupted_one_and_keeps_its_demonstrations(tmp_path):
    config = demonstrating(cloning="beside", reanalyse=REPLAY)
    run = make_run(config, tmp_path / "run")
    # Nothing is learned from rows before they are searched: 37 rows, at least 3 a step.
    while not run.demonstrations.is_searched:
        run.step()
        assert not run.counter.get_counts()
    assert run.demonstrations.rewritten == 37
    advance(run, 80)
    run.checkpoints.save()
    run.checkpointer.wait()
    shutil.copytree(tmp_path / "run", tmp_path / "resumed")
    resumed = make_run(config, tmp_path / "resumed", resume=True)
    assert resumed.demonstrations.is_searched
    for each in (run, resumed):
        advance(each, 120)
    jax.tree.map(np.testing.assert_array_equal, state_of(run), state_of(resumed))
    table = run.demonstrations.replay
    assert table.sampled == 2 * run.learner.steps > 20
    assert run.replay.sampled == 6 * run.learner.steps
    # Many rewrites changed the statistics and nothing else.
    found = stored_episodes(table.state_dict(), table.row_spec)
    spec = local.check(config.make_experiment(), demonstrations=True)
    for one, original in zip(found, recorded(spec).episodes, strict=True):
        for name in ("observation", "action", "reward", "discount", "mask"):
            np.testing.assert_array_equal(getattr(one, name), getattr(original, name))
        np.testing.assert_allclose(one.extras["search_policy"].sum(-1), 1.0, atol=1e-5)
    for each in (run, resumed):
        each.write_logs()
        each.close()
    last = rows_of(tmp_path / "run", "learner")[-1]
    assert last == rows_of(tmp_path / "resumed", "learner")[-1]
    assert float(last["cloning_loss"]) > 0
    searches = run.demonstrations.rewritten + run.reanalyser.rewritten
    assert float(last["reanalysed_per_step"]) == pytest.approx(
        searches / run.replay.inserted, rel=0.02
    )


@pytest.fixture(scope="module")
def spec():
    return local.check(demonstrating().make_experiment(), demonstrations=True)


def select(config, spec):
    experiment = config.make_experiment()
    return select_demonstrations(recorded(spec), experiment, spec)


@pytest.mark.parametrize(
    "settings, missing",
    [
        ({}, "search_policy and no search_value"),
        ({"bootstrap": "target"}, "search_policy"),
        ({"cloning": "alone"}, "search_value"),
        ({"cloning": "beside", "bootstrap": "target"}, "search_policy"),
        ({"cloning": "alone", "bootstrap": "target"}, None),
        ({"reanalyse": REPLAY}, None),
        ({"reanalyse": ReanalyseConfig("learner", fraction=0.25)}, None),
        ({"reanalyse": ReanalyseConfig("learner", fraction=0.2)}, "search_policy and no search"),
        ({"reanalyse": ReanalyseConfig("replay", search="values")}, "search_policy"),
        ({"cloning": "alone", "reanalyse": ReanalyseConfig("replay", search="values")}, None),
    ],
)
def test_statistics_that_the_loss_reads_must_be_stored_or_computed(spec, settings, missing):
    if missing is None:
        assert len(select(demonstrating(**settings), spec).episodes) == 3
        return
    with pytest.raises(UserError, match=f"runs/a have no {missing}.*fraction=0.25 or more"):
        select(demonstrating(**settings), spec)


def test_the_table_has_limits_of_its_own(spec):
    settings = {"cloning": "alone", "bootstrap": "target", "demonstration_capacity": 30}
    kept = select(demonstrating(**settings, demonstration_remover="worst"), spec)
    assert [len(one.mask) - 1 for one in kept.episodes] == [20, 9]
    shared = dataclasses.replace(recorded(spec), shares=[(1, 0.4), (1, 0.2), (1, 0.4)])
    kept = select_demonstrations(shared, demonstrating(**settings).make_experiment(), spec)
    np.testing.assert_allclose(kept.shares, [(1, 1 / 3), (1, 2 / 3)])
    kept = select(demonstrating(**{**settings, "demonstration_capacity": 9}), spec)
    assert [len(one.mask) - 1 for one in kept.episodes] == [9]


@pytest.mark.parametrize(
    "settings, given, message",
    [
        ({"fraction": 0.0}, True, "set --config.agent.replay.demonstration_fraction"),
        ({}, False, "demonstration_fraction is above 0: name a run as"),
        ({"fraction": 0.0, "cloning": "alone"}, False, "cloning.mode is for stored data"),
    ],
)
def test_settings_without_demonstrations_are_refused(settings, given, message):
    experiment = demonstrating(**settings).make_experiment()
    with pytest.raises(UserError, match=re.escape(message)):
        check_demonstrations(experiment, given)
    if not given:
        for layout in (local, sebulba):
            with pytest.raises(UserError, match=re.escape(message)):
                layout.check(experiment)


def test_a_run_without_actors_has_no_mixture():
    config = demonstrating()
    run = dataclasses.replace(config.run, max_learner_steps=5)
    with pytest.raises(UserError, match="demonstration_fraction is for a run with actors"):
        local.check_offline(dataclasses.replace(config, run=run).make_experiment())
