"""Synthetic workdirs, written by the loggers of real runs."""

import dataclasses
from pathlib import Path

import numpy as np

from mukoe.configuration import prepare_workdir
from mukoe.observability.loggers.csv_logger import CsvLogger
from mukoe.observability.loggers.wall_time import WallTime

BATCH_SIZE = 32
SECONDS_PER_STEP = 0.3


@dataclasses.dataclass(frozen=True)
class Environment:
    env: str = "CartPole-v1"


@dataclasses.dataclass(frozen=True)
class Replay:
    batch_size: int = BATCH_SIZE


@dataclasses.dataclass(frozen=True)
class Search:
    num_simulations: int = 16


@dataclasses.dataclass(frozen=True)
class Agent:
    replay: Replay = Replay()
    search: Search = Search()


@dataclasses.dataclass(frozen=True)
class RunConfig:
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class Config:
    environment: Environment = Environment()
    agent: Agent = Agent()
    run: RunConfig = RunConfig()


def make_run(
    workdir: Path,
    seed: int = 0,
    num_simulations: int = 16,
    env: str = "CartPole-v1",
    returns: tuple[float, ...] = (10.0, 50.0, 40.0),
    num_actors: int = 2,
    rows: int = 8,
) -> Path:
    """Makes the workdir of a run that evaluated every 1000 steps, with those returns."""
    config = Config(Environment(env), Agent(search=Search(num_simulations)), RunConfig(seed=seed))
    prepare_workdir(workdir, config, __file__, resume=False)
    steps = np.linspace(100, 1000 * len(returns), rows).astype(int)
    random = np.random.default_rng(seed)
    write_log(workdir, "learner", [learner_row(int(step), random) for step in steps])
    for actor in range(num_actors):
        write_log(workdir, f"actor_{actor}", [actor_row(int(step), random) for step in steps])
    evaluations = [
        {**counts(1000 * (i + 1)), "episode_return": value, "episode_length": value}
        for i, value in enumerate(returns)
    ]
    if evaluations:
        write_log(workdir, "evaluator", evaluations)
    return workdir


def write_log(workdir: Path, label: str, rows: list[dict]) -> Path:
    """Writes rows by the loggers that programs use; time follows the steps."""
    path = workdir / "logs" / f"{label}.csv"
    now = [0.0]
    logger = WallTime(CsvLogger(path, "actor_steps"), clock=lambda: now[0])
    for row in rows:
        now[0] = row.get("actor_steps", 0) * SECONDS_PER_STEP
        logger.write(row)
    logger.close()
    return path


def counts(steps: int) -> dict[str, int]:
    return {
        "environment_frames": 4 * steps,
        "actor_steps": steps,
        "episodes": steps // 25,
        "learner_steps": steps // 8,
    }


def learner_row(steps: int, random: np.random.Generator) -> dict[str, float]:
    loss = 12 * np.exp(-steps / 1500) + random.uniform()
    return {
        **counts(steps),
        "gradient_norm": random.uniform(2, 4),
        "loss": loss,
        "policy_loss": loss / 3,
        "reward_loss": loss / 4,
        "value_loss": loss / 2,
        "root_value": steps / 100,
        "value_target": steps / 90,
        "curiosity": random.normal(),
        "time_data": 0.25,
        "time_update": 0.75,
    }


def actor_row(steps: int, random: np.random.Generator) -> dict[str, float]:
    return {
        **counts(steps),
        "steps_per_second": 58.0 + random.normal(),
        "parameter_age": random.integers(10),
        "prior_entropy": 2.0 - steps / 5000,
        "search_depth_max": 7.0,
        "search_depth_mean": 3.0 + random.uniform(),
        "search_entropy": 1.5 - steps / 5000,
        "search_prior_kl": random.uniform(),
        "time_environment": 0.2,
        "time_policy": 0.7,
        "time_other": 0.1,
        "episode_return": steps / 100 + random.normal(),
        "episode_return_min": steps / 200,
        "episode_return_max": steps / 50,
        "episode_length": steps / 100,
    }
