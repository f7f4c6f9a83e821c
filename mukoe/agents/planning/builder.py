"""Base class of the builders of agents that search."""

import abc
from collections.abc import Callable
from typing import Literal, TypeVar

import chex
import jax
import numpy as np

from mukoe.agents.builder import ActorLearnerBuilder, LearnerSettings
from mukoe.agents.extensions import DemonstrationSettings, MemoryUse, NetworkCalls, Unroll
from mukoe.agents.planning.config import PlanningConfig, leading_rows
from mukoe.agents.planning.inspector import make_inspector
from mukoe.agents.planning.memory import root_spec
from mukoe.agents.planning.network_calls import make_network_calls
from mukoe.agents.planning.persistence import with_persistence
from mukoe.agents.planning.policy import make_search_policy
from mukoe.agents.planning.reanalyse import make_reanalyse, renew, with_reanalysis
from mukoe.agents.planning.root import RootNetworks
from mukoe.agents.planning.symmetries import average_over, evaluation_symmetries
from mukoe.agents.planning.unroll import make_unroll
from mukoe.learning.optimizers import make_optimizer
from mukoe.learning.reanalysis import Reanalyse, ReanalyseConfig, Renew
from mukoe.nests import zeros
from mukoe.replay.declaration import ReplayDeclaration
from mukoe.search.base import SearchModel
from mukoe.search.candidates import candidate_root, make_sampler, with_candidates
from mukoe.search.inspection import Inspector
from mukoe.search.plan import nodes_in_evaluation
from mukoe.search.tree_search import tree_bytes
from mukoe.types import (
    Array,
    EnvironmentSpec,
    LossFunction,
    Params,
    Policy,
    PolicyParams,
    Row,
    Sample,
    SearchStatistics,
    num_bytes,
)

Networks = TypeVar("Networks", bound=RootNetworks)


class PlanningBuilder(ActorLearnerBuilder[Networks]):
    """Builder of an agent that searches a model and learns from stored searches."""

    def __init__(self, config: PlanningConfig):
        self._config = config

    @abc.abstractmethod
    def make_model(self, networks: Networks, environment_spec: EnvironmentSpec) -> SearchModel:
        """Makes the model that the search plans with."""

    def _search_model(self, networks: Networks, environment_spec: EnvironmentSpec) -> SearchModel:
        """Returns the model, with the sampler of candidates if the search has some."""
        model = self.make_model(networks, environment_spec)
        sampler = make_sampler(networks.action_space, self._config.search)
        return model if sampler is None else with_candidates(model, sampler)

    def _evaluation_model(
        self, networks: Networks, environment_spec: EnvironmentSpec
    ) -> SearchModel:
        """Returns the model of evaluation, whose root is averaged over symmetries if configured."""
        model, config = self._search_model(networks, environment_spec), self._config
        has_memory = model.memory is not None
        symmetries = evaluation_symmetries(
            environment_spec, config.search, config.history, has_memory
        )
        return model._replace(root=average_over(symmetries, model.root))

    def _search_params(self, params: Params) -> Params:
        """Returns the parameters that the search reads below the root."""
        return params

    def make_policy(
        self, networks: Networks, environment_spec: EnvironmentSpec, evaluation: bool = False
    ) -> Policy:
        # Made while training as well, so that its errors are raised at the start.
        model = self._evaluation_model(networks, environment_spec)
        policy = make_search_policy(
            model if evaluation else self._search_model(networks, environment_spec),
            networks.action_space,
            environment_spec,
            self._config,
            evaluation,
            self._search_params,
        )
        persistence = self._config.search.action_persistence
        return policy if evaluation or not persistence else with_persistence(policy, persistence)

    def make_inspector(
        self, networks: Networks, environment_spec: EnvironmentSpec
    ) -> Inspector | None:
        if self._config.search.num_simulations == 0:
            return None
        model = self._evaluation_model(networks, environment_spec)
        return make_inspector(model, networks.action_space, environment_spec, self._config)

    def make_network_calls(
        self, networks: Networks, environment_spec: EnvironmentSpec
    ) -> NetworkCalls | None:
        if self._config.search.num_simulations == 0:
            return None
        model = self.make_model(networks, environment_spec)
        return make_network_calls(model, networks.action_space, environment_spec, self._config)

    @property
    def reanalyse(self) -> ReanalyseConfig:
        """Settings of the reanalysis."""
        return self._config.reanalyse

    def make_reanalyse(self, networks: Networks, environment_spec: EnvironmentSpec) -> Reanalyse:
        """Makes the function that computes the search statistics of stored rows."""
        model = self._search_model(networks, environment_spec)
        return make_reanalyse(networks, model, self._config)

    @property
    def demonstrations(self) -> DemonstrationSettings:
        """Limits of the demonstrations, and what the agent learns from them."""
        config = self._config
        learned: set[str] = set(SearchStatistics._fields)
        if config.cloning.mode == "alone":
            learned &= {"search_value"}
        targets = config.targets
        if targets.bootstrap == "target" and targets.search_value_age is None:
            learned -= {"search_value"}
        return DemonstrationSettings(
            capacity=config.replay.demonstration_capacity,
            remover=config.replay.demonstration_remover,
            clones_actions=config.cloning.mode != "none",
            learned_statistics=frozenset(learned),
        )

    def make_renew(self, networks: Networks, environment_spec: EnvironmentSpec) -> Renew:
        """Makes the function that computes the statistics of whole samples."""
        reanalyse = self.make_reanalyse(networks, environment_spec)

        def renew_all(
            params: PolicyParams, key: chex.PRNGKey, sample: Sample
        ) -> tuple[Sample, dict[str, Array]]:
            return renew(reanalyse, self._config, 1.0, params, sample, key)

        return renew_all

    def with_reanalysis(
        self, loss: LossFunction, networks: Networks, environment_spec: EnvironmentSpec
    ) -> LossFunction:
        """Returns the loss of reanalysed samples in mode 'learner'; else the loss itself."""
        if self._config.reanalyse.mode != "learner":
            return loss
        reanalyse = self.make_reanalyse(networks, environment_spec)
        return with_reanalysis(loss, reanalyse, self._config)

    def make_unroll(self, networks: Networks, environment_spec: EnvironmentSpec) -> Unroll:
        return make_unroll(networks, self.make_model(networks, environment_spec), self._config)

    def memory_use(
        self, networks: Networks, params: Params, environment_spec: EnvironmentSpec
    ) -> MemoryUse:
        """Returns the bytes of the search trees, and of the states and targets of an unroll."""
        config = self._config
        model = self._search_model(networks, environment_spec)
        spec = root_spec(model.memory, environment_spec, config.history)
        position = None if model.position is None else zeros(model.position, 1)
        root = jax.eval_shape(
            lambda params: candidate_root(model, params, zeros(spec, 1), position), params
        )
        simulations, players = config.search.num_simulations, networks.num_players
        return MemoryUse(
            acting=tree_bytes(root, simulations + 1) if simulations else 0,
            evaluation=tree_bytes(root, nodes_in_evaluation(config.search)),
            learning=(config.targets.unroll_steps + 1)
            * (num_bytes(root.embedding) + 4 * config.num_target_bins * (players or 1)),
        )

    @property
    def _observed_states(self) -> int:
        """Number of states of an unroll, from the root, whose observation the loss reads."""
        return 1

    @property
    def _observed_rows(self) -> int | None:
        config = self._config
        if config.targets.bootstrap == "target" or config.reanalyse.mode in ("learner", "nodes"):
            return None
        return leading_rows(config) + self._observed_states

    @property
    def _reanalysed_fraction(self) -> float:
        reanalyse = self._config.reanalyse
        return reanalyse.fraction if reanalyse.mode == "nodes" else 0.0

    @property
    def replay(self) -> ReplayDeclaration:
        config, targets = self._config.replay, self._config.targets
        return ReplayDeclaration(
            sequence_length=targets.unroll_steps + targets.td_steps + 1,
            history=leading_rows(self._config),
            observed_rows=self._observed_rows,
            reanalysed_fraction=self._reanalysed_fraction,
            demonstrated_fraction=config.demonstration_fraction,
            capacity=config.capacity,
            min_size=config.min_size,
            batch_size=config.batch_size,
            samples_per_insert=config.samples_per_insert,
            sampler=config.sampler,
            priority_exponent=config.priority_exponent,
            initial_priority=self._initial_priority,
        )

    def learner_settings(self, networks: Networks) -> LearnerSettings:
        del networks
        return LearnerSettings(make_optimizer(self._config.optimizer), self._config.target_update)

    @property
    def _initial_priority(self) -> Callable[[Row], float] | Literal["maximal"] | None:
        config = self._config.replay
        if config.sampler == "uniform":
            return None
        return "maximal" if config.initial_priority == "maximal" else self._td_error

    def _td_error(self, rows: Row) -> float:
        """Returns `|search value - return|` of the first row (MuZero, appendix G).

        Of three and more players it is the mean.
        """
        targets = self._config.targets
        window = jax.tree.map(lambda array: array[: targets.td_steps + 1], rows)
        values = SearchStatistics.from_extras(window.extras).search_value
        (target,) = targets.returns(window, values)
        error = np.mean(np.abs(values[0] - target))
        return float(error) + self._config.replay.priority_epsilon
