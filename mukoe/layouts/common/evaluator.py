"""Evaluating in the course of a run, the same in every layout."""

import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from mukoe.acting.loop import EnvironmentLoop
from mukoe.acting.runners import LocalRunner
from mukoe.acting.variables import VariableClient
from mukoe.environments.recording import RecordedVector
from mukoe.layouts.common.experiment import ExperimentConfig
from mukoe.layouts.common.reporting import summarise
from mukoe.layouts.common.run_state import Parts, pack, unpack
from mukoe.learning.checkpoint import Checkpointer
from mukoe.observability.loggers.factory import make_logger
from mukoe.types import EnvironmentSpec


class Evaluator:
    """Plays whole episodes with the evaluation policy, and keeps the best parameters."""

    def __init__(
        self,
        experiment: ExperimentConfig,
        environment_spec: EnvironmentSpec,
        variables: VariableClient,
        seed: int,
        workdir: Path,
        checkpointer: Checkpointer,
        counter: Any,
        exact_resume_steps: int = 0,
        stored: Mapping[str, np.ndarray] = types.MappingProxyType({}),
    ):
        """Reports the best return so far; environments are made by the first evaluation.

        Args:
          experiment: agent, environment and settings.
          environment_spec: of one environment.
          variables: where the parameters come from.
          seed: of the environments and the actor.
          workdir: where the log goes.
          checkpointer: keeps the best parameters.
          counter: a `Counter`, or a remote client with its methods; gets the reports.
          exact_resume_steps: up to which `state` has what it takes to go on bit for bit.
          stored: the `state` to go on from, where it has that.
        """
        self._experiment = experiment
        self._spec = environment_spec
        self._variables = variables
        self._seed = seed
        self._logger = make_logger(workdir, "evaluator", "actor_steps")
        self._checkpointer = checkpointer
        self._counter = counter
        self._exact_resume_steps = exact_resume_steps
        self._parts: tuple[RecordedVector, LocalRunner, EnvironmentLoop] | None = None
        self._report_best()
        if environment_state := unpack(stored, "environment"):
            environment, runner, _ = self._make()
            runner.restore(unpack(stored, "runner"))
            if environment.repeat(environment_state) is None:
                self._parts = None

    def evaluate(
        self, counts: Mapping[str, int], should_stop: Callable[[], bool] = lambda: False
    ) -> bool:
        """Plays the episodes of one evaluation, unless it should stop before.

        Args:
          counts: of the run, for the log.
          should_stop: asked before every step.

        Returns:
          Whether the target return was reached.
        """
        run = self._experiment.run
        episodes = self._loop.run_episodes(run.evaluation_episodes, should_stop)
        if len(episodes) < run.evaluation_episodes:
            return False
        summary = summarise(episodes)
        score = summary["episode_return"]
        params = self._variables.params
        steps = int(params.learner_steps)
        self._logger.write({**counts, "learner_steps": steps, **summary, **self._loop.statistics})
        self._checkpointer.save_best(steps, params, score, {"counts": dict(counts)})
        self._report_best()
        return run.target_return is not None and score >= run.target_return

    def close(self) -> None:
        """Closes the log."""
        self._logger.close()

    def state(self) -> Parts:
        """Returns what the next evaluation depends on, beside the parameters and the seed."""
        if self._parts is None:
            return {}
        environment, runner, _ = self._parts
        return pack(environment=environment.state(), runner=runner.state())

    @property
    def _loop(self) -> EnvironmentLoop:
        return self._make()[2]

    def _make(self) -> tuple[RecordedVector, LocalRunner, EnvironmentLoop]:
        if self._parts is None:
            builder, num_envs = self._experiment.builder, self._experiment.run.evaluation_episodes
            networks = builder.make_networks(self._spec)
            policy = builder.make_policy(networks, self._spec, evaluation=True)
            key = jax.random.PRNGKey(self._seed)
            runner = LocalRunner(policy, self._variables, key, num_envs)
            actor = builder.make_actor(key, policy, self._spec, runner, num_envs=num_envs)
            environment = RecordedVector(
                self._experiment.environment_factory(self._seed, num_envs, True),
                self._exact_resume_steps,
            )
            self._parts = environment, runner, EnvironmentLoop(environment, actor)
        return self._parts

    def _report_best(self) -> None:
        if (best := self._checkpointer.best_score()) is not None:
            self._counter.report(best_return=best)
