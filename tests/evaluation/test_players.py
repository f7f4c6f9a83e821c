"""Names of checkpoints and opponents, and agents as opponents."""

from pathlib import Path

import jax
import numpy as np
import pytest

from mukoe.configuration import load_config_file, prepare_workdir
from mukoe.environments.pgx.config import PgxConfig
from mukoe.environments.pgx.rules import load_rules
from mukoe.errors import UserError
from mukoe.evaluation.players import (
    Reference,
    SearchChanges,
    agent_opponent,
    open_agent,
    open_opponent,
    parse_reference,
    simulations_of,
    temperature_of,
    two_player_game,
)
from mukoe.types import MaskedObservation, Policy
from tests.evaluation.tiny_runs import train


@pytest.fixture
def games(tmp_path_factory) -> Path:
    return train("tic_tac_toe", tmp_path_factory.getbasetemp())


@pytest.fixture
def cartpole(tmp_path_factory) -> Path:
    return train("cartpole", tmp_path_factory.getbasetemp())


def test_references(tmp_path):
    assert parse_reference("runs/a") == Reference(Path("runs/a"))
    assert parse_reference("runs/a@best") == Reference(Path("runs/a"), best=True)
    assert parse_reference("runs/a@120") == Reference(Path("runs/a"), step=120)
    (tmp_path / "me@home").mkdir()
    assert parse_reference(f"{tmp_path}/me@home") == Reference(tmp_path / "me@home")
    with pytest.raises(UserError, match="learner step or 'best', not 'bset'"):
        parse_reference("runs/a@bset")


def test_a_run_is_opened(games):
    latest = open_agent(Reference(games))
    first = open_agent(Reference(games, step=0), simulations=0, temperature=0.25)
    best = open_agent(Reference(games, best=True), changes=SearchChanges(symmetries=True, trees=2))
    assert best.config.agent.search.evaluation_symmetries
    assert best.config.agent.search.evaluation_trees == 2
    assert not latest.config.agent.search.evaluation_symmetries
    assert (simulations_of(latest), simulations_of(first)) == (2, 0)
    assert (temperature_of(latest), temperature_of(first)) == (None, 0.25)
    assert int(first.params.learner_steps) == 0 < int(latest.params.learner_steps)
    assert first.counts["actor_steps"] < 200 <= best.counts["actor_steps"]
    assert 400 <= latest.counts["actor_steps"] < 408
    assert two_player_game(latest) == "tic_tac_toe"
    differ = jax.tree.map(lambda a, b: np.any(a != b), first.params.network, latest.params.network)
    assert any(jax.tree.leaves(differ))


def test_opponents_by_name(games):
    config = PgxConfig("tic_tac_toe", rollout_simulations=9)
    assert open_opponent("rollout", "tic_tac_toe", None, config).simulations == 9
    assert open_opponent("rollout", "tic_tac_toe", 3, config).simulations == 3
    assert open_opponent("random", "tic_tac_toe", None, config).simulations is None
    agent = open_opponent(f"{games}@0", "tic_tac_toe", 5, config)
    assert (agent.name, agent.learner_step, agent.simulations) == ("tic_tac_toe@0", 0, 5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("minimax", "unknown opponent 'minimax'.*random, exact, rollout.*no workdir minimax"),
        ("{games}@7777", "has no checkpoint 7777"),
        ("{cartpole}", "plays alone, not tic_tac_toe"),
        ("{games}/logs", "holds no experiment"),
    ],
)
def test_opponents_that_are_none(games, cartpole, text, message):
    text = text.format(games=games, cartpole=cartpole)
    with pytest.raises(UserError, match=message):
        open_opponent(text, "tic_tac_toe", None, PgxConfig("tic_tac_toe"))


def test_simulations_of_an_opponent_that_does_not_search():
    with pytest.raises(UserError, match="'random' does not search"):
        open_opponent("random", "tic_tac_toe", 4, PgxConfig("tic_tac_toe"))


def test_an_agents_memory_starts_anew_with_each_game():
    """A policy that counts its moves, and plays the count."""

    def apply(params, key, observation, state):
        return state * params, {}, state + 1

    policy = Policy(
        apply=apply, initial_state=lambda size: np.zeros(size, np.int32), extras_spec={}
    )
    opponent = agent_opponent(policy, 10)
    memory, actions = opponent.initial_state(2), []
    game = load_rules("tic_tac_toe", None).init(jax.random.split(jax.random.PRNGKey(0), 2))
    observation = MaskedObservation(np.zeros((2, 1)), np.ones((2, 3), bool))
    for is_first in ([True, True], [False, True], [False, False]):
        action, memory = opponent.act(
            jax.random.PRNGKey(0), game, observation, memory, np.array(is_first)
        )
        actions.append(list(map(int, action)))
    assert actions == [[0, 0], [10, 0], [20, 10]]


def test_an_agent_without_search_takes_no_simulations(tmp_path):
    config = load_config_file("configs/ppo_cartpole.py")
    workdir = prepare_workdir(tmp_path / "run", config, None, resume=False)
    with pytest.raises(UserError, match="acts without a search: leave out simulations, temp"):
        open_agent(Reference(workdir), simulations=5)
