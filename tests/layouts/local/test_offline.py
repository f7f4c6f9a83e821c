"""Runs on the stored replay of another run."""

import dataclasses
import types
from pathlib import Path

import gymnasium
import jax
import numpy as np
import pytest
from dm_env import specs

from mukoe import system
from mukoe.agents.extensions import Reanalyses
from mukoe.configuration import prepare_workdir
from mukoe.configuration.plain import to_dict
from mukoe.configuration.workdir import flatten
from mukoe.environments.gymnasium.config import GymnasiumConfig
from mukoe.errors import UserError
from mukoe.layouts import local
from mukoe.layouts.common.counting import Counter
from mukoe.layouts.common.offline_data import (
    OfflineData,
    check_data,
    check_foreign,
    make_offline_replay,
    read_sources,
    read_workdir,
    renews,
    spec_difference,
    warn_of_other_environment,
)
from mukoe.layouts.common.offline_sources import parse_sources
from mukoe.layouts.local.dataset_conversion import to_dataset, to_workdir
from mukoe.layouts.local.offline import OfflineRun
from mukoe.learning.reanalysis import ReanalyseConfig
from mukoe.replay.datasets.reader import RawDataset
from mukoe.replay.datasets.writer import DatasetWriter
from mukoe.replay.episodes import stored_episodes
from mukoe.types import EnvironmentSpec
from tests.layouts.finished import assert_same_state, rows_of
from tests.layouts.tiny import tiny, train

NONE = ReanalyseConfig()
REPLAY = ReanalyseConfig(mode="replay", rows_per_update=16)


def offline(reanalyse=NONE, environment=None, **run):
    """A config of a run on stored data."""
    config = tiny(
        environment,
        **{"max_learner_steps": 6, "evaluation_period": 4, "log_period": 2, **run},
    )
    return dataclasses.replace(config, agent=dataclasses.replace(config.agent, reanalyse=reanalyse))


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """The workdir of a run that has acted and not learned."""
    workdir = tmp_path_factory.mktemp("source")
    config = tiny(max_actor_steps=120, evaluation_period=0)
    replay = dataclasses.replace(config.agent.replay, min_size=1000)
    config = dataclasses.replace(config, agent=dataclasses.replace(config.agent, replay=replay))
    prepare_workdir(workdir, config, None, False)
    assert train(config, workdir) == 0
    return workdir


@pytest.fixture(scope="module")
def data(source):
    return read_workdir(source)


def learn(config, data, workdir, resume=False):
    """Returns the exit status."""
    experiment = config.make_experiment()
    spec = local.check_offline(experiment)
    local.check_offline_data(data, experiment, spec)
    workdir.mkdir(exist_ok=True)
    return local.train_offline(experiment, spec, data, workdir, resume)


def parts(config):
    experiment = config.make_experiment()
    spec = local.check_offline(experiment)
    builder = experiment.builder
    return experiment, spec, builder.make_policy(builder.make_networks(spec), spec)


def without_statistics(data):
    """Data of a behaviour that did not search."""
    episodes = [episode._replace(extras={}) for episode in data.episodes]
    return dataclasses.replace(data, extras_spec={}, episodes=episodes)


@pytest.mark.slow
def test_a_resumed_run_is_bit_for_bit_an_uninterrupted_one(data, tmp_path, capsys):
    learned = without_statistics(data)
    assert learn(offline(REPLAY, max_learner_steps=8), learned, tmp_path / "whole") == 0
    assert "step limit is reached (run.max_learner_steps=8)" in capsys.readouterr().out
    assert learn(offline(REPLAY, max_learner_steps=6), learned, tmp_path / "parts") == 0
    resumed = offline(REPLAY, max_learner_steps=8)
    assert learn(resumed, learned, tmp_path / "parts", resume=True) == 0
    assert_same_state(tmp_path / "parts", tmp_path / "whole")
    evaluations = rows_of(tmp_path / "whole", "evaluator")
    assert [int(row["learner_steps"]) for row in evaluations] == [4, 8]
    steps = [int(row["learner_steps"]) for row in rows_of(tmp_path / "whole", "learner")]
    assert steps[:4] == [2, 4, 6, 8]
    assert rows_of(tmp_path / "parts", "evaluator") == evaluations
    assert not (tmp_path / "whole" / "logs" / "actor_0.csv").exists()


def test_the_replay_holds_every_row_as_it_was_stored(data):
    experiment, spec, policy = parts(offline(REPLAY))
    replay = make_offline_replay(experiment, spec, policy, data)
    found = list(stored_episodes(replay.state_dict(), replay.row_spec))
    assert replay.size == sum(len(episode.mask) - 1 for episode in data.episodes) > 50
    for copy, episode in zip(found, data.episodes, strict=True):
        for name in ("observation", "action", "reward", "discount", "mask"):
            np.testing.assert_array_equal(getattr(copy, name), getattr(episode, name))
        for name in ("search_policy", "search_value"):
            np.testing.assert_array_equal(copy.extras[name], episode.extras[name])
        assert (copy.extras["learner_steps"] == 0).all()


@pytest.mark.parametrize(
    "reanalyse, is_renewed",
    [
        (ReanalyseConfig(), False),
        (ReanalyseConfig(mode="replay"), True),
        (ReanalyseConfig(mode="replay", search="values"), False),
        (ReanalyseConfig(mode="learner", fraction=1.0), True),
        (ReanalyseConfig(mode="learner", fraction=0.8), False),
    ],
)
def test_rows_that_nothing_has_searched_need_reanalysis(data, reanalyse, is_renewed):
    experiment, spec, policy = parts(offline(reanalyse))
    assert isinstance(experiment.builder, Reanalyses)
    assert renews(experiment.builder, "search_policy") is is_renewed
    check_data(data, experiment, spec, policy)
    if is_renewed:
        check_data(without_statistics(data), experiment, spec, policy)
        return
    renews_values = reanalyse.mode != "none" and reanalyse.search == "values"
    missing = "search_policy" if renews_values else "search_policy and no search_value"
    with pytest.raises(UserError, match=f"have no {missing} of this agent"):
        check_data(without_statistics(data), experiment, spec, policy)


def test_extras_that_cannot_be_renewed_are_named(data):
    experiment, spec, policy = parts(offline(REPLAY))
    more = {**policy.extras_spec, "memory": specs.Array((3,), np.float32)}
    with pytest.raises(UserError, match=r"learns from memory float32\[3\] .* have none"):
        check_data(data, experiment, spec, dataclasses.replace(policy, extras_spec=more))


def test_data_that_do_not_fit_into_memory_are_refused_before_they_are_copied(data, monkeypatch):
    experiment, spec, policy = parts(offline(REPLAY))
    monkeypatch.setattr(system, "available_bytes", lambda: 1_000)
    with pytest.raises(UserError, match="rows of .* learn from less data"):
        check_data(data, experiment, spec, policy)


def test_another_environment_is_refused_with_its_first_difference(data):
    experiment, spec, policy = parts(offline(environment=GymnasiumConfig("Acrobot-v1")))
    with pytest.raises(UserError, match=r"observation is float32\[4\] there and float32\[6\] here"):
        check_data(data, experiment, spec, policy)


def environment_spec(shape=(4,), dtype=np.float32, actions=None, turns=0.0):
    return EnvironmentSpec(
        {"frame": specs.Array(shape, dtype)},
        actions or specs.DiscreteArray(3),
        specs.Array((), np.float32),
        specs.BoundedArray((), np.float32, turns, 1.0),
    )


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"shape": (5,)}, "observation['frame'] is float32[4] there and float32[5] here"),
        ({"dtype": np.uint8}, "observation['frame'] is float32[4] there and uint8[4] here"),
        ({"actions": specs.DiscreteArray(6)}, "action is one of 3 there and one of 6 here"),
        (
            {"actions": specs.BoundedArray((2,), np.float32, -1.0, 1.0)},
            "action is one of 3 there and float32[2] from -1 to 1 here",
        ),
        ({"turns": -1.0}, "smallest discount is 0 there and -1 here"),
    ],
)
def test_each_difference_of_the_spaces_is_named(changed, message):
    assert spec_difference(environment_spec(), environment_spec(**changed)) == message
    assert spec_difference(environment_spec(), environment_spec()) is None


def test_other_settings_of_the_environment_are_a_warning(caplog):
    config = offline()
    plain = dict(flatten(to_dict(config)["environment"]))
    data = OfflineData(Path("runs/a"), plain, environment_spec(), {}, [])
    warn_of_other_environment(data, config)
    assert not caplog.records
    name = next(name for name, value in plain.items() if value == "CartPole-v1")
    other = dataclasses.replace(data, environment={**plain, name: "CartPole-v0"})
    warn_of_other_environment(other, config)
    assert f"runs/a are of another environment: {name} is CartPole-v0 there" in caplog.text


def test_sources_without_data_are_refused_and_stay_unchanged(tmp_path):
    with pytest.raises(UserError, match="holds no experiment"):
        read_workdir(tmp_path)
    prepare_workdir(tmp_path, tiny(), None, False)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match="saved no replay"):
        read_workdir(tmp_path)
    assert sorted(tmp_path.rglob("*")) == before


def test_the_length_of_the_run_is_required():
    with pytest.raises(UserError, match="set --config.run.max_learner_steps"):
        local.check_offline(offline(max_learner_steps=None).make_experiment())


@pytest.fixture
def dataset(data, tmp_path, monkeypatch):
    """A data set of the episodes of the run, and one without their search statistics."""
    pytest.importorskip("minari")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "datasets"))
    for name, kept in (("run", data), ("plain", without_statistics(data))):
        with DatasetWriter(f"cartpole/{name}-v0", data.environment_spec, {}) as writer:
            for episode in kept.episodes:
                writer.write(episode)
    return "cartpole/run-v0"


def test_a_data_set_holds_the_rows_of_the_run(data, dataset, source):
    config = offline(REPLAY)
    (found,) = [
        read_sources(parse_sources(text), data.environment_spec, config)
        for text in (f"minari:{dataset}",)
    ]
    assert {n: s.shape for n, s in found.extras_spec.items()} == {
        n: tuple(s.shape) for n, s in data.extras_spec.items()
    }
    for one, other in zip(found.episodes, data.episodes, strict=True):
        jax.tree.map(np.testing.assert_array_equal, one, other._replace(extras=dict(other.extras)))
    experiment, spec, policy = parts(config)
    check_data(found, experiment, spec, policy)


def test_sources_are_united_with_their_shares(data, dataset, source):
    config = offline(REPLAY)
    text = f"{source}:1,minari:{dataset}:3"
    both = read_sources(parse_sources(text), data.environment_spec, config)
    count = len(data.episodes)
    assert both.shares == [(count, 0.25), (count, 0.75)] and len(both.episodes) == 2 * count
    experiment, spec, policy = parts(config)
    assert not both.missing_statistics(policy.extras_spec)
    replay = make_offline_replay(experiment, spec, policy, both)
    half = sum(len(episode.mask) - 1 for episode in data.episodes)
    keys = np.concatenate([replay.sample().keys for _ in range(2000)])
    assert np.mean(keys >= half) == pytest.approx(0.75, abs=0.02)


def test_statistics_are_kept_where_all_sources_have_them(data, dataset, source):
    config = offline(REPLAY)
    text = f"{source},minari:cartpole/plain-v0"
    both = read_sources(parse_sources(text), data.environment_spec, config)
    experiment, spec, policy = parts(config)
    assert both.missing_statistics(policy.extras_spec) == ["search_policy", "search_value"]
    assert both.shares == []
    check_data(both, experiment, spec, policy)
    experiment, spec, policy = parts(offline())
    with pytest.raises(UserError, match="plain-v0' have no search_policy and no search_value"):
        check_data(both, experiment, spec, policy)


def test_a_data_set_of_another_environment_is_refused(data, dataset):
    config = offline(environment=GymnasiumConfig("Acrobot-v1"))
    _, spec, _ = parts(config)
    with pytest.raises(
        UserError,
        match=r"the data of data set 'cartpole/run-v0' do not fit the environment: observation is "
        r"float32\[4\] there and float32\[6\] here",
    ):
        read_sources(parse_sources(f"minari:{dataset}"), spec, config)


def test_a_replay_and_the_workdir_of_its_data_set_are_equal(data, source, dataset, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in source.rglob("*")}
    episodes, steps = to_dataset(source, "cartpole/converted-v0")
    assert (episodes, steps) == (len(data.episodes), data.num_rows - len(data.episodes))
    assert {path: path.stat().st_mtime_ns for path in source.rglob("*")} == before
    assert to_workdir("cartpole/converted-v0", offline(), None, tmp_path / "copy") == episodes
    copy = read_workdir(tmp_path / "copy")
    for one, other in zip(copy.episodes, data.episodes, strict=True):
        jax.tree.map(np.testing.assert_array_equal, one, other)


def test_rows_without_statistics_become_no_replay(dataset, tmp_path):
    with pytest.raises(
        UserError, match="has no search_policy and no search_value, which .* --offline=minari:"
    ):
        to_workdir("cartpole/plain-v0", offline(), None, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_nothing_is_left_of_a_conversion_that_saves_no_replay(dataset, tmp_path):
    with pytest.raises(UserError, match="the configuration saves no replay"):
        config = offline(replay_checkpoint_seconds=0.0)
        to_workdir("cartpole/run-v0", config, None, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def foreign(space, **metadata):
    """A data set without the metadata of this package."""
    storage = types.SimpleNamespace(observation_space=space)
    return RawDataset("other/data-v0", metadata, storage)


def test_unscaled_observations_are_refused_where_the_environment_scales():
    small = gymnasium.spaces.Box(np.float32([-1.2, -0.07]), np.float32([0.6, 0.07]))
    scaled = GymnasiumConfig("MountainCar-v0", amplify_observations=True)
    with pytest.raises(UserError, match="set --config.environment.amplify_observations=false"):
        check_foreign(foreign(small), scaled)
    check_foreign(foreign(small), GymnasiumConfig("MountainCar-v0"))
    check_foreign(foreign(small, mukoe={"environment": {}, "smallest_discount": 0.0}), scaled)
    check_foreign(foreign(gymnasium.spaces.Box(-1, 1, (2,))), scaled)


@pytest.mark.parametrize(
    "env_spec, warns",
    [
        ('{"id": "CartPole-v0"}', True),
        ('{"id": "CartPole-v1"}', False),
        ("{", False),
        (None, False),
    ],
)
def test_data_of_another_registered_environment_are_a_warning(caplog, env_spec, warns):
    data = foreign(gymnasium.spaces.Box(-1, 1, (2,)), env_spec=env_spec)
    check_foreign(data, GymnasiumConfig("CartPole-v1"))
    expected = "data set 'other/data-v0' is of CartPole-v0, and this run of CartPole-v1"
    assert (expected in caplog.text) is warns and bool(caplog.records) is warns


def test_searches_per_stored_step_count_the_updates_so_far():
    counter = Counter()

    def update():
        counter.increment(learner_steps=1)
        return {"loss": 0.0, "reanalysed_states": 12.0, "reanalysed_per_step": 96.0}

    run = OfflineRun(
        experiment=offline(max_learner_steps=100, log_period=100).make_experiment(),
        counter=counter,
        learner=types.SimpleNamespace(step=update),
        reanalyser=None,
        evaluator=types.SimpleNamespace(is_interrupted=False, evaluate=lambda *_: False),
        logger=None,
        num_rows=44,
        num_steps=40,
        is_searched=True,
        should_stop=lambda: False,
    )
    run.checkpoints = types.SimpleNamespace(save_if_due=lambda *_: None)
    for steps in range(1, 6):
        run.step()
        assert run.metrics["reanalysed_per_step"] == pytest.approx(12 * steps / 40)
