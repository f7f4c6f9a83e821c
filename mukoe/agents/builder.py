"""The contract of an agent: its parts, without processes, devices or addresses.

The vocabulary is that of Acme's `ActorLearnerBuilder`. An agent writes `make_networks`,
`make_policy`, `replay`, `make_loss` and `learner_settings`; actor and learner are the same classes
for all agents. A layout makes replay, adders and datasets from the declaration. Optional parts of
an agent are the protocols of `mukoe.agents.extensions`.
"""

import abc
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, Protocol, TypeVar

import chex
import jax
import optax

from mukoe.acting.actor import Actor
from mukoe.acting.runners import PolicyRunner
from mukoe.learning.learner import Learner, Logger
from mukoe.learning.update import TargetUpdateConfig, UpdateFunction
from mukoe.replay.declaration import ReplayDeclaration
from mukoe.replay.handle import Adder, Replay
from mukoe.types import EnvironmentSpec, LossFunction, Nest, Params, Policy, Sample


class InitialisedNetworks(Protocol):
    """Networks that make their own parameters.

    init: `key -> params`.
    """

    @property
    def init(self) -> Callable[[chex.PRNGKey], Params]: ...


Networks = TypeVar("Networks", bound=InitialisedNetworks)


@dataclasses.dataclass(frozen=True)
class LearnerSettings:
    """Settings of the learner, which differ between agents.

    optimizer: optimiser of the parameters.
    target_update: schedule of the target parameters.
    loss_state: initial state of a loss with memory; `()` for a loss without.
    update: update function, such as epochs over minibatches; None for one gradient step.
    """

    optimizer: optax.GradientTransformation
    target_update: TargetUpdateConfig = TargetUpdateConfig()
    loss_state: Nest = ()
    update: UpdateFunction | None = None


class ActorLearnerBuilder(abc.ABC, Generic[Networks]):
    """Builder of the parts of an agent."""

    @abc.abstractmethod
    def make_networks(self, environment_spec: EnvironmentSpec) -> Networks:
        """Makes the networks for an environment.

        Raises:
          UserError: the networks do not support the environment.
        """

    @abc.abstractmethod
    def make_policy(
        self, networks: Networks, environment_spec: EnvironmentSpec, evaluation: bool = False
    ) -> Policy:
        """Makes the behaviour policy, or for `evaluation` the policy without exploration."""

    @property
    @abc.abstractmethod
    def replay(self) -> ReplayDeclaration:
        """Declaration of the stored sequences and of their sampling.

        Raises:
          UserError: the agent has no replay, but learns from rollouts.
        """

    @abc.abstractmethod
    def make_loss(self, networks: Networks, environment_spec: EnvironmentSpec) -> LossFunction:
        """Makes the loss `(params, target_params, batch, key) -> (loss, LossExtra)`."""

    @abc.abstractmethod
    def learner_settings(self, networks: Networks) -> LearnerSettings:
        """Returns the optimiser, the target update and further settings of the learner."""

    def make_learner(
        self,
        random_key: chex.PRNGKey,
        networks: Networks,
        dataset: Iterator[Sample],
        environment_spec: EnvironmentSpec,
        *,
        replay: Replay | None = None,
        logger: Logger | None = None,
        counter: Any | None = None,
        prefetch_size: int = 0,
    ) -> Learner:
        """Makes the learner.

        Args:
          random_key: random key of the parameters and of the losses.
          networks: networks of `make_networks`.
          dataset: samples to learn from.
          environment_spec: spec of one environment.
          replay: replay that receives new priorities; None for rollouts.
          logger: logger of the metrics of every step; None for none.
          counter: counter of the learner's steps; None for none.
          prefetch_size: number of batches that a thread puts on the devices ahead of time.
        """
        init_key, loss_key = jax.random.split(random_key)
        settings = self.learner_settings(networks)
        prioritized = replay is not None and self.replay.sampler == "prioritized"
        return Learner(
            self.make_loss(networks, environment_spec),
            settings.optimizer,
            networks.init(init_key),
            dataset,
            loss_key,
            target_update=settings.target_update,
            loss_state=settings.loss_state,
            update=settings.update,
            update_priorities=replay.update_priorities if replay and prioritized else None,
            logger=logger,
            counter=counter,
            prefetch_size=prefetch_size,
        )

    def make_actor(
        self, policy: Policy, runner: PolicyRunner, adders: Sequence[Adder] = ()
    ) -> Actor:
        """Makes an actor.

        Args:
          policy: policy of `make_policy`.
          runner: runner of the policy, in this process or of an inference server.
          adders: adder of each environment, or none to record nothing.
        """
        return Actor(runner, adders, tuple(policy.extras_spec))
