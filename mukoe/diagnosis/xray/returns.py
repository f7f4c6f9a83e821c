"""Returns of the agent with other searches, over the same episodes."""

import contextlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from mukoe.acting.loop import EnvironmentLoop
from mukoe.acting.runners import LocalRunner
from mukoe.acting.variables import ConstantVariableSource, VariableClient
from mukoe.diagnosis.xray.config import XrayConfig
from mukoe.diagnosis.xray.variants import with_search
from mukoe.environments.pgx.environment import MatchEnvironment
from mukoe.environments.pgx.match import match
from mukoe.environments.vector import VectorEnvironment
from mukoe.evaluation.players import open_opponent, rules_with_opening, two_player_game
from mukoe.layouts.common.stored_run import StoredRun
from mukoe.types import Policy


class Returns(NamedTuple):
    """Returns of paired episodes.

    values: `[N]` return of each episode; equal indices have equal seeds in all measurements.
    milliseconds: time of one decision for all `N` episodes, compilation left out.
    """

    values: np.ndarray
    milliseconds: float


class PairedEpisodes:
    """Episodes of a run with other searches, played once for each search.

    run: run whose agent acts.
    config: number of episodes and their seed.
    stop: returns True when the budget of a measurement is spent.
    """

    def __init__(self, run: StoredRun, config: XrayConfig, stop: Callable[[], bool]):
        """Starts without any episode."""
        self.run, self.config, self.stop = run, config, stop
        self._found: dict[Any, Returns] = {}

    def play(self, **fields: Any) -> Returns | None:
        """Returns the episodes with other fields of `agent.search`, None if the budget is spent."""
        variant = with_search(self.run, **fields)
        search = variant.config.agent.search
        if search not in self._found:
            returns = None if self.stop() else play(variant, self.config, self.stop)
            if returns is None:
                return None
            self._found[search] = returns
        return self._found[search]

    def found(self, **fields: Any) -> Returns | None:
        """Returns the episodes with other fields of `agent.search` if they have been played."""
        return self._found.get(with_search(self.run, **fields).config.agent.search)


def play(
    run: StoredRun,
    config: XrayConfig,
    stop: Callable[[], bool],
    policy: Policy | None = None,
    environment: VectorEnvironment | None = None,
) -> Returns | None:
    """Plays one episode per seed without exploration; None if stopped before the last one ends.

    Args:
      run: run whose agent acts.
      config: number of episodes and their seed.
      stop: called before every step; True ends the measurement.
      policy: policy that acts; None for that of the run.
      environment: environments of `make_environment`, which are closed at the end; None to make
        them.
    """
    policy = policy or run.make_policy()
    environment = environment or make_environment(run, config)
    with contextlib.closing(environment):
        variables = VariableClient(ConstantVariableSource(run.params), period_updates=0)
        runner = LocalRunner(policy, variables, jax.random.PRNGKey(config.seed), config.episodes)
        loop = EnvironmentLoop(environment, run.experiment.builder.make_actor(policy, runner))
        max_steps = config.max_steps or run.config.run.evaluation_max_steps
        played = loop.run_episodes(config.episodes, stop, max_steps=max_steps)
    if len(played.results) < config.episodes:
        return None
    ordered = sorted(played.results, key=lambda result: result.environment)
    timings = loop.timings
    calls = max(1, timings.laps.get("policy", 0) // 2)  # A request and its answer.
    milliseconds = 1_000 * timings.seconds.get("policy", 0.0) / calls
    return Returns(np.array([r.episode_return for r in ordered]), milliseconds)


def make_environment(run: StoredRun, config: XrayConfig) -> VectorEnvironment:
    """Makes the environments of an evaluation; games start after one random move of each side."""
    game = two_player_game(run)
    if game is None:
        return run.experiment.environment_factory(config.seed, config.episodes, True)
    player = open_opponent(run.config.environment.opponent, game, None, run.config.environment)
    assert player.make is not None, "the opponent of an environment is a function"
    rules = rules_with_opening(game, 1)
    if run.config.environment.positions:
        rules = rules.with_positions()
    functions = match(rules, config.episodes, player.make(player.params))
    return MatchEnvironment(functions, config.seed, True)
