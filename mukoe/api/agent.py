"""Agent of a run: actions, searches, evaluations and metrics."""

import functools
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from mukoe.api.search_result import SearchResult
from mukoe.environments.dm_env_rpc.single import single_environments
from mukoe.errors import UserError
from mukoe.evaluation.episodes import EvaluationConfig, environment_name, evaluate, summary
from mukoe.evaluation.evaluation_files import write_evaluation
from mukoe.evaluation.players import Reference, open_agent
from mukoe.layouts.common.stored_run import StoredRun
from mukoe.observability.loggers.csv_logger import read_rows
from mukoe.system import process_environment, set_process_environment
from mukoe.types import Array, Nest
from mukoe.viewing.action_names import action_names
from mukoe.viewing.inspected_agent import InspectedAgent, format_action
from mukoe.viewing.tree_svg import draw_tree
from mukoe.zoo import is_entry

_NO_INFO: Mapping[str, Any] = {}


def load(
    workdir: str | os.PathLike[str],
    *,
    best: bool = False,
    step: int | None = None,
    simulations: int | None = None,
) -> "TrainedAgent":
    """Returns the agent of a run's checkpoint.

    Args:
      workdir: directory of the run, or `zoo:NAME` for an agent of the zoo.
      best: True for the checkpoint with the best evaluation instead of the latest one.
      step: learner step of the checkpoint; None for the newest.
      simulations: simulations per decision; None for those of the run's config.

    Raises:
      UserError: there is no such run or checkpoint, or its agent does not search.
    """
    set_process_environment(process_environment())
    return TrainedAgent(open_agent(Reference(Path(workdir), best, step), simulations))


class TrainedAgent:
    """Agent of a run without exploration.

    Observations and actions are those of the environment from `make_environment`: of a Gymnasium
    environment for a Gymnasium configuration, of a `dm_env.Environment` for the others.
    """

    def __init__(self, run: StoredRun):
        """Builds the policy.

        Args:
          run: checkpoint of the agent with its experiment.
        """
        self.run = run
        self._agent = InspectedAgent(run.experiment.builder, run.environment_spec, run.params)

    def reset(self, seed: int | None = None) -> None:
        """Starts an episode: clears the agent's history of observations.

        Args:
          seed: seed of the agent's random choices; None to continue them.
        """
        self._agent.start(seed)

    def act(self, observation: Any, info: Mapping[str, Any] = _NO_INFO) -> Any:
        """Returns the action at an observation, and adds both to the agent's history.

        Args:
          observation: native observation.
          info: dict that a Gymnasium environment returns, if it holds the legal-action mask.

        Raises:
          UserError: the observation does not fit the environment.
        """
        encoded = self._encode(observation, info)
        decision = self._agent.decide(encoded)
        self._agent.update_state(encoded, decision.action)
        return self._conversions[1](decision.action)

    def search(self, observation: Any, info: Mapping[str, Any] = _NO_INFO) -> SearchResult:
        """Returns the search at an observation; the agent's history does not change.

        Args:
          observation: native observation.
          info: dict that a Gymnasium environment returns, if it holds the legal-action mask.

        Raises:
          UserError: the agent has no search, or the observation does not fit the environment.
        """
        if not self._agent.searches:
            raise UserError(f"the agent of {self.run.workdir} acts without a search; use act()")
        decision = self._agent.decide(self._encode(observation, info))
        assert decision.tree is not None and decision.policy is not None
        assert decision.value is not None
        names = self._action_names
        title = f"{environment_name(self.run)}, learner step {int(self.run.params.learner_steps)}"
        return SearchResult(
            action=self._conversions[1](decision.action),
            value=decision.value,
            policy=decision.policy,
            visits=decision.tree.child_visits[0],
            line=[format_action(action, names) for action in decision.line],
            tree=decision.tree,
            _draw=functools.partial(draw_tree, decision, names, title),
        )

    def evaluate(self, episodes: int = 100, **settings: Any) -> dict[str, Any]:
        """Plays episodes, and writes evaluation.json and evaluation/*.csv into the workdir.

        Nothing is written for an agent of the zoo, which is part of the installation.

        Args:
          episodes: number of episodes.
          **settings: other fields of `EvaluationConfig`, such as `seed` or `opponent`.

        Returns:
          The content of evaluation.json: mean, its 95 % bootstrap interval `ci95`, and others.

        Raises:
          UserError: a setting is out of bounds or does not fit the environment.
        """
        evaluation = evaluate(self.run, EvaluationConfig(episodes=episodes, **settings))
        if not is_entry(self.run.workdir):
            write_evaluation(evaluation, self.run.workdir)
        return summary(evaluation)

    def metrics(self, log: str = "learner") -> list[dict[str, float | str | None]]:
        """Returns the rows of a log of the run, with None where a row has no value.

        Args:
          log: name of a CSV file in WORKDIR/logs: `learner`, `actor_0`, `evaluator`, ...

        Raises:
          UserError: there is no such log.
        """
        folder = self.run.workdir / "logs"
        if not (folder / f"{log}.csv").is_file():
            names = sorted(path.stem for path in folder.glob("*.csv"))
            raise UserError(f"there is no log {log!r} in {folder}; logs are {', '.join(names)}")
        rows, _, _ = read_rows(folder / f"{log}.csv")
        return [{name: _parse(text) for name, text in row.items()} for row in rows]

    def make_environment(self) -> Any:
        """Returns a new environment of the kind that the agent was trained in."""
        environment = self._make_single()
        return getattr(environment, "native", environment)

    def _make_single(self) -> Any:
        config = self.run.config
        return single_environments(config.environment.make_factory())(config.run.seed, True)

    @functools.cached_property
    def _conversions(self) -> tuple[Callable[[Any, Any], Nest], Callable[[Array], Any]]:
        """Functions from native observations with their info, and to native actions."""
        environment = self._make_single()
        environment.close()
        if hasattr(environment, "native"):
            return environment.encode_observation, environment.decode_action
        return lambda observation, _: observation, lambda action: action

    @functools.cached_property
    def _action_names(self) -> Sequence[str]:
        config = self.run.config.environment
        environment = config.make_factory()(self.run.config.run.seed, 1, True)
        names = action_names(environment)
        environment.close()
        return names

    def _encode(self, observation: Any, info: Mapping[str, Any]) -> Nest:
        """Returns an observation `[1, ...]` for the policy."""
        specs, structure = jax.tree.flatten(self.run.environment_spec.observations)
        try:
            leaves = structure.flatten_up_to(self._conversions[0](observation, dict(info)))
            arrays = [np.asarray(x, spec.dtype) for x, spec in zip(leaves, specs, strict=True)]
        except (UserError, TypeError, ValueError, LookupError) as error:
            raise self._unsuitable(str(error)) from error
        for array, spec in zip(arrays, specs, strict=True):
            if array.shape != spec.shape:
                raise self._unsuitable(f"its shape is {array.shape} instead of {spec.shape}")
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise self._unsuitable(
                    f"it must be finite; got {array[~np.isfinite(array)].flat[0]}"
                )
        return structure.unflatten([array[None] for array in arrays])

    def _unsuitable(self, reason: str) -> UserError:
        return UserError(f"this is no observation of {environment_name(self.run)}: {reason}")


def _parse(text: str) -> float | str | None:
    """Returns the number in a cell, None for an empty one, else its text."""
    try:
        return float(text)
    except ValueError:
        return text or None
