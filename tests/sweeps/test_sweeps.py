"""Sweeps: space, study, objective, and trials whose processes only write the files of a run."""

import math
import signal

import pytest

optuna = pytest.importorskip("optuna")

from mukoe.configuration import load_config_file  # noqa: E402
from mukoe.errors import UserError  # noqa: E402
from mukoe.layouts.common.experiment import RunConfig  # noqa: E402
from mukoe.sweeps import local_sweep  # noqa: E402
from mukoe.sweeps.config import Choice, Integer, Uniform  # noqa: E402
from mukoe.sweeps.local_sweep import LocalSweep  # noqa: E402
from mukoe.sweeps.study import Study  # noqa: E402
from mukoe.sweeps.sweep_runs import best_config, objective  # noqa: E402
from mukoe.terminal.interruption import STATUS_INTERRUPTED  # noqa: E402
from tests.observability import fake_runs  # noqa: E402
from tests.sweeps.fake_trials import SIMULATIONS, SIZE, make_sweep, prepare  # noqa: E402


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Uniform(2.0, 1.0), r"an interval must ascend, unlike \[2, 1\]"),
        (lambda: Integer(0, 4, log=True), r"a logarithmic interval must be positive"),
        (lambda: Choice(()), "a Choice needs at least one value"),
        (lambda: make_sweep(space={}), "space is empty: name at least one field"),
        (lambda: make_sweep(num_trials=0), r"SweepConfig.num_trials must be .*1.*, not 0"),
        (lambda: make_sweep(num_trials=10**18), r"SweepConfig.num_trials must be .*, not 10+"),
        (lambda: make_sweep(seed=-1), r"SweepConfig.seed must be .*0.*, not -1"),
        (lambda: make_sweep(sampler="tp"), r"SweepConfig.sampler must be .*tpe.*, not 'tp'"),
        (lambda: make_sweep(config=3), r"SweepConfig.config must be a string, not 3"),
    ],
)
def test_a_sweep_that_makes_no_sense(make, message):
    with pytest.raises(UserError, match=message):
        make()


def test_the_corners_are_the_extremes_of_every_field():
    space = {"a": Uniform(0.1, 2.0, log=True), "b": Choice(("x", "y", "z"))}
    corners = list(make_sweep(space=space).corners())
    assert corners == [{"a": 0.1}, {"a": 2.0}, {"b": "x"}, {"b": "y"}, {"b": "z"}]


def test_the_objective_keeps_the_last_return_to_the_end_of_the_budget():
    run = RunConfig(max_actor_steps=1000, evaluation_period=200)
    assert objective([1.0, 2.0, 3.0, 4.0, 5.0], run) == 3.0
    assert objective([10.0, 40.0], run) == (10 + 4 * 40) / 5


@pytest.fixture
def make_study(tmp_path):
    return lambda first, **changes: Study(tmp_path / "study.db", make_sweep(**changes), first)


def test_the_first_trial_has_the_values_of_the_config(make_study):
    study = make_study({SIZE: 13, SIMULATIONS: 16})
    assert study.values(study.ask()) == {SIZE: 13, SIMULATIONS: 16}


def test_values_outside_of_the_space_are_no_trial(make_study):
    study = make_study({SIZE: 65, SIMULATIONS: 16})
    assert study.num_started == 0 and 1 <= study.values(study.ask())[SIZE] <= 64


def test_another_process_finds_the_trials_that_were_not_finished(make_study):
    study = make_study({})
    finished, unfinished = study.ask(), study.ask()
    values = study.values(unfinished)
    study.values(finished)
    study.finish(finished, 1.0)
    again = make_study({})
    (found,) = again.unfinished()
    assert found.number == unfinished.number and again.values(found) == values
    assert again.num_started == 2 and again.best().number == finished.number


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_another_process_draws_other_values(make_study, sampler):
    drawn = []
    for _ in range(3):
        study = make_study({}, sampler=sampler, space={SIZE: Uniform(0.0, 1.0)})
        drawn += [study.values(study.ask())[SIZE] for _ in range(3)]
    assert len(set(drawn)) == len(drawn)


def test_a_trial_below_the_median_of_the_earlier_ones_is_pruned(make_study):
    study = make_study({})
    for value in (10.0, 20.0, 30.0, 40.0):
        trial = study.ask()
        assert not study.should_prune(trial, [value, value, value])
        study.finish(trial, value)
    poor, good = study.ask(), study.ask()
    # The first evaluation says little.
    assert not study.should_prune(poor, [1.0])
    assert study.should_prune(poor, [1.0, 1.0])
    assert not study.should_prune(good, [1.0, 30.0])


def test_the_field_that_the_objective_depends_on_is_the_important_one(make_study):
    study = make_study({}, sampler="random")
    for _ in range(30):
        trial = study.ask()
        study.finish(trial, math.log(study.values(trial)[SIZE]))
    importances = study.importances()
    assert max(importances, key=importances.get) == SIZE
    assert sum(importances.values()) == pytest.approx(1.0)


def test_the_best_config_is_a_file_that_loads(tmp_path):
    overrides = {"agent.search.num_simulations": "7", "agent.optimizer.learning_rate": "0.5"}
    (tmp_path / "best.py").write_text(best_config("cartpole", overrides, 3, 12.5))
    config, shipped = load_config_file(str(tmp_path / "best.py")), load_config_file("cartpole")
    assert config.agent.search.num_simulations == 7
    assert config.agent.optimizer.learning_rate == 0.5
    assert config.agent.loss == shipped.agent.loss


@pytest.fixture
def make_trials(tmp_path, monkeypatch):
    """Function that makes a sweep whose processes run `TRAINER`."""
    workdir, config = prepare(tmp_path, monkeypatch)
    return lambda **changes: (workdir, LocalSweep(workdir, make_sweep(**changes), config, 2, {}))


def test_the_best_config_of_a_file_loads_from_any_folder(make_trials, tmp_path, monkeypatch):
    (tmp_path / "own.py").write_text(
        "from mukoe.configuration import load_config_file\n\n"
        "def get_config():\n    return load_config_file('cartpole')\n"
    )
    monkeypatch.chdir(tmp_path)
    workdir, sweep = make_trials(num_trials=1, config="own.py")
    assert sweep.train("resume it") == 0
    monkeypatch.chdir("/")
    best = load_config_file(str(workdir / "best.py"))
    assert best.agent.replay.batch_size == fake_runs.BATCH_SIZE
    assert best.agent.network == load_config_file("cartpole").agent.network


def test_trials_run_side_by_side_and_the_best_is_a_config(make_trials, capsys):
    workdir, sweep = make_trials(num_trials=3)
    assert sweep.train("resume it") == 0
    out = capsys.readouterr().out
    trials = sweep.study.trials()
    assert [trial.value for trial in trials] == [trial.params[SIZE] for trial in trials]
    # The values of the config come first.
    assert trials[0].params == {SIZE: fake_runs.BATCH_SIZE, SIMULATIONS: 16}
    best = max(trials, key=lambda trial: trial.value)
    assert f"best:          trial {best.number}, objective {best.value:.4g}" in out
    assert f"'{SIZE}': '{best.params[SIZE]}'" in (workdir / "best.py").read_text()
    page = (workdir / "sweep.html").read_text()
    # Three axes of a readable width, which scroll on a narrow screen.
    assert '<div class="scroll"><svg' in page and "min-width:30em" in page
    assert page.count("<path") == 3 and "3 trials, 3 finished" in page
    started = (workdir / "trial_0" / "started.txt").read_text()
    assert started == f"--config=cartpole --config.{SIZE}=32 --config.{SIMULATIONS}=16\n"


def test_a_trial_that_fails_ends_no_other(make_trials, capsys):
    space = {SIZE: Choice((7, fake_runs.BATCH_SIZE))}
    _, sweep = make_trials(num_trials=6, space=space, sampler="random")
    assert sweep.train("resume it") == 0
    states = {trial.params[SIZE]: trial.state.name for trial in sweep.study.trials()}
    assert states == {7: "FAIL", fake_runs.BATCH_SIZE: "COMPLETE"}
    assert "failed: no luck" in capsys.readouterr().err


def test_a_stopped_sweep_continues_with_its_unfinished_trials(make_trials, capsys, monkeypatch):
    _, sweep = make_trials(num_trials=3)
    with monkeypatch.context() as patched:
        patched.setattr(local_sweep, "wait_until", lambda *_: signal.raise_signal(signal.SIGINT))
        assert sweep.train("resume it") == STATUS_INTERRUPTED
    out = capsys.readouterr().out
    assert "ended: Ctrl-C" in out and "resume with:   resume it" in out
    _, again = make_trials(num_trials=3)
    assert again.train("resume it") == 0
    assert [trial.state.name for trial in again.study.trials()] == ["COMPLETE"] * 3
