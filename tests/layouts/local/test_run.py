"""Runs of one process: alternation, reproducibility, resuming, end."""

import dataclasses
import itertools
import os
import signal
import threading
import time
import types

import dm_env
import numpy as np
import pytest
from dm_env import specs

from mukoe.environments.sync_vector import vectorize
from mukoe.errors import UserError
from mukoe.layouts import local
from mukoe.layouts.common.checkpointing import stored_counts
from mukoe.layouts.common.counting import Counter
from mukoe.learning.checkpoint import Checkpointer
from tests.layouts.finished import assert_same_state, logged, rows_of
from tests.layouts.tiny import tiny
from tests.layouts.tiny import train as train_config
from tests.observability.loggers.recorder import RECORDERS, make_recorder


def train(workdir, resume=False, **run):
    return train_config(tiny(**run), workdir, resume)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("trained")
    assert train(workdir) == 0
    return workdir


def test_actor_and_learner_take_turns_at_the_ratio_of_the_config(trained):
    counts = Checkpointer(trained / "checkpoints").read_metadata()["counts"]
    assert 200 <= counts["actor_steps"] < 204
    # After 20 items, 2 samples for each item, 8 to a batch; two batches may be ahead.
    replay = tiny().agent.replay
    due = (counts["actor_steps"] - replay.min_size) * replay.samples_per_insert / 8
    assert due - 3 <= counts["learner_steps"] <= due + 2


def test_the_same_seed_gives_the_same_run_bit_for_bit(trained, tmp_path):
    train(tmp_path / "again")
    assert logged(tmp_path / "again") == logged(trained)
    assert_same_state(tmp_path / "again", trained)


@pytest.mark.slow
def test_another_seed_gives_another_run(trained, tmp_path):
    train(tmp_path / "other", seed=1, loggers=("csv", f"{make_recorder.__module__}:make_recorder"))
    other = logged(tmp_path / "other")
    assert other["learner"] != logged(trained)["learner"]
    assert not (tmp_path / "other" / "tensorboard").exists(), "loggers are those of the config"
    for label in ("actor_0", "learner", "evaluator"):
        recorder = RECORDERS[tmp_path / "other", label]
        assert recorder.closed and len(recorder.entries) == len(other[label])


def test_logs_have_a_row_for_each_period(trained):
    rows = logged(trained)
    assert [int(row["actor_steps"]) // 50 for row in rows["actor_0"]] == [1, 2, 3, 4]
    assert [int(row["actor_steps"]) // 100 for row in rows["evaluator"]] == [1, 2]
    assert Checkpointer(trained / "checkpoints").best_score() == max(
        float(row["episode_return"]) for row in rows["evaluator"]
    )


def test_a_resumed_run_continues_counts_and_logs(tmp_path):
    train(tmp_path)
    before = logged(tmp_path)
    steps = stored_counts(tmp_path)["learner_steps"]
    train(tmp_path, resume=True, max_actor_steps=400)
    counts = stored_counts(tmp_path)
    assert 400 <= counts["actor_steps"] < 404 and counts["learner_steps"] > steps
    after = logged(tmp_path)
    assert after["learner"][: len(before["learner"])] == before["learner"]
    assert len(after["learner"]) > len(before["learner"])


@pytest.mark.parametrize("number, status", [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_signals_end_the_run_with_a_checkpoint(tmp_path, number, status):
    log = tmp_path / "logs" / "learner.csv"
    before = signal.getsignal(signal.SIGINT)

    def send_when_learning():
        while not log.exists():
            time.sleep(0.1)
        os.kill(os.getpid(), number)

    threading.Thread(target=send_when_learning, daemon=True).start()
    assert train(tmp_path, max_actor_steps=10_000_000) == status
    assert Checkpointer(tmp_path / "checkpoints").latest_step() > 0
    assert signal.getsignal(signal.SIGINT) is before


@dataclasses.dataclass(frozen=True)
class EndlessConfig:
    """Environment whose episodes never end."""

    def make_factory(self):
        return vectorize(lambda seed, evaluation: Endless(evaluation))


class Endless(dm_env.Environment):
    evaluated = 0
    made = []

    def __init__(self, evaluation):
        self._evaluation = evaluation
        self.closed = False
        Endless.made.append(self)

    def close(self):
        assert not self.closed
        self.closed = True

    def reset(self):
        return dm_env.restart(np.float32([0]))

    def step(self, action):
        Endless.evaluated += self._evaluation
        return dm_env.transition(0.5, np.float32([0]))

    def observation_spec(self):
        return specs.Array((1,), np.float32)

    def action_spec(self):
        return specs.DiscreteArray(2)


def train_endless(workdir, resume=False, **run):
    settings = {"max_actor_steps": 16, "evaluation_period": 8, **run}
    Endless.made.clear()
    status = train_config(tiny(EndlessConfig(), **settings), workdir, resume)
    # One to check the config, those of the actor, and those of the evaluator.
    assert [environment.closed for environment in Endless.made] == [True] * (1 + 4 + 2)
    return status


@pytest.mark.parametrize("number, status", [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_signals_end_an_evaluation_that_would_not_end(tmp_path, number, status):
    evaluated, sent = Endless.evaluated, []

    def send_when_evaluating():
        while Endless.evaluated < evaluated + 20:
            time.sleep(0.05)
        sent.append(time.monotonic())
        os.kill(os.getpid(), number)

    threading.Thread(target=send_when_evaluating, daemon=True).start()
    assert train_endless(tmp_path) == status
    assert time.monotonic() - sent[0] < 20
    assert stored_counts(tmp_path)["actor_steps"] == 8
    assert Checkpointer(tmp_path / "checkpoints").best_score() is None
    if status:
        # The resumed run repeats the evaluation.
        assert train_endless(tmp_path, resume=True, evaluation_max_steps=30) == 0
        assert [row["actor_steps"] for row in rows_of(tmp_path, "evaluator")] == ["8", "16"]


def test_an_evaluation_ends_at_its_step_limit_and_says_so(tmp_path, capsys):
    assert train_endless(tmp_path, evaluation_max_steps=30) == 0
    rows = rows_of(tmp_path, "evaluator")
    assert [float(row["episode_return"]) for row in rows] == [15.0, 15.0]
    assert [row["cut_off_episodes"] for row in rows] == ["2", "2"]
    error = capsys.readouterr().err
    assert "2 of 2 episodes" in error and "run.evaluation_max_steps=30" in error


def test_a_target_return_ends_the_run(tmp_path, capsys):
    train(tmp_path, max_actor_steps=10_000, target_return=5.0)
    assert "reached run.target_return=5\n" in capsys.readouterr().out
    assert stored_counts(tmp_path)["actor_steps"] < 200


def test_the_line_shows_the_phase_at_all_times(tmp_path, monkeypatch):
    """Phases are read where the work of each phase begins."""
    config = tiny(max_actor_steps=120)
    experiment = config.make_experiment()
    run = local.make_run(experiment, local.check(experiment), tmp_path)
    phases = []

    def record(holder, name):
        work = getattr(holder, name)

        def recorded(*args, **kwargs):
            phases.append(run.progress().phase)
            return work(*args, **kwargs)

        monkeypatch.setattr(holder, name, recorded)

    record(run.acting.loop, "step")
    record(run.learner, "step")
    record(run.evaluator._parts().loop, "step")
    record(run.checkpoints, "save")
    while not run.ended:
        run.step()
    run.close()
    assert [phase for phase, _ in itertools.groupby(phases)] == [
        "compiling the policy",
        "filling replay",
        "compiling the update",
        "learning",
        "evaluating",
        "learning",
        "saving",
    ]
    assert run.progress().phase == "ended"


def test_the_ratio_is_needed():
    config = tiny()
    replay = dataclasses.replace(config.agent.replay, samples_per_insert=None)
    config = dataclasses.replace(config, agent=dataclasses.replace(config.agent, replay=replay))
    with pytest.raises(UserError, match="samples_per_insert"):
        local.check(config.make_experiment())


def test_the_learner_stops_at_its_limit_within_a_step():
    counter = Counter()

    class Busy:
        """Parts of a run whose replay always allows an update."""

        progress = types.SimpleNamespace(steps=4, frames=4)
        is_interrupted = False

        def step(self):
            counter.increment(learner_steps=1)
            return {}

        def can_sample(self):
            return True

        def add(self, *args):
            pass

        save_if_due = add

    class Loop(Busy):
        def step(self):
            return []

    busy = Busy()
    run = local.LocalRun(
        experiment=tiny(max_learner_steps=3).make_experiment(),
        counter=counter,
        replay=busy,
        learner=busy,
        reanalyser=None,
        demonstrations=None,
        acting=types.SimpleNamespace(loop=Loop()),
        evaluator=busy,
        logger=busy,
        checkpointer=None,
        checkpoints=busy,
        should_stop=lambda: False,
    )
    run.step()
    assert run.ended and counter.get_counts()["learner_steps"] == 3
