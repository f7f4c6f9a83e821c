"""The acting half of a local run, and its continuation bit for bit.

Few environments can be copied. One that is made with the same seed responds to the same actions in
the same way, so a resumed run repeats the actions of the interrupted one
(`mukoe.environments.recording`), and restores the policy's state and the actor's last step.
"""

import contextlib
import dataclasses
import logging
from collections.abc import Callable, Mapping, Sequence

import jax
import numpy as np

from mukoe.acting.actor import Actor
from mukoe.acting.loop import EnvironmentLoop
from mukoe.acting.runners import LocalRunner
from mukoe.acting.variables import VariableClient
from mukoe.environments.recording import RecordedVector
from mukoe.layouts.common.checkpointing import RestoredRun
from mukoe.layouts.common.experiment import ExperimentConfig
from mukoe.layouts.common.resume_limits import ResumeLimitError, ResumeLimits
from mukoe.layouts.common.run_state import (
    NamedArrays,
    arrays_to_tree,
    pack,
    tree_to_arrays,
    unpack,
)
from mukoe.layouts.common.seeds import SeededPart, random_seed
from mukoe.replay.handle import Adder
from mukoe.types import Policy

_LOGGER = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class ActingParts:
    """Parts that act.

    start_counts: counts from which the seeds follow.
    variables: client of the parameters.
    environment: vector of environments.
    runner: runner of the policy.
    actor: actor over all environments.
    loop: loop of environment and actor.
    """

    start_counts: Mapping[str, int]
    variables: VariableClient
    environment: RecordedVector
    runner: LocalRunner
    actor: Actor
    loop: EnvironmentLoop

    def state(self) -> NamedArrays:
        """Returns the state of all parts; that of the environment is empty for a long run."""
        return pack(
            environment=self.environment.state(),
            params=tree_to_arrays(self.variables.params),
            runner=self.runner.state(),
            actor=self.actor.state(),
        )

    def restore(self, state: Mapping[str, np.ndarray], limits: ResumeLimits) -> bool:
        """Restores a `state`; returns False if the environments diverge from it.

        Args:
          state: result of `state`.
          limits: progress and limit of the repetition of actions.

        Raises:
          ResumeLimitError: the time limit of the repetition is reached.
          InterruptedResumeError: the process has to stop.
        """
        timestep = self.environment.restore(unpack(state, "environment"), limits)
        if timestep is None:
            return False
        newest = self.variables.params
        params = arrays_to_tree(unpack(state, "params"), like=newest)
        self.variables.restore(jax.device_put(params, jax.tree.map(_sharding, newest)))
        self.runner.restore(unpack(state, "runner"))
        self.actor.restore(unpack(state, "actor"), timestep)
        self.loop.resume(timestep)
        return True


def _sharding(array: jax.Array) -> jax.sharding.Sharding:
    return array.sharding


def make_acting_parts(
    experiment: ExperimentConfig,
    policy: Policy,
    variables: VariableClient,
    adders: Sequence[Adder],
    start_counts: Mapping[str, int],
) -> ActingParts:
    """Builds environments, actor and their loop.

    Args:
      experiment: agent, environment and settings.
      policy: behaviour policy.
      variables: client of the parameters.
      adders: adders of the actor, one per environment.
      start_counts: counts from which the seeds follow.
    """
    run, num_envs = experiment.run, experiment.run.envs_per_actor
    key = jax.random.PRNGKey(random_seed(run, start_counts, SeededPart.ACTOR))
    environment = RecordedVector(
        experiment.environment_factory(
            random_seed(run, start_counts, SeededPart.ENVIRONMENT), num_envs, False
        ),
        run.exact_resume_steps,
    )
    runner = LocalRunner(policy, variables, key, num_envs)
    actor = experiment.builder.make_actor(policy, runner, adders)
    loop = EnvironmentLoop(environment, actor)
    return ActingParts(start_counts, variables, environment, runner, actor, loop)


def resume_acting(
    make: Callable[[Mapping[str, int]], ActingParts],
    adders: Sequence[Adder],
    restored: RestoredRun,
    limits: ResumeLimits,
) -> ActingParts:
    """Builds the acting parts and restores their state; without one, new episodes start.

    Args:
      make: function that builds the parts, given the counts from which their seeds follow.
      adders: adders of the actor; an episode that cannot be continued is discarded.
      restored: checkpoint of the run; empty for a new run.
      limits: progress and limit of the repetition of actions.

    Raises:
      InterruptedResumeError: the process has to stop.
    """
    state = unpack(restored.state, "acting")
    if unpack(state, "environment"):
        parts = make(restored.start_counts)
        with contextlib.ExitStack() as unused:
            unused.callback(parts.environment.close)
            try:
                if parts.restore(state, limits):
                    unused.pop_all()
                    return parts
                reason = "the environments respond differently to the same actions"
            except ResumeLimitError as error:
                reason = str(error)
        _LOGGER.warning(
            f"{reason}: new episodes start, and the resumed run differs from an uninterrupted one"
        )
    for adder in adders:
        adder.reset()
    return make(restored.counts)
