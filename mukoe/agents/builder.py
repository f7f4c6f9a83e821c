"""The contract of an agent: how to make its parts, never where they run.

Methods and argument names are those of `acme.jax.experiments`' `ActorLearnerBuilder`. An
agent says four things (networks, policy, replay declaration, learner); the replay and
acting methods are the same for all and stand here.
"""

import abc
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import chex

from mukoe.acting.actor import Actor, Adder
from mukoe.acting.rollouts import RolloutDeclaration
from mukoe.acting.runners import LocalRunner, PolicyRunner
from mukoe.acting.variables import VariableClient
from mukoe.learning.learner import Learner, Logger, PriorityUpdater
from mukoe.replay.declaration import ReplayDeclaration, row_spec
from mukoe.replay.in_process import InProcessReplay
from mukoe.search.inspection import Inspector
from mukoe.types import Array, EnvironmentSpec, Nest, Params, Policy, PolicyParams, Sample

Networks = TypeVar("Networks")

NetworkCalls = Callable[[PolicyParams, Nest], Array]
"""`(params, observation [B, ...]) -> [B]`: as many calls of the networks as a policy makes."""


class MemoryUse(NamedTuple):
    """Bytes that an agent needs.

    acting: for each environment.
    learning: for each sequence of a batch.
    """

    acting: int = 0
    learning: int = 0


class ActorLearnerBuilder(abc.ABC, Generic[Networks]):
    """Makes the parts of an agent."""

    @abc.abstractmethod
    def make_networks(self, environment_spec: EnvironmentSpec) -> Networks:
        """Makes the networks for an environment.

        Raises UserError where they do not fit it.
        """

    @abc.abstractmethod
    def make_policy(
        self, networks: Networks, environment_spec: EnvironmentSpec, evaluation: bool = False
    ) -> Policy:
        """Makes the policy that acts; without exploration for `evaluation`."""

    @property
    @abc.abstractmethod
    def replay(self) -> ReplayDeclaration:
        """What is stored and how it is sampled.

        Raises UserError where the agent has no replay, but a `rollout`.
        """

    @property
    def rollout(self) -> RolloutDeclaration | None:
        """What goes from the actors straight to the learner; None where replay is in between."""
        return None

    def for_updates(self, num_updates: int) -> "ActorLearnerBuilder[Networks]":
        """Returns the builder for a run of so many updates, where a schedule follows that."""
        del num_updates
        return self

    @abc.abstractmethod
    def make_learner(
        self,
        random_key: chex.PRNGKey,
        networks: Networks,
        dataset: Iterator[Sample],
        logger_fn: Callable[[], Logger] | None,
        environment_spec: EnvironmentSpec,
        replay_client: Any | None = None,
        counter: Any | None = None,
        prefetch_size: int = 0,
    ) -> Learner:
        """Makes the learner.

        Args:
          random_key: for the parameters and the losses.
          networks: of `make_networks`.
          dataset: of `make_dataset_iterator`.
          logger_fn: makes the logger of the learner's metrics.
          environment_spec: of one environment.
          replay_client: takes the new priorities.
          counter: counts the learner's steps.
          prefetch_size: batches put on the devices ahead of time by a thread; 0 for none.
        """

    def make_inspector(
        self, networks: Networks, environment_spec: EnvironmentSpec
    ) -> Inspector | None:
        """Makes what shows the search of the evaluation policy; None where it has none."""
        del networks, environment_spec
        return None

    def make_network_calls(
        self, networks: Networks, environment_spec: EnvironmentSpec
    ) -> NetworkCalls | None:
        """Makes the network's part of a policy call alone, to see what is left for the search.

        None where the policy's time is not to be divided.
        """
        del networks, environment_spec
        return None

    def memory_use(
        self, networks: Networks, params: Params, environment_spec: EnvironmentSpec
    ) -> MemoryUse:
        """What acting and learning take at least, beside parameters, inputs and rows.

        Args:
          networks: of `make_networks`.
          params: shapes and types of their parameters.
          environment_spec: of one environment.
        """
        del networks, params, environment_spec
        return MemoryUse()

    def make_replay_tables(self, environment_spec: EnvironmentSpec, policy: Policy) -> list[Any]:
        """Makes the Reverb tables."""
        from mukoe.replay import reverb as reverb_replay

        return reverb_replay.make_replay_tables(
            self.replay, row_spec(environment_spec, policy.extras_spec)
        )

    def make_in_process_replay(
        self, environment_spec: EnvironmentSpec, policy: Policy, num_streams: int, seed: int
    ) -> InProcessReplay:
        """Makes the replay of a single process, which is its own `replay_client`."""
        return InProcessReplay(
            self.replay,
            row_spec(environment_spec, policy.extras_spec),
            num_streams=num_streams,
            seed=seed,
        )

    def make_dataset_iterator(self, replay_client: Any) -> Iterator[Sample]:
        """Makes an endless iterator over samples; it waits where there are too few."""
        if isinstance(replay_client, InProcessReplay):
            return iter(replay_client.sample, None)
        from mukoe.replay import reverb as reverb_replay

        return reverb_replay.make_dataset_iterator(replay_client, self.replay)

    def make_adder(
        self,
        replay_client: Any,
        environment_spec: EnvironmentSpec,
        policy: Policy,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Adder:
        """Makes what records one environment's steps.

        Where replay takes no more for now, adding waits; `should_stop` ends that.
        """
        if isinstance(replay_client, InProcessReplay):
            return replay_client.make_adder()
        from mukoe.replay import reverb as reverb_replay

        return reverb_replay.make_adder(
            replay_client,
            self.replay,
            row_spec(environment_spec, policy.extras_spec),
            should_stop,
        )

    def make_actor(
        self,
        random_key: chex.PRNGKey,
        policy: Policy,
        environment_spec: EnvironmentSpec,
        variable_source: VariableClient | PolicyRunner | None = None,
        adder: Sequence[Adder] = (),
        num_envs: int = 1,
    ) -> Actor:
        """Makes an actor over `num_envs` environments.

        Args:
          random_key: of its actions.
          policy: what it runs.
          environment_spec: of one environment.
          variable_source: where parameters come from; or a runner (of an inference server)
            that has them already.
          adder: one for each environment, or none to record nothing.
          num_envs: environments that it steps together.
        """
        del environment_spec
        if isinstance(variable_source, VariableClient):
            runner: PolicyRunner = LocalRunner(policy, variable_source, random_key, num_envs)
        else:
            assert variable_source is not None, "an actor needs parameters or a runner"
            runner = variable_source
        return Actor(runner, adder, tuple(policy.extras_spec))

    def _priority_updater(self, replay_client: Any | None) -> PriorityUpdater | None:
        """Where the learner sends priorities; None where replay has no use for them."""
        if replay_client is None or self.replay.sampler == "uniform":
            return None
        if isinstance(replay_client, InProcessReplay):
            return replay_client.update_priorities
        from mukoe.replay import reverb as reverb_replay

        return lambda keys, priorities: reverb_replay.update_priorities(
            replay_client, keys, priorities, self.replay.table
        )
