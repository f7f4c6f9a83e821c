"""An interrupted and resumed run of one process equals an uninterrupted one, bit for bit."""

import dataclasses
import os
import shutil
import signal

import dm_env
import jax
import numpy as np
import pytest
from dm_env import specs

from mukoe.environments.sync_vector import vectorize
from mukoe.layouts import local
from mukoe.layouts.common.resume_limits import ResumeLimits
from mukoe.layouts.local import run as local_run
from mukoe.learning.checkpoint import Checkpointer
from mukoe.learning.reanalysis import ReanalyseConfig
from tests.layouts.finished import logged, rows_of
from tests.layouts.tiny import tiny
from tests.layouts.tiny import train as train_config

STEPS, MIDDLE = 240, 121


@dataclasses.dataclass(frozen=True)
class ClockConfig:
    """Environment whose observations never repeat."""

    def make_factory(self):
        return vectorize(lambda seed, evaluation: Clock())


class Clock(dm_env.Environment):
    starts = 0

    def reset(self):
        Clock.starts += 1
        self.steps = 0
        return dm_env.restart(np.float32([Clock.starts]))

    def step(self, action):
        self.steps += 1
        observation = np.float32([Clock.starts + 0.01 * self.steps])
        if self.steps == 5:
            return dm_env.termination(1.0, observation)
        return dm_env.transition(1.0, observation)

    def observation_spec(self):
        return specs.Array((1,), np.float32, "clock")

    def action_spec(self):
        return specs.DiscreteArray(2)


def longer(**settings):
    periods = {"max_actor_steps": STEPS, "evaluation_period": 50, "log_period": 30}
    return tiny(**{**periods, **settings})


def train(workdir, resume=False, **settings):
    return train_config(longer(**settings), workdir, resume)


def interrupt(workdir, steps, **settings):
    """Returns a run that was stopped after `steps` agent steps, possibly within an episode."""
    workdir.mkdir(exist_ok=True)
    experiment = longer(**settings).make_experiment()
    run = local.make_run(experiment, local.check(experiment), workdir)
    while run.counter.get_counts().get("actor_steps", 0) < steps:
        run.step()
    run.close()
    return run


def interrupt_evaluation(workdir, steps, **settings):
    """Returns a run that was stopped `steps` steps after the start of its second evaluation."""
    workdir.mkdir(exist_ok=True)
    experiment = longer(**settings).make_experiment()
    polls = []

    def should_stop():
        polls.append(run.counter.get_counts()["actor_steps"])
        return polls[-1] >= 100 and polls.count(polls[-1]) > steps

    run = local.make_run(experiment, local.check(experiment), workdir, should_stop=should_stop)
    while not run.evaluator.is_interrupted:
        run.step()
    run.close()
    assert len(logged(workdir)["evaluator"]) == 1 and len(set(polls)) == 2
    return run


def everything(workdir):
    leaves, arrays, metadata = Checkpointer(workdir / "checkpoints")._runs.read(None)
    return {leaf.path: array for leaf, array in zip(leaves, arrays, strict=True)}, metadata


def assert_same_run(left, right):
    assert logged(left) == logged(right)
    (state, metadata), (other, other_metadata) = everything(left), everything(right)
    assert metadata == other_metadata
    assert state.keys() == other.keys()
    for name, array in state.items():
        np.testing.assert_array_equal(array, other[name], err_msg=name)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("uninterrupted") / "run"
    train(workdir)
    return workdir


# Before learning begins, and in the middle of episodes, log periods and updates.
@pytest.mark.parametrize("steps", [pytest.param(15, marks=pytest.mark.slow), MIDDLE])
def test_a_resumed_run_equals_the_uninterrupted_one(uninterrupted, tmp_path, steps):
    workdir = tmp_path / "run"
    interrupt(workdir, steps)
    train(workdir, resume=True)
    assert_same_run(workdir, uninterrupted)


@pytest.mark.slow
@pytest.mark.parametrize("steps", [0, 7])
def test_a_run_resumed_from_an_interrupted_evaluation_repeats_it(uninterrupted, tmp_path, steps):
    workdir = tmp_path / "run"
    interrupt_evaluation(workdir, steps)
    train(workdir, resume=True)
    assert_same_run(workdir, uninterrupted)


@pytest.mark.slow
def test_with_reanalysis_a_resumed_run_equals_the_uninterrupted_one(tmp_path):
    config = longer(evaluation_period=0)
    reanalyse = ReanalyseConfig(mode="replay", rows_per_update=16)
    agent = dataclasses.replace(config.agent, reanalyse=reanalyse)
    experiment = dataclasses.replace(config, agent=agent).make_experiment()
    spec = local.check(experiment)
    (tmp_path / "run").mkdir()
    run = local.make_run(experiment, spec, tmp_path / "run")
    advance(run, 80)
    run.checkpoints.save()
    run.checkpointer.wait()
    shutil.copytree(tmp_path / "run", tmp_path / "resumed")
    resumed = local.make_run(experiment, spec, tmp_path / "resumed", resume=True)
    for each in (run, resumed):
        advance(each, 120)
    next_key, rewritten = run.reanalyser.state()["position"].tolist()
    assert 0 < next_key <= run.replay.inserted
    # A step rewrites 15 or 16 rows, or the rest of a pass.
    assert 10 * run.learner.steps < rewritten <= 16 * run.learner.steps
    states = [
        (
            each.replay.state_dict(),
            each.learner.save(),
            each.reanalyser.state(),
            each.acting.state(),
        )
        for each in (run, resumed)
    ]
    jax.tree.map(np.testing.assert_array_equal, *states)
    for each in (run, resumed):
        each.write_logs()
        each.close()
    last = rows_of(tmp_path / "resumed", "learner")[-1]
    assert last == rows_of(tmp_path / "run", "learner")[-1]
    assert float(last["reanalysed_per_step"]) > 1
    assert float(last["reanalyse_policy_kl"]) > 0 < float(last["reanalyse_value_change"])


def advance(run, steps):
    while run.counter.get_counts().get("actor_steps", 0) < steps:
        run.step()


@pytest.mark.slow
def test_after_a_kill_the_run_goes_back_to_its_checkpoint_and_is_the_same(uninterrupted, tmp_path):
    workdir = tmp_path / "run"
    run = interrupt(workdir, 100)
    kept = shutil.copytree(workdir / "checkpoints", tmp_path / "checkpoints")
    while run.counter.get_counts()["actor_steps"] < 150:
        run.step()  # It continues, logs, evaluates and is killed: nothing is saved.
    run.checkpointer.wait()
    run.logger.close()
    run.evaluator.close()
    shutil.rmtree(workdir / "checkpoints" / "run")
    shutil.copytree(kept / "run", workdir / "checkpoints" / "run")
    train(workdir, resume=True)
    assert_same_run(workdir, uninterrupted)


@pytest.mark.slow
def test_a_damaged_run_falls_back_to_the_one_before(uninterrupted, tmp_path, capsys):
    workdir = tmp_path / "run"
    run = interrupt(workdir, 60)
    while run.counter.get_counts()["actor_steps"] < MIDDLE:
        run.step()
    run.close()
    newest = max((workdir / "checkpoints" / "run").iterdir(), key=lambda path: int(path.name))
    files = [path for path in (newest / "arrays").rglob("*") if path.is_file()]
    largest = max(files, key=lambda path: path.stat().st_size)
    os.truncate(largest, largest.stat().st_size // 2)
    train(workdir, resume=True)
    assert f"run/{newest.name} is damaged" in capsys.readouterr().err
    assert_same_run(workdir, uninterrupted)


@pytest.fixture
def short(tmp_path):
    """A run that was stopped before it learned, and the content of its workdir."""
    run = interrupt(tmp_path / "run", 15)
    return run, _files(tmp_path / "run")


def _files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_signals_end_a_resumption_and_leave_the_workdir(short, tmp_path, monkeypatch, capsys):
    class Interrupted(ResumeLimits):
        def __call__(self, done, total):
            if done == 2:
                os.kill(os.getpid(), signal.SIGINT)
            super().__call__(done, total)

    monkeypatch.setattr(local_run, "ResumeLimits", Interrupted)
    assert train(tmp_path / "run", resume=True) == 130
    assert "ended: Ctrl-C; checkpoints are unchanged" in capsys.readouterr().out
    assert _files(tmp_path / "run") == short[1]


def test_a_resumption_has_a_time_limit(short, tmp_path, capsys):
    experiment = longer(resume_seconds=0.0).make_experiment()
    resumed = local.make_run(experiment, local.check(experiment), tmp_path / "run", True)
    assert "steps of the environments were repeated within run.resume_seconds=0: new episodes" in (
        capsys.readouterr().err
    )
    counts = short[0].counter.get_counts()
    assert resumed.acting.start_counts == resumed.counter.get_counts() == counts
    assert resumed.replay.inserted == short[0].replay.inserted


def test_a_resumed_run_collects_nothing_again(tmp_path):
    run = interrupt(tmp_path / "run", MIDDLE)
    experiment = longer().make_experiment()
    resumed = local.make_run(experiment, local.check(experiment), tmp_path / "run", True)
    assert resumed.replay.inserted == run.replay.inserted > 20
    assert resumed.replay.size == run.replay.size
    assert resumed.counter.get_counts() == run.counter.get_counts()
    jax.tree.map(np.testing.assert_array_equal, run.learner.save(), resumed.learner.save())
    # Acting is one step behind learning, and stays so.
    assert int(resumed.acting.variables.params.learner_steps) == int(
        run.acting.variables.params.learner_steps
    )
    # It learns at once.
    steps = resumed.learner.steps
    for _ in range(4):
        resumed.step()
    assert resumed.learner.steps > steps


@pytest.mark.slow
def test_beyond_the_limit_new_episodes_begin_and_the_replay_stays(tmp_path):
    run = interrupt(tmp_path / "run", MIDDLE, exact_resume_steps=100)
    experiment = longer(exact_resume_steps=100).make_experiment()
    resumed = local.make_run(experiment, local.check(experiment), tmp_path / "run", True)
    assert resumed.replay.inserted == run.replay.inserted
    assert resumed.acting.start_counts == run.counter.get_counts()
    resumed.step()
    assert resumed.acting.environment.state()["resets"].tolist() == [0]


@pytest.mark.slow
def test_environments_that_cannot_be_brought_back_begin_new_episodes(tmp_path, capsys):
    run = interrupt(tmp_path / "run", MIDDLE, environment=ClockConfig())
    experiment = longer(environment=ClockConfig()).make_experiment()
    resumed = local.make_run(experiment, local.check(experiment), tmp_path / "run", True)
    assert "respond differently to the same actions" in capsys.readouterr().err
    assert resumed.replay.inserted == run.replay.inserted
    for _ in range(8):
        resumed.step()
    assert resumed.replay.inserted > run.replay.inserted


def test_a_replay_that_is_too_large_is_not_saved_and_says_so(tmp_path, capsys):
    workdir = tmp_path / "run"
    train(workdir, max_actor_steps=60, replay_checkpoint_gib=1e-6)
    assert "above run.replay_checkpoint_gib (1e-06)" in capsys.readouterr().err
    assert not (workdir / "checkpoints" / "run").exists()
    assert Checkpointer(workdir / "checkpoints").latest_step() > 0


@pytest.mark.slow
def test_a_run_that_is_no_longer_saved_is_removed(tmp_path):
    workdir = tmp_path / "run"
    train(workdir, max_actor_steps=60)
    train(workdir, resume=True, max_actor_steps=80, replay_checkpoint_seconds=0.0)
    assert not (workdir / "checkpoints" / "run").exists()
