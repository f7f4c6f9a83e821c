"""Trains an agent in one process, on the devices of one machine, or as a distributed program.

mukoe train --config=configs/cartpole.py --workdir=runs/cartpole
mukoe train --config=configs/ppo_cartpole.py --workdir=runs/ppo
mukoe train --env=LunarLander-v3 --workdir=runs/lunar_lander
mukoe train --config=configs/cartpole.py --workdir=runs/cartpole_seeds --seeds=0..4
"""

from pathlib import Path
from typing import NoReturn

from absl import flags

from mukoe.commands import training
from mukoe.commands.layout_flags import check_layout_flags
from mukoe.configuration import DEFINE_config, load_config, stored_launch
from mukoe.configuration.cli import add_earlier_flags
from mukoe.errors import UserError
from mukoe.layouts.common.config_choice import default_layout
from mukoe.layouts.common.experiment import TrainingConfig
from mukoe.layouts.common.reporting import typed_program
from mukoe.sweeps.seed_runs import first_flags, train_seeds
from mukoe.sweeps.seeds import parse_seeds
from mukoe.sweeps.side_by_side import environment_of, runs_at_once
from mukoe.system import available_cores

flags.adopt_module_key_flags(training)

CONFIG = DEFINE_config("configs/cartpole.py")
LAYOUT = flags.DEFINE_enum(
    "layout",
    None,
    ["local", "sebulba", "distributed"],
    "One process and thread, the devices of this machine, or a distributed program. By default "
    "'sebulba' for an agent that learns from rollouts, such as PPO, and 'local' for others.",
)
OFFLINE = flags.DEFINE_string(
    "offline",
    None,
    "Data to learn from without actors (local): the workdir of a run with a stored replay, "
    "minari:NAME for a Minari data set, or several with shares of the batches, such as "
    "runs/a:0.7,minari:cartpole/random-v0:0.3. Periods of the run then count learner steps.",
)
DEMONSTRATIONS = flags.DEFINE_string(
    "demonstrations",
    None,
    "Data that are sampled beside those of the actors (local, distributed), with "
    "--config.agent.replay.demonstration_fraction; sources as of --offline.",
)
ENV = flags.DEFINE_string(
    "env",
    None,
    "Name of an environment, such as Acrobot-v1, 2048 or dm_env_rpc://HOST:PORT, instead of the "
    "config's environment; mukoe environments lists all names. Without --config, a "
    "configuration is chosen for the environment.",
)
SEEDS = flags.DEFINE_string(
    "seeds",
    None,
    "Seeds that train side by side, each in WORKDIR/seed_N, such as 0..4 or 0,3,7; a report "
    "compares them at the end.",
)

# Flags that differ between the seeds.
_OF_SEEDS = ("workdir", "seed", "seeds", "resume")


def make_config() -> TrainingConfig:
    """Returns the configuration of the file or of the environment, with overrides and flags."""
    return training.load_config(CONFIG, ENV.value)


def main() -> int:
    """Trains and returns the exit status; the distributed layout exits the process."""
    training.require_workdir("runs/cartpole")
    if SEEDS.value is not None:
        return _train_seeds(SEEDS.value)
    config = make_config()
    return training.train(config, CONFIG, LAYOUT.value, OFFLINE.value, DEMONSTRATIONS.value)


def _train_seeds(text: str) -> int:
    """Trains the seeds as child processes and returns the exit status."""
    if training.SEED.value is not None:
        raise UserError("--seed and --seeds exclude each other: leave one of them out")
    if training.LAUNCHER.value == "ray" or flags.FLAGS.lp_launch_type == "vertex_ai":
        raise UserError("--seeds trains on this machine: leave it out for Ray and Vertex AI")
    seeds, resume = parse_seeds(text), training.RESUME.value
    workdir = Path(training.WORKDIR.value or "").expanduser().resolve()
    given = _given_flags()
    config, layout = _seeds_config(workdir, seeds) if resume else (make_config(), None)
    layout = LAYOUT.value or layout or default_layout(config)
    if not resume:
        check_layout_flags(flags.FLAGS, layout, CONFIG.overrides)
    cores = available_cores()
    at_once = min(len(seeds), runs_at_once(config, layout, cores))
    steps = training.MAX_ACTOR_STEPS.value
    return train_seeds(
        workdir,
        seeds,
        given,
        CONFIG.overrides | ({} if steps is None else {"run.max_actor_steps": str(steps)}),
        steps or config.run.max_actor_steps,
        resume,
        f"{typed_program()} --resume --seeds={text} --workdir={workdir}",
        at_once,
        environment_of(cores, at_once),
    )


def _seeds_config(workdir: Path, seeds: tuple[int, ...]) -> tuple[TrainingConfig, str | None]:
    """Returns configuration and layout of the first seed that has a run, or of the first command.

    Raises:
      UserError: there is neither.
    """
    for seed in seeds:
        folder = workdir / f"seed_{seed}"
        if (folder / "config.json").exists():
            return load_config(folder), stored_launch(folder).get("layout")
    add_earlier_flags(first_flags(workdir))
    flags.FLAGS["resume"].value = False  # `make_config` would look for a run in the workdir.
    return make_config(), None


def _given_flags() -> list[str]:
    """Returns the flags of the command line that are the same for all seeds."""
    names = [name for name in flags.FLAGS if name not in _OF_SEEDS and flags.FLAGS[name].present]
    given = [flags.FLAGS[name].serialize() for name in dict.fromkeys(names)]
    return given + [f"--config.{field}={value}" for field, value in CONFIG.overrides.items()]


def run() -> NoReturn:
    """Runs `main` as the program."""
    training.run(main, make_config)
