"""Whole runs on the devices of one machine: counts, reproducibility, failures, end."""

import dataclasses
import os
import signal
import threading
import time
import traceback

import numpy as np
import optax
import pytest

from mukoe.configuration.exclusive_workdir import exclusive_workdir
from mukoe.environments.sync_vector import SyncVectorEnvironment
from mukoe.errors import UserError
from mukoe.layouts import sebulba
from mukoe.layouts.common.checkpointing import stored_counts
from mukoe.layouts.common.experiment import SebulbaConfig
from mukoe.layouts.common.run_logger import RunLogger
from mukoe.learning.checkpoint import Checkpointer
from mukoe.learning.reanalysis import ReanalyseConfig
from tests.layouts.finished import LABELS, assert_same_state, rows_of
from tests.layouts.sebulba.corridor import (
    MUESLI,
    MUZERO,
    PPO,
    Corridor,
    corridors,
    experiment,
)


def train(workdir, resume=False, **options):
    workdir.mkdir(exist_ok=True)
    made = experiment(**options)
    return sebulba.train(made, sebulba.check(made), workdir, resume)


def assert_same_run(left, right, logs=LABELS):
    for label in logs:
        assert rows_of(left, label) == rows_of(right, label)
    assert_same_state(left, right)


def test_everything_is_counted_exactly_with_eight_threads(tmp_path):
    """Each thread has 2 environments; of 7 steps of a corridor the last begins a new one."""
    assert train(tmp_path, threads=8, max_actor_steps=1_000) == 0
    counts = stored_counts(tmp_path)
    rounds = counts["learner_steps"]
    in_one_stream = np.arange(5 * rounds) % 7 < 6
    assert counts["actor_steps"] == 16 * in_one_stream.sum()
    assert counts["environment_frames"] == counts["actor_steps"]
    assert counts["episodes"] == 16 * (np.arange(5 * rounds) % 7 == 5).sum()
    # The last round is the one that reached the limit.
    assert 16 * in_one_stream[: 5 * (rounds - 1)].sum() < 1_000 <= counts["actor_steps"]
    assert int(rows_of(tmp_path, "learner")[-1]["learner_steps"]) == rounds


@pytest.mark.parametrize("staleness", [0, 2])
def test_the_staleness_is_what_the_config_says(tmp_path, staleness):
    train(tmp_path, staleness=staleness, max_actor_steps=400)
    rows = rows_of(tmp_path, "learner")
    for row in rows:
        expected = min(staleness, int(row["learner_steps"]) - 1)
        assert float(row["staleness"]) == expected


@pytest.mark.slow
def test_replay_is_rewritten_after_each_update(tmp_path):
    reanalyse = ReanalyseConfig(mode="replay", rows_per_update=8, search="values")
    for name in "ab":
        agent = dataclasses.replace(MUZERO, reanalyse=reanalyse)
        train(tmp_path / name, agent=agent, staleness=0, threads=1)
    assert_same_run(tmp_path / "a", tmp_path / "b", logs=("learner",))
    last = rows_of(tmp_path / "a", "learner")[-1]
    updates, steps = int(last["learner_steps"]), int(last["actor_steps"])
    assert (
        7 * updates / (steps + 12) < float(last["reanalysed_per_step"]) <= 8 * updates / steps * 1.2
    )
    assert float(last["reanalyse_value_change"]) > 0


@pytest.mark.parametrize("agent", [PPO, pytest.param(MUZERO, marks=pytest.mark.slow)])
def test_the_line_shows_compilation_as_such(tmp_path, monkeypatch, agent):
    made = experiment(agent=agent, threads=1, staleness=0)
    run = sebulba.make_run(made, sebulba.check(made), tmp_path)
    phases = {}

    def record(name, holder, method):
        work = getattr(holder, method)

        def recorded(*args):
            phases.setdefault(name, run.progress().phase)
            return work(*args)

        monkeypatch.setattr(holder, method, recorded)

    record("collect", run.collectors[0], "collect")
    record("update", run.learner, "_update")
    run.start()
    while run.counter.get_counts().get("learner_steps", 0) < 2:
        assert not run.wait(0.05)
    assert run.progress().phase == "learning"
    run.close()
    assert run.progress().phase == "ended"
    assert phases == {"collect": "compiling the policy", "update": "compiling the update"}


def test_in_turns_the_same_seed_gives_the_same_run_bit_for_bit(tmp_path):
    for name in "ab":
        train(tmp_path / name, staleness=0, evaluation_period=100)
    assert_same_run(tmp_path / "a", tmp_path / "b")
    train(tmp_path / "c", staleness=0, seed=1)
    assert rows_of(tmp_path / "a", "learner") != rows_of(tmp_path / "c", "learner")


@pytest.mark.slow
def test_with_overlap_too_the_same_parameters_are_learned(tmp_path):
    """Rounds decide which parameters act, not the speed of the machine."""
    for name, pause in (("a", 0.0), ("b", 0.003)):
        train(tmp_path / name, factory=corridors(make=lambda seed, p=pause: Corridor(seed, p)))
    assert_same_run(tmp_path / "a", tmp_path / "b", logs=())


@pytest.mark.parametrize(
    "agent",
    [pytest.param(MUZERO, id="muzero"), pytest.param(MUESLI, id="muesli", marks=pytest.mark.slow)],
)
def test_agents_with_a_replay_learn_here_and_resume(tmp_path, agent):
    train(tmp_path, agent=agent, max_actor_steps=200, evaluation_period=100)
    counts = stored_counts(tmp_path)
    assert 200 <= counts["actor_steps"] < 220 and counts["learner_steps"] > 5
    rows = rows_of(tmp_path, "evaluator")
    assert rows and float(rows[-1]["episode_length"]) == 6
    train(tmp_path, agent=agent, max_actor_steps=300, resume=True)
    after = stored_counts(tmp_path)
    assert 300 <= after["actor_steps"] < 320
    assert after["learner_steps"] > counts["learner_steps"]


def test_updates_end_at_their_limit_within_a_round(tmp_path):
    """A round of 4 environments and 5 steps gives many updates; the limit is none of their sums."""
    assert train(tmp_path, agent=MUZERO, max_learner_steps=7) == 0
    assert stored_counts(tmp_path)["learner_steps"] == 7


def test_environments_and_keys_of_all_threads_differ(tmp_path):
    seeds = []
    made = experiment(factory=corridors(seeds), threads=8)
    run = sebulba.make_run(made, sebulba.check(made), tmp_path)
    seeds = seeds[1:]  # The first is that of `check`.
    assert len(seeds) == len(set(seeds)) == 8
    keys = {tuple(np.asarray(collector._key).tolist()) for collector in run.collectors}
    assert len(keys) == 8
    run.close()


class BrokenError(Exception):
    """Error of the broken environment alone."""


class Broken(Corridor):
    """Fails at its twentieth step."""

    steps = 0

    def step(self, action):
        self.steps += 1
        if self.steps > 20:
            raise BrokenError("the environment broke")
        return super().step(action)


@pytest.mark.parametrize("staleness", [0, 1])
def test_an_environment_that_fails_ends_the_run_with_its_own_error(tmp_path, staleness):
    started = time.monotonic()
    with pytest.raises(Exception) as caught:
        train(
            tmp_path,
            factory=corridors(make=Broken),
            staleness=staleness,
            max_actor_steps=10**9,
        )
    text = "".join(traceback.format_exception(caught.value))
    assert "the environment broke" in text and "in step" in text
    assert time.monotonic() - started < 30


def _fail():
    raise BrokenError("it cannot be done")


def test_a_learner_that_fails_ends_the_run_with_its_own_error(tmp_path, monkeypatch):
    publish = sebulba.SebulbaRun.publish

    def fail_at_last(run, rounds):
        publish(run, rounds) if rounds < 3 else _fail()

    monkeypatch.setattr(sebulba.SebulbaRun, "publish", fail_at_last)
    with pytest.raises(BrokenError, match="cannot be done"):
        train(tmp_path, max_actor_steps=10**9)


def test_a_log_that_fails_ends_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr(RunLogger, "write", lambda self: _fail())
    with pytest.raises(BrokenError, match="cannot be done"):
        train(tmp_path, max_actor_steps=10**9)


@pytest.mark.slow
def test_a_slow_log_and_a_slow_evaluation_do_not_delay_the_learner(tmp_path, monkeypatch):
    """Both take a second; meanwhile the learner makes many rounds."""
    write = RunLogger.write
    busy = []

    def slowly(self):
        busy.append(self._counter.get_counts().get("learner_steps", 0))
        time.sleep(1.0)
        busy.append(self._counter.get_counts().get("learner_steps", 0))
        write(self)

    monkeypatch.setattr(RunLogger, "write", slowly)

    def factory(seed, num_envs, evaluation):
        pause = 0.2 if evaluation else 0.0
        return SyncVectorEnvironment([Corridor(seed + i, pause) for i in range(num_envs)])

    train(tmp_path, factory=factory, max_actor_steps=4_000, evaluation_period=500)
    during = max(after - before for before, after in zip(busy[::2], busy[1::2], strict=True))
    assert during >= 5


def test_environments_are_closed(tmp_path):
    made, closed = [], []

    class Closed(Corridor):
        def __init__(self, seed):
            super().__init__(seed)
            made.append(self)

        def close(self):
            closed.append(self)

    experiment_ = experiment(factory=corridors(make=Closed))
    run = sebulba.make_run(experiment_, sebulba.check(experiment_), tmp_path)
    assert len(closed) == len(made) - 4 == 1
    run.evaluator.evaluate(run.learner.device_variables(), {"actor_steps": 0})
    run.close()
    # One to check the config, those of two actor threads, and those of the evaluator.
    assert len(closed) == len(made) == 1 + 2 * 2 + 2 and set(closed) == set(made)


@pytest.mark.parametrize("number, status", [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_signals_end_the_run_with_a_checkpoint(tmp_path, number, status):
    sent = []

    def send_when_learning():
        while not (tmp_path / "logs" / "learner.csv").exists():
            time.sleep(0.05)
        sent.append(time.monotonic())
        os.kill(os.getpid(), number)

    threading.Thread(target=send_when_learning, daemon=True).start()
    assert train(tmp_path, max_actor_steps=10**9) == status
    assert time.monotonic() - sent[0] < 15
    assert Checkpointer(tmp_path / "checkpoints").latest_step() > 0
    names = {thread.name for thread in threading.enumerate()}
    assert not names & {"learner", "actor 0", "actor 1", "log", "evaluator"}


def test_an_actor_that_hangs_does_not_keep_the_run_from_ending(tmp_path, monkeypatch):
    monkeypatch.setattr("mukoe.layouts.sebulba.run._JOIN_SECONDS", 0.5)
    never = threading.Event()

    class Hanging(Corridor):
        def step(self, action):
            if self._step == 3:
                never.wait()
            return super().step(action)

    made = experiment(factory=corridors(make=Hanging), max_actor_steps=10**9)
    run = sebulba.make_run(made, sebulba.check(made), tmp_path)
    run.start()
    assert not run.wait(0.5)
    started = time.monotonic()
    run.close()
    assert time.monotonic() - started < 10
    assert Checkpointer(tmp_path / "checkpoints").latest_step() == 0
    never.set()


def test_a_resumed_run_continues_counts_with_other_episodes(tmp_path):
    seeds = []
    train(tmp_path, factory=corridors(seeds))
    before, first = stored_counts(tmp_path), seeds[1:]
    seeds.clear()
    train(tmp_path, factory=corridors(seeds), resume=True, max_actor_steps=400)
    after = stored_counts(tmp_path)
    assert after["actor_steps"] >= 400 and after["learner_steps"] > before["learner_steps"]
    assert not set(seeds[1:]) & set(first)


def test_a_run_that_is_resumed_at_its_limit_ends_as_it_is(tmp_path):
    train(tmp_path)
    counts, rows = (
        stored_counts(tmp_path),
        [rows_of(tmp_path, label) for label in ("actor_0", "learner")],
    )
    assert train(tmp_path, resume=True) == 0
    assert stored_counts(tmp_path) == counts
    assert [rows_of(tmp_path, label) for label in ("actor_0", "learner")] == rows


def test_a_run_holds_its_workdir(tmp_path):
    with exclusive_workdir(tmp_path), pytest.raises(UserError, match="another process trains in"):
        train(tmp_path)
    assert not list(tmp_path.iterdir())


def test_learning_rate_falls_with_the_agent_steps_of_the_run(tmp_path):
    """Restarts make a few rounds more than 10 of 2 x 2 x 5 steps; they are not counted."""
    made = experiment(max_actor_steps=200)
    run = sebulba.make_run(made, sebulba.check(made), tmp_path)
    assert run.experiment.builder._num_steps == 200
    run.start()
    assert run.wait(60)
    run.close()
    counts = run.counter.get_counts()
    assert counts["learner_steps"] > 10
    assert optax.tree_utils.tree_get(run.learner.save(), "agent_steps") == counts["actor_steps"]


def test_what_does_not_fit_is_refused():
    def check(agent=PPO, devices=(0,), **run):
        made = experiment(agent, **run)
        config = dataclasses.replace(made.sebulba, learner_devices=devices)
        sebulba.check(dataclasses.replace(made, sebulba=config))

    with pytest.raises(UserError, match="names device 64"):
        check(devices=(64,))
    no_ratio = dataclasses.replace(MUZERO.replay, samples_per_insert=None)
    with pytest.raises(UserError, match="samples_per_insert"):
        check(dataclasses.replace(MUZERO, replay=no_ratio))
    with pytest.raises(UserError, match="each once"):
        SebulbaConfig(actor_devices=(0, 0))
    with pytest.raises(UserError, match="staleness"):
        SebulbaConfig(staleness=-1)
    with pytest.raises(UserError, match="--layout=sebulba"):
        _ = PPO.make_builder().replay
