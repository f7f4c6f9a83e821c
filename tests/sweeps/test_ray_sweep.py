"""Sweeps on a Ray cluster: Tune's calls, made in this process, and a real sweep."""

import copy
import json
import pickle
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("optuna")
pytest.importorskip("ray.tune", exc_type=ImportError)

from mukoe.configuration import load_config_file  # noqa: E402
from mukoe.errors import UserError  # noqa: E402
from mukoe.layouts.distributed.ray import connection  # noqa: E402
from mukoe.layouts.distributed.ray.cluster import GroupResources  # noqa: E402
from mukoe.sweeps import ray_sweep  # noqa: E402
from mukoe.sweeps.config import Choice  # noqa: E402
from mukoe.sweeps.ray_sweep import RaySweep, resources_of_trial  # noqa: E402
from mukoe.terminal.interruption import STATUS_INTERRUPTED  # noqa: E402
from tests.observability import fake_runs  # noqa: E402
from tests.programs.forked import run_program  # noqa: E402
from tests.sweeps.fake_trials import SIZE, make_sweep, prepare  # noqa: E402

ROOT = Path(__file__).parents[2]


class FakeTuner:
    """Tune with one trial at a time, in this process."""

    interrupts = False

    def __init__(self, trainable, tune_config, run_config):
        assert not run_config.checkpoint_config.checkpoint_at_end  # `_Trial` has none
        # Tune stores and copies them.
        pickle.dumps((tune_config, run_config))
        self.tune_config = copy.deepcopy(tune_config)
        self.run_config = copy.deepcopy(run_config)

    def fit(self):
        searcher = self.tune_config.search_alg
        for number in range(self.tune_config.num_samples):
            if self._train(f"id{number}", searcher.suggest(f"id{number}")):
                return

    def _train(self, trial_id, config):
        """Returns whether the sweep ends."""
        trial = ray_sweep._Trial.__new__(ray_sweep._Trial)
        trial.setup(config)
        try:
            is_done = False
            while not is_done:
                if self.interrupts:
                    signal.raise_signal(signal.SIGINT)
                if self.run_config.stop.stop_all():
                    return True
                is_done = trial.step()["done"]
                assert not self.run_config.stop(trial_id, {})
                record = type("Trial", (), {"trial_id": trial_id})
                decision = self.tune_config.scheduler.on_trial_result(None, record, {})
                is_done |= decision == ray_sweep.TrialScheduler.STOP
        finally:
            trial.cleanup()
        self.tune_config.search_alg.on_trial_complete(trial_id, {})
        return False


@pytest.fixture
def make_trials(tmp_path, monkeypatch):
    workdir, config = prepare(tmp_path, monkeypatch)
    monkeypatch.setattr(ray_sweep.tune, "Tuner", FakeTuner)
    resources = GroupResources(cpus=1)
    return lambda **changes: (
        workdir,
        RaySweep(workdir, make_sweep(**changes), config, resources, None),
    )


def test_tune_trains_the_trials_of_the_study(make_trials, capsys):
    workdir, sweep = make_trials(num_trials=3)
    assert sweep.train("resume it") == 0
    trials = sweep.study.trials()
    assert [trial.value for trial in trials] == [trial.params[SIZE] for trial in trials]
    assert trials[0].params[SIZE] == fake_runs.BATCH_SIZE
    best = max(trials, key=lambda trial: trial.value)
    assert f"best:          trial {best.number}, objective {best.value:.4g}" in (
        capsys.readouterr().out
    )
    assert f"'{SIZE}': '{best.params[SIZE]}'" in (workdir / "best.py").read_text()
    assert "3 trials, 3 finished" in (workdir / "sweep.html").read_text()
    # Nothing is left to train.
    assert make_trials(num_trials=3)[1].train("resume it") == 0
    assert not (workdir / "trial_3").exists()


def test_a_trial_that_fails_or_is_pruned_ends_no_other(make_trials, monkeypatch, capsys):
    space = {SIZE: Choice((7, fake_runs.BATCH_SIZE))}
    _, sweep = make_trials(num_trials=6, space=space, sampler="random")
    monkeypatch.setattr(sweep.study, "should_prune", lambda trial, _: trial.number == 0)
    # The target return would end the run as finished.
    monkeypatch.setattr(
        ray_sweep.ChildRun, "has_finished", lambda run: run.evaluations() and run.name != "trial 0"
    )
    assert sweep.train("resume it") == 0
    first, *others = sweep.study.trials()
    assert first.state.name == "PRUNED"
    states = {trial.params[SIZE]: trial.state.name for trial in others}
    assert states == {7: "FAIL", fake_runs.BATCH_SIZE: "COMPLETE"}
    assert "failed: no luck" in capsys.readouterr().err


def test_a_stopped_sweep_continues_with_its_unfinished_trials(make_trials, monkeypatch, capsys):
    _, sweep = make_trials(num_trials=3)
    with monkeypatch.context() as patched:
        patched.setattr(FakeTuner, "interrupts", True)
        assert sweep.train("resume it") == STATUS_INTERRUPTED
    assert "resume with:   resume it" in capsys.readouterr().out
    assert [trial.state.name for trial in sweep.study.trials()] == ["RUNNING"]
    _, again = make_trials(num_trials=3)
    assert again.train("resume it") == 0
    assert [trial.state.name for trial in again.study.trials()] == ["COMPLETE"] * 3


def test_a_trial_takes_a_gpu_where_the_cluster_has_one():
    class Config:
        class sebulba:  # noqa: N801
            num_actor_threads = 2

    def machines(**resources):
        return [{"NodeID": "a", "Resources": resources}]

    assert resources_of_trial(Config, "local", machines(CPU=4)).amounts == {"CPU": 1}
    found = resources_of_trial(Config, "sebulba", machines(CPU=4, GPU=1))
    assert found.amounts == {"CPU": 2, "GPU": 1}
    with pytest.raises(UserError, match="no machine of the Ray cluster has 2 CPU, which a trial"):
        resources_of_trial(Config, "sebulba", machines(CPU=1))


def test_a_cluster_that_does_not_start_is_one_line(monkeypatch):
    def time_out(**unused):
        raise Exception("The current node timed out\nduring startup.")

    monkeypatch.setattr(connection.ray, "init", time_out)
    message = "Ray cluster at local: The current node timed out during startup. Start one by"
    with pytest.raises(UserError, match=message), connection.connected("local"):
        pass


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--ray_address=local"], "--ray_address is for --launcher=ray"),
        (["--launcher=ray", "--ray_address=ray://host:1"], "--ray_address=ray://host:1 is not"),
    ],
)
def test_what_is_refused_leaves_nothing(tmp_path, flags, message):
    workdir = tmp_path / "run"
    sweep = (f"--sweep={ROOT}/configs/sweep_cartpole.py", f"--workdir={workdir}")
    result = run_program("sweep.py", *sweep, *flags)
    assert result.returncode == 2
    *_, line = result.stderr.splitlines()  # A slow start shows its phases before.
    assert line.startswith(f"error: {message}")
    assert not workdir.exists()


SWEEP = """
from mukoe.sweeps.config import Choice, SweepConfig

def get_config():
    return SweepConfig(
        config="cartpole",
        space={"agent.replay.batch_size": Choice((8, 16))},
        overrides={
            "run.max_actor_steps": "120", "run.evaluation_period": "60",
            "run.evaluation_episodes": "1", "agent.replay.min_size": "40",
            "agent.search.num_simulations": "2",
        },
        num_trials=2,
    )
"""


def start_sweep(command):
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_sweep_on_a_real_cluster_is_interrupted_and_resumed(tmp_path):
    workdir = tmp_path / "run"
    (tmp_path / "sweep.py").write_text(SWEEP)
    flags = (f"--sweep={tmp_path}/sweep.py", f"--workdir={workdir}", "--launcher=ray")
    command = [sys.executable, "programs/sweep.py", *flags, "--ray_address=local"]
    with start_sweep(command) as process:
        end = time.monotonic() + 500
        while process.poll() is None and time.monotonic() < end:
            if (workdir / "trial_0" / "logs" / "evaluator.csv").exists():
                break
            time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=200)
    assert process.returncode == STATUS_INTERRUPTED, output + errors
    (resume,) = re.findall(r"^resume with: +python (.*)$", output, re.MULTILINE)
    with start_sweep([sys.executable, *resume.split()]) as process:
        output, errors = process.communicate(timeout=500)
    assert process.returncode == 0, output + errors
    assert "--resume" in json.loads((workdir / "trial_0" / "command.json").read_text())["argv"]
    assert "2 trials, 2 finished" in (workdir / "sweep.html").read_text()
    best = load_config_file(str(workdir / "best.py"))
    assert best.run.max_actor_steps == 120 and best.agent.replay.batch_size in (8, 16)
