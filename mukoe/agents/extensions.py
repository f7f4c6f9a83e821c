"""Optional protocols of a builder: a layout uses what a builder implements."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

from mukoe.acting.rollouts import RolloutDeclaration
from mukoe.learning.reanalysis import Reanalyse, ReanalyseConfig, Renew
from mukoe.replay.declaration import ReplayDeclaration
from mukoe.search.inspection import Inspector
from mukoe.types import Array, EnvironmentSpec, Nest, Params, PolicyParams, Row

NetworkCalls = Callable[[PolicyParams, Nest], Array]
"""`(params, observation [B, ...]) -> [B]`, `[B, P]` of three and more players: the network calls of
one policy call."""


class MemoryUse(NamedTuple):
    """Lower bounds of an agent's memory, in bytes.

    acting: bytes per environment.
    evaluation: bytes per environment in evaluation.
    learning: bytes per sequence of a batch.
    """

    acting: int = 0
    evaluation: int = 0
    learning: int = 0


@runtime_checkable
class LearnsFromRollouts(Protocol):
    """Builder of an on-policy agent: rollouts go from the actors to the learner."""

    @property
    def rollout(self) -> RolloutDeclaration:
        """Declaration of the rollouts; the agent has no replay."""


@runtime_checkable
class FollowsRunLength(Protocol):
    """Builder whose schedules depend on the length of a run."""

    def for_agent_steps(self, num_steps: int) -> Any:
        """Returns the builder for a run of `num_steps` agent steps."""


@runtime_checkable
class Inspectable(Protocol):
    """Builder of an agent whose search can be shown."""

    def make_inspector(self, networks: Any, environment_spec: EnvironmentSpec) -> Inspector | None:
        """Makes the inspector of the evaluation policy; None without simulations."""


@runtime_checkable
class ProfilesNetworks(Protocol):
    """Builder of an agent whose policy time is split into networks and search."""

    def make_network_calls(
        self, networks: Any, environment_spec: EnvironmentSpec
    ) -> NetworkCalls | None:
        """Makes the network calls of the policy, without the search; None without simulations."""


@runtime_checkable
class Reanalyses(Protocol):
    """Builder of an agent whose stored search statistics can be computed anew."""

    @property
    def reanalyse(self) -> ReanalyseConfig:
        """Settings of the reanalysis."""

    def make_reanalyse(self, networks: Any, environment_spec: EnvironmentSpec) -> Reanalyse:
        """Makes the function that computes the search statistics of stored rows."""

    def make_renew(self, networks: Any, environment_spec: EnvironmentSpec) -> Renew:
        """Makes the function that computes the statistics of whole samples."""


class DemonstrationSettings(NamedTuple):
    """Settings of an agent's demonstrations.

    capacity: steps that are kept, in whole episodes; None for all.
    remover: episodes that are removed first.
    clones_actions: True if the loss has a term for the stored actions of demonstrations.
    learned_statistics: names of the search statistics of demonstrations that the loss reads.
    """

    capacity: int | None
    remover: Literal["oldest", "worst"]
    clones_actions: bool
    learned_statistics: frozenset[str]


@runtime_checkable
class LearnsFromDemonstrations(Protocol):
    """Builder of an agent whose samples may hold demonstrations."""

    @property
    def demonstrations(self) -> DemonstrationSettings:
        """Limits of the demonstrations, and what the agent learns from them."""


class UnrollPredictions(NamedTuple):
    """Predictions of a model along the actions of stored rows.

    rewards: `[B, K]` reward of each action.
    values: `[B, K+1]` value of each state, for the player to move.
    policy_logits: `[B, K+1, A]`.
    discounts: `[B, K]` factor of the next value in the search; below 0 where the turn passes.
    """

    rewards: Array
    values: Array
    policy_logits: Array
    discounts: Array


Unroll = Callable[[Params, Row], UnrollPredictions]
"""`(params, rows [B, H+S, ...]) -> predictions` from the first row after `H` rows of history."""


@runtime_checkable
class Unrolls(Protocol):
    """Builder of an agent whose model can be unrolled along stored actions."""

    def make_unroll(self, networks: Any, environment_spec: EnvironmentSpec) -> Unroll:
        """Makes the unroll of the model."""


@runtime_checkable
class EstimatesMemory(Protocol):
    """Builder that estimates the memory of its agent."""

    def memory_use(
        self, networks: Any, params: Params, environment_spec: EnvironmentSpec
    ) -> MemoryUse:
        """Returns the least memory of acting and learning.

        Parameters, inputs and rows are not included.

        Args:
          networks: networks of `make_networks`.
          params: shapes and types of their parameters.
          environment_spec: spec of one environment.
        """


def reanalyse_mode(builder: Any) -> str:
    """Returns the mode of an agent's reanalysis; `none` for an agent without search."""
    return builder.reanalyse.mode if isinstance(builder, Reanalyses) else "none"


def rollout_of(builder: Any) -> RolloutDeclaration | None:
    """Returns the declaration of an agent's rollouts; None for an agent with replay."""
    return builder.rollout if isinstance(builder, LearnsFromRollouts) else None


def replay_of(builder: Any) -> ReplayDeclaration | None:
    """Returns the declaration of an agent's replay; None for an agent that learns from rollouts."""
    return None if isinstance(builder, LearnsFromRollouts) else builder.replay
