"""Evaluation during a run, the same in every layout."""

import contextlib
import itertools
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from mukoe.acting.loop import EnvironmentLoop, PlayedEpisodes
from mukoe.acting.runners import LocalRunner
from mukoe.acting.variables import VariableClient
from mukoe.environments.recording import RecordedVector
from mukoe.environments.repetition import RepetitionDetector
from mukoe.environments.tasks import task_returns
from mukoe.layouts.common.actor_log import summarize
from mukoe.layouts.common.experiment import EpisodeDrawer, ExperimentConfig
from mukoe.layouts.common.resume_limits import ResumeLimitError, ResumeLimits
from mukoe.layouts.common.run_state import NamedArrays, pack, unpack
from mukoe.layouts.common.shutdown import target_return_reached
from mukoe.learning.checkpoint import Checkpointer
from mukoe.observability.loggers.factory import make_logger
from mukoe.types import EnvironmentSpec, EpisodeResult

_LOGGER = logging.getLogger(__name__)

# Name of the array that marks the state before an interrupted evaluation.
_INTERRUPTED = "interrupted"


class _ActingParts(NamedTuple):
    environment: RecordedVector
    detector: RepetitionDetector
    runner: LocalRunner
    loop: EnvironmentLoop


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
        blocks_run: bool = False,
        steps_key: str = "actor_steps",
    ):
        """Reports the best return so far; the first evaluation makes the environments.

        Args:
          experiment: agent, environment and settings.
          environment_spec: spec of one environment.
          variables: client of the parameters.
          seed: seed of the environments and of the actor.
          workdir: directory of the run.
          checkpointer: checkpoints of the run, with the best parameters.
          counter: a `Counter`, or a remote client with its methods, which receives the reports.
          exact_resume_steps: number of environment steps up to which `state` suffices to
            continue bit for bit.
          blocks_run: True if the run waits for each evaluation, which is then its phase.
          steps_key: count that orders the rows of the log.
        """
        self._experiment = experiment
        self._spec = environment_spec
        self._variables = variables
        self._seed = seed
        self._logger = make_logger(workdir, "evaluator", steps_key, loggers=experiment.run.loggers)
        self._checkpointer = checkpointer
        self._counter = counter
        self._exact_resume_steps = exact_resume_steps
        self._blocks_run = blocks_run
        self._steps_key = steps_key
        self._workdir = workdir
        self._finished_evaluations = 0
        self._drawer = self._make_drawer()
        self._lazy_parts: _ActingParts | None = None
        # State at the start of an interrupted evaluation, which a resumed run repeats.
        self._interrupted: NamedArrays | None = None
        self._report_best()

    def evaluate(
        self, counts: Mapping[str, int], should_stop: Callable[[], bool] = lambda: False
    ) -> bool:
        """Plays the episodes of one evaluation.

        Args:
          counts: counts of the run, for the log.
          should_stop: called before every step; True ends the evaluation without a result.

        Returns:
          Whether the target return was reached.
        """
        run = self._experiment.run
        before = self.state() if self._interrupted is None else self._interrupted
        parts = self._parts()
        loop = parts.loop
        finished = itertools.count(1)

        def report(result: EpisodeResult) -> None:
            del result
            self._report_episodes((next(finished), run.evaluation_episodes))

        self._report_episodes((0, run.evaluation_episodes))
        start = time.monotonic()
        played = loop.run_episodes(
            run.evaluation_episodes, should_stop, report, run.evaluation_max_steps
        )
        self._report_episodes(None)
        if len(played.results) < run.evaluation_episodes:
            self._interrupted = before
            return False
        self._interrupted = None
        results = parts.detector.without_repetitions(played.results)
        summary = summarize(results) | task_returns(self._experiment.environment_factory, results)
        summary["evaluation_seconds"] = time.monotonic() - start
        if played.cut_off:
            warn_of_cut_off(played, "run.evaluation_max_steps", run.evaluation_max_steps)
            summary["cut_off_episodes"] = played.cut_off
        mean_return = summary["episode_return"]
        params = self._variables.params
        steps = int(params.learner_steps)
        self._logger.write({**counts, "learner_steps": steps, **summary, **loop.statistics})
        self._checkpointer.save_best(steps, params, mean_return, {"counts": dict(counts)})
        self._report_best()
        reached = target_return_reached(run, mean_return)
        if reached:
            self._counter.report(reached_return=mean_return)
        self._finished_evaluations += 1
        self._draw_if_due({**counts, "learner_steps": steps}, should_stop)
        return reached

    @property
    def is_interrupted(self) -> bool:
        """True if the last evaluation was stopped, possibly in an earlier process."""
        return self._interrupted is not None

    def close(self) -> None:
        """Closes the log and the environments."""
        self._logger.close()
        if self._drawer is not None:
            self._drawer.close()
        if self._lazy_parts is not None:
            self._lazy_parts.environment.close()

    def state(self) -> NamedArrays:
        """Returns the state of environments and policy; empty before the first evaluation.

        After an interrupted evaluation, it is the state before that evaluation.
        """
        if self._interrupted is not None:
            return {**self._interrupted, _INTERRUPTED: np.array(True)}
        if self._lazy_parts is None:
            return {}
        environment, _, runner, _ = self._lazy_parts
        return pack(environment=environment.state(), runner=runner.state())

    def restore(self, state: Mapping[str, np.ndarray], limits: ResumeLimits) -> None:
        """Restores a `state`; an evaluator whose environments diverge starts anew.

        Args:
          state: result of `state`.
          limits: progress and limit of the repetition of actions.

        Raises:
          InterruptedResumeError: the process has to stop.
        """
        if _INTERRUPTED in state:
            self._interrupted = {n: array for n, array in state.items() if n != _INTERRUPTED}
        environment_state = unpack(state, "environment")
        if not environment_state:
            return
        environment, _, runner, _ = self._parts()
        runner.restore(unpack(state, "runner"))
        with contextlib.ExitStack() as unused:
            unused.callback(self._drop_parts)
            try:
                if environment.restore(environment_state, limits) is not None:
                    unused.pop_all()
            except ResumeLimitError as error:
                _LOGGER.warning(f"{error}: evaluations start with new episodes")

    def _parts(self) -> _ActingParts:
        if self._lazy_parts is None:
            builder, num_envs = self._experiment.builder, self._experiment.run.evaluation_episodes
            networks = builder.make_networks(self._spec)
            policy = builder.make_policy(networks, self._spec, evaluation=True)
            key = jax.random.PRNGKey(self._seed)
            runner = LocalRunner(policy, self._variables, key, num_envs)
            actor = builder.make_actor(policy, runner)
            environment = RecordedVector(
                self._experiment.environment_factory(self._seed, num_envs, True),
                self._exact_resume_steps,
            )
            detector = RepetitionDetector(environment)
            loop = EnvironmentLoop(detector, actor)
            self._lazy_parts = _ActingParts(environment, detector, runner, loop)
        return self._lazy_parts

    def _make_drawer(self) -> EpisodeDrawer | None:
        run, make_drawer = self._experiment.run, self._experiment.make_drawer
        if make_drawer is None or not run.evaluations_per_video or "tensorboard" not in run.loggers:
            return None
        return make_drawer(self._experiment, self._spec)

    def _draw_if_due(self, counts: Mapping[str, int], should_stop: Callable[[], bool]) -> None:
        """Draws an episode if one is due; after an error, no further one."""
        period = self._experiment.run.evaluations_per_video
        if self._drawer is None or self._finished_evaluations % period:
            return
        self._report_stage(("drawing an episode", None, None))
        params, steps = self._variables.params, counts[self._steps_key]
        try:
            self._drawer.draw(params, steps, self._workdir, should_stop)
        except Exception as error:  # any error of the environment: drawings are not essential
            text = " ".join(str(error).split())
            _LOGGER.warning(
                f"cannot draw an episode ({type(error).__name__}: {text}); the run continues "
                "without drawings"
            )
            self._drawer.close()
            self._drawer = None
        self._report_stage(None)

    def _report_stage(self, stage: tuple[str, None, None] | None) -> None:
        """Reports the phase of a run that waits for it."""
        if self._blocks_run:
            self._counter.report(stage=stage)

    def _report_episodes(self, evaluation: tuple[int, int] | None) -> None:
        """Reports the finished and all episodes of an evaluation for which the run waits."""
        if self._blocks_run:
            self._counter.report(evaluation=evaluation)

    def _drop_parts(self) -> None:
        assert self._lazy_parts is not None
        self._lazy_parts.environment.close()
        self._lazy_parts = None

    def _report_best(self) -> None:
        if (best := self._checkpointer.best_score()) is not None:
            self._counter.report(best_return=best)


def warn_of_cut_off(played: PlayedEpisodes, field: str, max_steps: int) -> None:
    """Warns of episodes of an evaluation that were cut off at the field's number of steps."""
    _LOGGER.warning(
        f"{played.cut_off} of {len(played.results)} episodes of an evaluation did not end within "
        f"{field}={max_steps} steps: their returns so far are counted"
    )
