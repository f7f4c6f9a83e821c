"""The builder of AlphaZero."""

import functools
from collections.abc import Sequence

import jax

from mukoe.agents.alphazero.config import AlphaZeroConfig
from mukoe.agents.alphazero.losses import make_loss
from mukoe.agents.alphazero.model import alphazero_model, chance_model
from mukoe.agents.alphazero.networks import AlphaZeroNetworks, make_alphazero_networks
from mukoe.agents.planning.builder import PlanningBuilder
from mukoe.agents.planning.symmetries import evaluation_symmetries, with_random_symmetries
from mukoe.environments.board_symmetries import Symmetry, board_symmetries
from mukoe.environments.pgx.chance import ChanceLaw, load_chance_law
from mukoe.environments.pgx.games import PGX_GAMES
from mukoe.environments.pgx.rules import Rules, load_rules
from mukoe.errors import UserError
from mukoe.networks.config import NetworkConfig
from mukoe.networks.models import check_observations
from mukoe.search.base import SearchModel
from mukoe.types import (
    EnvironmentSpec,
    LossFunction,
    num_reward_players,
    split_legal_actions,
)


class AlphaZeroBuilder(PlanningBuilder[AlphaZeroNetworks]):
    """AlphaZero (arXiv:1712.01815): MuZero's search and targets, with the rules as the model."""

    _config: AlphaZeroConfig

    @functools.cached_property
    def _rules(self) -> Rules:
        return load_rules(self._config.game, max_steps=None).with_positions()

    @functools.cached_property
    def _chance_law(self) -> ChanceLaw | None:
        game = self._config.game
        return load_chance_law(game) if PGX_GAMES[game].chance else None

    def make_networks(self, environment_spec: EnvironmentSpec) -> AlphaZeroNetworks:
        """Makes the network.

        Raises:
          UserError: the environment is not the game of the config, its observations lack the
            true state, its positions are too small for the torso, or pgx is not installed.
        """
        _check_same_game(self._rules, environment_spec)
        features, _ = split_legal_actions(environment_spec.observations)
        num_actions = int(environment_spec.actions.num_values)
        network = self._config.network
        config = NetworkConfig(
            torso=network.torso,
            hidden_sizes=network.hidden_sizes,
            width=network.width,
            representation_blocks=network.blocks,
            head_channels=network.head_channels,
            head_sizes=network.head_sizes,
            value_support=network.value_support,
            scale_hidden_state=False,
            precision=network.precision,
        )
        check_observations(config, features)
        num_players = num_reward_players(environment_spec)
        has_chance = self._chance_law is not None
        return make_alphazero_networks(features, num_actions, config, num_players, has_chance)

    def make_model(
        self, networks: AlphaZeroNetworks, environment_spec: EnvironmentSpec
    ) -> SearchModel:
        del environment_spec
        return self._make_model(networks, symmetries=())

    def _evaluation_model(
        self, networks: AlphaZeroNetworks, environment_spec: EnvironmentSpec
    ) -> SearchModel:
        del environment_spec
        config = self._config
        symmetries = evaluation_symmetries(self._rules.spec, config.search, config.history)
        return self._make_model(networks, symmetries)

    def _make_model(
        self, networks: AlphaZeroNetworks, symmetries: Sequence[Symmetry]
    ) -> SearchModel:
        rules, discount = self._rules, self._config.discount
        if self._chance_law is None:
            return alphazero_model(networks, rules, discount, symmetries)
        return chance_model(networks, rules, self._chance_law, discount, symmetries)

    def make_loss(
        self, networks: AlphaZeroNetworks, environment_spec: EnvironmentSpec
    ) -> LossFunction:
        loss = make_loss(networks, self._config, self._chance_law)
        loss = with_random_symmetries(loss, board_symmetries(self._rules.spec))
        return self.with_reanalysis(loss, networks, environment_spec)


def _check_same_game(rules: Rules, environment_spec: EnvironmentSpec) -> None:
    def shapes(spec: EnvironmentSpec) -> tuple:
        features, legal_actions = split_legal_actions(spec.observations)
        shown = getattr(features, "shape", None)
        return shown, legal_actions is not None, getattr(spec.actions, "num_values", None)

    if shapes(environment_spec) != shapes(rules.spec):
        raise UserError(
            f"agent.game is '{rules.name}', but the environment has other observations or actions: "
            "AlphaZero searches the rules of the environment's game"
        )
    if not jax.tree.leaves(environment_spec.observations.position):
        raise UserError(
            "the observations lack the true state, which AlphaZero searches: set "
            "environment.positions=true"
        )
