"""Environment steps per second of PPO in the layout sebulba, and per second of CPU time.

python benchmarks/sebulba.py

The CPU is split into two devices, one for acting and one for learning. `same work`: Breakout, the
IMPALA network, 2 actor threads with 12 environments each, 20 steps, 1 epoch of 4 minibatches; its
limit is the network alone. `overlap`: CartPole, compared with the slower of acting alone and
learning alone. The other cases vary the number of environments and show the threads' shares of
time.
"""

import dataclasses
import os
import tempfile
import time
from pathlib import Path

import jax
import jax.numpy as jnp
from measure import TINY, Report, Row, prepare

from mukoe.configuration import load_config_file, run_main
from mukoe.layouts.common.experiment import SebulbaConfig, TrainingConfig, check_experiment
from mukoe.networks.history import input_spec

CONFIGS = Path(__file__).parents[1] / "configs"
SECONDS = 10.0
RUNS = 3
TIMEOUT_SECONDS = 600.0
DEVICES = SebulbaConfig(actor_devices=(0,), learner_devices=(1,), threads_per_device=2)


def make_config(name: str, envs_per_actor: int, **agent) -> TrainingConfig:
    """Returns the config of a file for two devices, without evaluations and checkpoints."""
    config = load_config_file(str(CONFIGS / name))
    run = dataclasses.replace(
        config.run,
        max_actor_steps=10**9,
        envs_per_actor=envs_per_actor,
        evaluation_period=0,
        checkpoint_seconds=1e6,
        log_seconds=1e6,
    )
    agent = dataclasses.replace(config.agent, anneal_lr=False, **agent)
    threads = config.sebulba.threads_per_device
    devices = dataclasses.replace(DEVICES, threads_per_device=threads)
    return dataclasses.replace(config, agent=agent, run=run, sebulba=devices)


def wait_for_steps(run, steps: int) -> None:
    """Waits until the learner has used `steps` agent steps.

    Raises:
      RuntimeError: the wait times out.
      BaseException: the exception that ended the run.
    """
    end = time.monotonic() + TIMEOUT_SECONDS
    while run.counter.get_counts().get("actor_steps", 0) < steps:
        if run.wait(0.02):
            run.close()
        if time.monotonic() > end:
            raise RuntimeError(f"{steps} steps took more than {TIMEOUT_SECONDS:.0f} s")


def now(run) -> tuple[int, float, float]:
    """Returns agent steps, wall-clock time and CPU time at the end of a round."""
    wait_for_steps(run, run.counter.get_counts()["actor_steps"] + 1)
    return run.counter.get_counts()["actor_steps"], time.perf_counter(), time.process_time()


def leave_out_updates(run) -> None:
    """Replaces the learner's update by one that only takes the next batch."""
    dataset = run.updates.dataset

    def step() -> dict[str, float]:
        next(dataset)
        return {"loss": 0.0}

    run.learner.step = step


class Repeating:
    """Collector that acts once, and then returns the same rollout at every call."""

    def __init__(self, collector):
        self.timings = collector.timings
        self._collector = collector
        self._rollout = None

    def collect(self, params):
        """Returns the rollout of the first round."""
        self._rollout = self._rollout or self._collector.collect(params)
        return self._rollout


def rates(
    config: TrainingConfig, seconds: float, part: str = "both", runs: int = RUNS
) -> tuple[list, list, str]:
    """Runs a config.

    Args:
      config: configuration of the run.
      seconds: duration of each measurement.
      part: part to measure; 'acting' leaves out the updates, 'learning' repeats the first batch.
      runs: number of measurements.

    Returns:
      Steps per second and per second of CPU time, one for each measurement, and the shares of time.
    """
    from mukoe.layouts import sebulba

    experiment = config.make_experiment()
    with tempfile.TemporaryDirectory(prefix="mukoe-benchmark-") as folder:
        run = sebulba.make_run(experiment, sebulba.check(experiment), Path(folder))
        if part == "acting":
            leave_out_updates(run)
        elif part == "learning":
            run.collectors = [Repeating(collector) for collector in run.collectors]
        run.start()
        batch = config.agent.rollout_steps * config.run.envs_per_actor
        wait_for_steps(run, 4 * batch * config.sebulba.threads_per_device)
        per_second, per_cpu_second = [], []
        for _ in range(1 if TINY.value else runs):
            began = now(run)
            run.wait(seconds)
            steps, wall, cpu = (b - a for a, b in zip(began, now(run), strict=True))
            per_second.append(steps / wall)
            per_cpu_second.append(steps / cpu)
        run.close()
        return per_second, per_cpu_second, run.time_line() or ""


def same_work() -> TrainingConfig:
    """Returns the configuration with which the other implementations were measured."""
    return make_config("ppo_atari.py", 12, rollout_steps=20, epochs=1, minibatches=4)


def network_alone(config: TrainingConfig, seconds: float) -> float:
    """Returns the steps per second of CPU time of the network alone.

    The network is applied once per step to choose actions, and differentiated once.
    """
    experiment = config.make_experiment()
    spec = check_experiment(experiment)
    networks = experiment.builder.make_networks(spec)
    envs, steps = config.run.envs_per_actor, config.agent.rollout_steps
    threads, minibatches = config.sebulba.threads_per_device, config.agent.minibatches
    shape = input_spec(spec.observations, config.agent.history).shape
    acted = jnp.ones((envs, *shape))
    learned = jnp.ones((threads * envs * steps // minibatches, *shape))
    params = networks.init(jax.random.PRNGKey(0))
    apply = jax.jit(networks.apply)
    gradient = jax.jit(jax.grad(lambda *inputs: sum(map(jnp.sum, networks.apply(*inputs)))))

    def play_and_learn() -> None:
        jax.block_until_ready([apply(params, acted) for _ in range(threads * steps)])
        jax.block_until_ready([gradient(params, learned) for _ in range(minibatches)])

    play_and_learn()
    began, rounds, end = time.process_time(), 0, time.monotonic() + seconds
    while time.monotonic() < end:
        play_and_learn()
        rounds += 1
    return rounds * threads * envs * steps / (time.process_time() - began)


def measure_same_work(report: Report, config: TrainingConfig, seconds: float) -> None:
    """Adds the rows of the comparison with other implementations."""
    wall, cpu, alone = [], [], []
    for _ in range(RUNS):
        per_second, per_cpu_second, shares = rates(config, seconds, runs=1)
        wall += per_second
        cpu += per_cpu_second
        alone.append(network_alone(config, seconds))
    report.add(Row("sebulba", "same work", "steps/s", wall, note=shares))
    report.add(Row("sebulba", "same work", "steps/CPU s", cpu, "the network alone", alone))


def measure(report: Report, case: str, config: TrainingConfig, seconds: float) -> None:
    """Adds the rows of a config."""
    per_second, per_cpu_second, shares = rates(config, seconds)
    report.add(Row("sebulba", case, "steps/s", per_second, note=shares))
    report.add(Row("sebulba", case, "steps/CPU s", per_cpu_second))


def measure_overlap(report: Report, config: TrainingConfig, seconds: float) -> None:
    """Adds the row of acting and learning together, compared with the slower of the two alone."""
    measured: dict[str, list[float]] = {"acting": [], "learning": [], "both": []}
    for _ in range(1 if TINY.value else 2 * RUNS - 1):
        for part, values in measured.items():
            values += rates(config, seconds / 2, part, runs=1)[0]
    both = measured.pop("both")
    slower = min(measured, key=lambda part: sum(measured[part]))
    against = f"{slower} alone"
    report.add(Row("sebulba", "overlap", "steps/s", both, against, measured[slower], 0.9))


def main() -> None:
    flags = os.environ.get("XLA_FLAGS", "")
    os.environ["XLA_FLAGS"] = (
        f"{flags} --xla_force_host_platform_device_count=2 --xla_backend_optimization_level=1"
    )
    prepare(threads=0)
    report, seconds = Report(), 1.0 if TINY.value else SECONDS
    if not TINY.value:
        measure_same_work(report, same_work(), seconds)
    measure_overlap(report, make_config("ppo_cartpole.py", 8), seconds)
    for name in ("cartpole", "minatar_breakout"):
        for num_envs in (8,) if TINY.value else (8, 32, 128):
            config = make_config(f"ppo_{name}.py", num_envs)
            threads = config.sebulba.threads_per_device
            measure(report, f"{name}, {threads} x {num_envs} environments", config, seconds)
    report.close()


if __name__ == "__main__":
    run_main(main)
