"""Evaluating in the course of a run, the same in every layout."""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax

from mukoe.acting.loop import EnvironmentLoop
from mukoe.acting.variables import VariableClient
from mukoe.layouts.experiment import ExperimentConfig
from mukoe.layouts.reporting import summarise
from mukoe.learning.checkpoint import Checkpointer
from mukoe.observability.loggers import make_logger
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
        """
        self._experiment = experiment
        self._spec = environment_spec
        self._variables = variables
        self._seed = seed
        self._logger = make_logger(workdir, "evaluator", "actor_steps")
        self._checkpointer = checkpointer
        self._counter = counter
        self._report_best()

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

    @functools.cached_property
    def _loop(self) -> EnvironmentLoop:
        builder, num_envs = self._experiment.builder, self._experiment.run.evaluation_episodes
        actor = builder.make_actor(
            jax.random.PRNGKey(self._seed),
            builder.make_policy(builder.make_networks(self._spec), self._spec, evaluation=True),
            self._spec,
            self._variables,
            num_envs=num_envs,
        )
        environment = self._experiment.environment_factory(self._seed, num_envs, True)
        return EnvironmentLoop(environment, actor)

    def _report_best(self) -> None:
        if (best := self._checkpointer.best_score()) is not None:
            self._counter.report(best_return=best)
