"""Searches per second of a reanalyser, and updates per second of a learner with reanalysis.

python benchmarks/reanalyse.py

A reanalyser is on core 0; the Reverb server, and a thread that reads what it writes, are on
core 1. Its limit is the same jitted search on one batch, in turns. Learners are on all cores, with
the replay of their process; their limit is the learner without reanalysis, in turns.
"""

import dataclasses
import itertools
import threading
from collections.abc import Callable, Mapping
from typing import Any

import dm_env
import jax
import numpy as np
from absl import flags
from measure import (
    MEASURED_CORE,
    OTHER_CORE,
    OUTPUT,
    TINY,
    Report,
    Row,
    interleaved,
    pin,
    prepare,
    seconds_per_call,
    start_child,
)

from mukoe.configuration import load_config_file, run_main
from mukoe.layouts.common.experiment import ExperimentConfig
from mukoe.layouts.common.reanalysis import ReplayReanalyser, make_replay_reanalyser
from mukoe.learning.learner import Learner
from mukoe.learning.reanalysis import ReanalyseConfig
from mukoe.replay.declaration import row_spec
from mukoe.replay.handle import Replay
from mukoe.replay.in_process import InProcessReplay
from mukoe.types import EnvironmentSpec, PolicyParams

CONFIG = flags.DEFINE_string("config", "benchmarks/gumbel_atari.py", "Config of a planning agent.")
PART = flags.DEFINE_enum("part", None, ["reanalyser", "learner"], "Part to measure; None for both.")

STEPS, UPDATES, SEQUENCES = 600, 4, 16
LEARNERS = {
    "fraction 0.5": ReanalyseConfig(mode="learner", fraction=0.5),
    "fraction 1": ReanalyseConfig(mode="learner", fraction=1.0),
    "values only": ReanalyseConfig(mode="learner", fraction=1.0, search="values"),
    "85 rewritten values": ReanalyseConfig(mode="replay", rows_per_update=85, search="values"),
}


def make_experiment(reanalyse: ReanalyseConfig) -> ExperimentConfig:
    """Returns the experiment of the config with stored bootstraps and this reanalysis."""
    config = load_config_file(CONFIG.value)
    agent = config.agent
    agent = dataclasses.replace(
        agent,
        loss=dataclasses.replace(agent.loss, bootstrap="search"),
        replay=dataclasses.replace(
            agent.replay, capacity=2 * STEPS, min_size=STEPS // 4, samples_per_insert=None
        ),
        reanalyse=reanalyse,
    )
    return dataclasses.replace(config, agent=agent).make_experiment()


def environment_spec(experiment: ExperimentConfig) -> EnvironmentSpec:
    """Returns the spec of one environment."""
    environment = experiment.environment_factory(0, 1, False)
    environment.close()
    return environment.spec


def fill(replay: Replay, spec: EnvironmentSpec, extras: Mapping[str, Any]) -> None:
    """Adds an endless episode of random observations."""
    rng, adder = np.random.default_rng(0), replay.make_adder()

    def observe() -> Any:
        return jax.tree.map(
            lambda one: rng.integers(0, 2, one.shape).astype(one.dtype), spec.observations
        )

    stored = {name: np.zeros(one.shape, one.dtype) for name, one in extras.items()}
    adder.add_first(dm_env.restart(observe()))
    for _ in range(STEPS):
        adder.add(np.int32(0), dm_env.transition(0.0, observe()), stored)


def measure_reanalyser(report: Report) -> None:
    """Adds the row of a reanalyser beside its search."""
    import reverb

    from mukoe.replay.reverb import ReverbReplay, make_tables

    experiment = make_experiment(ReanalyseConfig(mode="nodes", fraction=1.0))
    spec, builder = environment_spec(experiment), experiment.builder
    networks = builder.make_networks(spec)
    extras = builder.make_policy(networks, spec).extras_spec
    rows = row_spec(spec, extras)
    pin(OTHER_CORE)
    server = reverb.Server(make_tables(builder.replay, rows), port=None)
    replay = ReverbReplay(reverb.Client(f"localhost:{server.port}"), builder.replay, rows)
    fill(replay, spec, extras)
    learned = replay.make_dataset()
    threading.Thread(target=drain, args=(learned,), daemon=True).start()
    pin(MEASURED_CORE)
    samples, writer = replay.make_reanalyser_dataset(SEQUENCES), replay.make_reanalysed_writer()
    renew = jax.jit(builder.make_renew(networks, spec))
    params = PolicyParams(networks.init(jax.random.PRNGKey(0)), np.int32(0))
    keys = map(jax.random.PRNGKey, itertools.count())
    first = next(samples)
    targets = load_config_file(CONFIG.value).agent.targets
    states = min(2 * (targets.unroll_steps + 1), targets.unroll_steps + targets.td_steps + 1)
    searches = SEQUENCES * states

    def search(sample: Any) -> Any:
        placed = sample._replace(keys=(), learner_steps=params.learner_steps)
        renewed, _ = renew(params, next(keys), placed)
        return jax.tree.map(np.asarray, renewed.rows)

    def whole() -> None:
        sample = next(samples)
        writer.write(sample._replace(rows=search(sample)))

    whole()
    rates = interleaved(
        {
            "node": lambda: searches / seconds_per_call(whole, at_least=1.0),
            "bare": lambda: searches / seconds_per_call(lambda: search(first), at_least=1.0),
        }
    )
    for each in (samples, learned, writer):
        each.close()
    note = f"{SEQUENCES} sequences a search, {searches} states; server and reader on core 1"
    report.add(
        Row(
            "reanalyse",
            "reanalyser",
            "searches/s",
            rates["node"],
            "bare jitted search",
            rates["bare"],
            0.85,
            note,
        )
    )


def drain(dataset: Any) -> None:
    """Reads all samples of a dataset until it is closed."""
    while next(dataset, None) is not None:
        pass


def measure_learners(report: Report) -> None:
    """Adds the rows of learners with reanalysis beside one without."""
    names = ["none", *LEARNERS]
    reanalyses = [ReanalyseConfig(), *LEARNERS.values()]
    made = {name: make_learner(each) for name, each in zip(names, reanalyses, strict=True)}
    updates = 1 if TINY.value else UPDATES

    def rate(learner: Learner, reanalyser: ReplayReanalyser | None) -> float:
        def run() -> None:
            for _ in range(updates):
                learner.step()
                if reanalyser is not None:
                    reanalyser.step()
            jax.block_until_ready(learner.device_variables())

        return updates / seconds_per_call(run, at_least=1.0)

    functions: dict[str, Callable[[], float]] = {}
    for name, parts in made.items():
        rate(*parts)  # Compiles.
        functions[name] = lambda parts=parts: rate(*parts)
    rates = interleaved(functions)
    for name in LEARNERS:
        report.add(
            Row(
                "reanalyse",
                f"learner, {name}",
                "updates/s",
                rates[name],
                "learner without reanalysis",
                rates["none"],
                note=f"{CONFIG.value}, all cores",
            )
        )


def make_learner(reanalyse: ReanalyseConfig) -> tuple[Learner, ReplayReanalyser | None]:
    """Returns a learner of a filled replay, and the reanalyser of mode `replay`."""
    experiment = make_experiment(reanalyse)
    spec, builder = environment_spec(experiment), experiment.builder
    networks = builder.make_networks(spec)
    extras = builder.make_policy(networks, spec).extras_spec
    replay = InProcessReplay(builder.replay, row_spec(spec, extras), seed=0, num_streams=1)
    fill(replay, spec, extras)
    learner = builder.make_learner(
        jax.random.PRNGKey(0), networks, replay.make_dataset(), spec, replay=replay
    )
    return learner, make_replay_reanalyser(experiment, spec, networks, replay, learner)


def main() -> None:
    if PART.value is None:
        passed = [f"--tiny={TINY.value}", f"--config={CONFIG.value}"]
        passed += [f"--output={OUTPUT.value}"] if OUTPUT.value else []
        for part in PARTS:
            if start_child([__file__, f"--part={part}", *passed]).wait(timeout=1800):
                raise SystemExit(1)
        return
    alone = PART.value == "reanalyser"
    prepare(MEASURED_CORE if alone else None, threads=1 if alone else 0)
    report = Report()
    PARTS[PART.value](report)
    report.close()


PARTS = {"reanalyser": measure_reanalyser, "learner": measure_learners}


if __name__ == "__main__":
    run_main(main)
