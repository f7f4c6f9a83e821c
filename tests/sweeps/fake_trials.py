"""Trials of a sweep whose processes only write the files of a run."""

from mukoe.configuration import prepare_workdir
from mukoe.layouts.common.experiment import RunConfig, TrainingConfig
from mukoe.sweeps import child_run
from mukoe.sweeps.config import Choice, Integer, SweepConfig
from tests.observability import fake_runs

SIZE, SIMULATIONS = "agent.replay.batch_size", "agent.search.num_simulations"
SPACE = {SIZE: Integer(1, 64), SIMULATIONS: Choice((8, 16, 32))}

# Trains without an agent: the returns of three evaluations are the batch size, unless it is 7.
TRAINER = f"""
import sys
from pathlib import Path
workdir, flags = Path(sys.argv[1]), sys.argv[2:]
(workdir / "started.txt").open("a").write(" ".join(flags) + "\\n")
values = dict(flag.split("=") for flag in flags if "=" in flag)
size = float(values.get("--config.{SIZE}", 5))
(workdir / "config.json").write_text((workdir.parent / "config_of_trials.json").read_text())
if size == 7:
    sys.exit("error: no luck")
(workdir / "logs").mkdir(exist_ok=True)
rows = "".join(f"{{step}},{{size}}\\n" for step in (100, 200, 300))
(workdir / "logs/evaluator.csv").write_text("actor_steps,episode_return\\n" + rows)
"""


def make_sweep(**changes):
    return SweepConfig(**{"config": "cartpole", "space": SPACE, "num_trials": 4, **changes})


def prepare(folder, monkeypatch):
    """Makes the workdir of a sweep whose processes run `TRAINER`; returns it and the config."""
    run = RunConfig(max_actor_steps=300, evaluation_period=100, target_return=1)
    config = TrainingConfig(fake_runs.Environment(), fake_runs.Agent(), run)
    prepare_workdir(folder / "one", config, __file__, resume=False)
    workdir = folder / "sweep"
    workdir.mkdir()
    text = (folder / "one" / "config.json").read_text()
    (workdir / "config_of_trials.json").write_text(text)
    code = f"import sys; sys.argv = ['', sys.argv[2].split('=')[1], *sys.argv[3:]]\n{TRAINER}"
    monkeypatch.setattr(child_run, "_START", code)
    return workdir, config
