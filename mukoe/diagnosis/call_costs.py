"""Measured costs of a policy call and of an update, for other sizes than those of a run."""

import contextlib
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from mukoe.acting.runners import LocalRunner
from mukoe.agents.extensions import rollout_of
from mukoe.configuration.overrides import apply_overrides
from mukoe.layouts.common.experiment import ExperimentConfig, TrainingConfig
from mukoe.layouts.common.learner import make_learner
from mukoe.observability.advice.changes import Ratios
from mukoe.replay.declaration import row_spec, zero_sample
from mukoe.types import EnvironmentSpec, PolicyParams

_REPEATS = 7


class CallCosts:
    """Measures the policy and the update of a configuration, each with the sizes of a change.

    Parameters are initial ones and samples are zeros, on which the time of a call does not depend.
    """

    def __init__(self, config: TrainingConfig):
        """Takes the configuration of a run; the first measurement compiles."""
        self._config = config
        self._costs: dict[tuple[str, str, int], float] = {}

    def ratios(self, overrides: Mapping[str, str]) -> Ratios:
        """Returns the costs per agent step with overridden fields, over those without."""
        before, after = self._seconds({}), self._seconds(overrides)
        return Ratios(after[0] / before[0], after[1] / before[1])

    def _seconds(self, overrides: Mapping[str, str]) -> tuple[float, float]:
        """Returns the seconds of policy and learner, up to a constant, per agent step."""
        config = apply_overrides(self._config, overrides)
        experiment = config.make_experiment()
        with contextlib.closing(experiment.environment_factory(0, 1, False)) as environment:
            spec = environment.spec
        # A batch changes no policy, and a number of environments no update.
        network = str(getattr(config.agent, "network", config.agent))
        num_envs = experiment.run.envs_per_actor
        policy = self._once(
            ("policy", network, num_envs), lambda: policy_seconds(experiment, spec) / num_envs
        )
        if rollout_of(experiment.builder):
            return policy, 1.0
        batch_size = experiment.builder.replay.batch_size
        update = self._once(
            ("update", network, batch_size), lambda: update_seconds(experiment, spec) / batch_size
        )
        return policy, update

    def _once(self, key: tuple[str, str, int], measure: Callable[[], float]) -> float:
        """Returns a measurement, made once for all configurations with the same key."""
        if key not in self._costs:
            self._costs[key] = measure()
        return self._costs[key]


def policy_seconds(experiment: ExperimentConfig, environment_spec: EnvironmentSpec) -> float:
    """Returns the least seconds of a policy call over the environments of an actor."""
    builder, num_envs = experiment.builder, experiment.run.envs_per_actor
    networks = builder.make_networks(environment_spec)
    policy = builder.make_policy(networks, environment_spec)
    params = PolicyParams(networks.init(jax.random.PRNGKey(0)), np.int32(0))
    runner = LocalRunner(policy, _Fixed(params), jax.random.PRNGKey(0), num_envs)
    with contextlib.closing(experiment.environment_factory(0, num_envs, False)) as environment:
        timestep = environment.reset()
    return _least(lambda: runner.submit(timestep.observation, timestep.first())())


def update_seconds(experiment: ExperimentConfig, environment_spec: EnvironmentSpec) -> float:
    """Returns the least seconds of an update by a batch of replay."""
    builder = experiment.builder
    networks = builder.make_networks(environment_spec)
    policy = builder.make_policy(networks, environment_spec)
    sample = zero_sample(builder.replay, row_spec(environment_spec, policy.extras_spec))
    learner = make_learner(
        experiment, environment_spec, networks, iter(()), replay=None, counter=None
    )
    return _least(lambda: learner.compile(sample))


def _least(call: Callable[[], Any]) -> float:
    """Returns the least seconds of a call, without the first one."""
    seconds = []
    for _ in range(_REPEATS + 1):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:])


class _Fixed:
    """Source of parameters that stay the same."""

    def __init__(self, params: PolicyParams):
        self.params = params

    def update(self, wait: bool = False) -> None:
        del wait
