"""The agent under diagnosis that learns from rollouts, with its first rollout."""

import contextlib
from pathlib import Path

import jax
import numpy as np

from mukoe.acting.rollouts import RolloutCollector
from mukoe.agents.extensions import rollout_of
from mukoe.diagnosis.subject import Subject, TransitionRecorder
from mukoe.layouts.common.experiment import ExperimentConfig
from mukoe.layouts.common.stored_run import open_run
from mukoe.types import EnvironmentSpec, PolicyParams, Sample


def collect_rollout(
    experiment: ExperimentConfig, environment_spec: EnvironmentSpec, workdir: Path | None = None
) -> Subject:
    """Collects one rollout, with the initial parameters or those of a run.

    Args:
      experiment: agent, environment and settings.
      environment_spec: spec of one environment.
      workdir: workdir of a run whose newest parameters act; None for none.
    """
    builder, run = experiment.builder, experiment.run
    declaration = rollout_of(builder)
    assert declaration is not None
    networks = builder.make_networks(environment_spec)
    policy = builder.make_policy(networks, environment_spec)
    if workdir is None:
        params = PolicyParams(networks.init(jax.random.PRNGKey(run.seed)), np.int32(0))
    else:
        params = open_run(workdir).params
    params = jax.device_put(params, jax.local_devices()[0])
    recorder = TransitionRecorder(
        experiment.environment_factory(run.seed, run.envs_per_actor, False)
    )
    with contextlib.closing(recorder):
        key = jax.random.PRNGKey(run.seed)
        rollout = RolloutCollector(recorder, policy, key, declaration).collect(params)
    rows = jax.tree.map(np.asarray, rollout.rows)
    batch_size = rows.mask.shape[0]
    probabilities = np.full(batch_size, 1.0 / batch_size, np.float32)
    return Subject(
        experiment=experiment,
        environment_spec=environment_spec,
        networks=networks,
        params=params.network,
        sample=Sample((), probabilities, rows, memory=rollout.memory),
        transitions=recorder.transitions,
    )
