"""Evaluations of a small self-play agent in this process."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest

from mukoe.agents.alphazero.config import AlphaZeroConfig, AlphaZeroNetworkConfig
from mukoe.environments.atari.config import AtariConfig
from mukoe.environments.pgx.config import PgxConfig
from mukoe.errors import UserError
from mukoe.evaluation.episodes import EvaluationConfig, _human_normalised, evaluate, summary
from mukoe.evaluation.evaluation_files import csv_name, evaluation_table
from mukoe.evaluation.players import Reference, open_agent
from mukoe.layouts.common.experiment import TrainingConfig, check_experiment
from mukoe.layouts.common.stored_run import StoredRun
from mukoe.search.config import SearchConfig
from mukoe.types import PolicyParams
from tests.configuration.fuzzed import HUGE
from tests.evaluation.tiny_runs import train

# Its fixtures take long, so one worker runs it whole.
pytestmark = pytest.mark.xdist_group("episodes")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    workdir = train("tic_tac_toe", tmp_path_factory.getbasetemp())
    return open_agent(Reference(workdir), simulations=0)


def test_same_seed_same_numbers(run):
    config = EvaluationConfig(episodes=20, num_envs=8)
    reported = []
    one, other = evaluate(run, config, reported.append), evaluate(run, config)
    assert one.results == other.results == reported
    assert one.statistics == other.statistics
    reseeded = evaluate(run, dataclasses.replace(config, seed=1))
    assert reseeded.results != one.results


def test_records_add_up(run):
    evaluation = evaluate(run, EvaluationConfig(episodes=24, num_envs=8))
    found = summary(evaluation)
    assert found["wins"] + found["draws"] + found["losses"] == found["episodes"] == 24
    assert found["mean"] == pytest.approx((found["wins"] - found["losses"]) / 24)
    for seat, name in enumerate(("first", "second")):
        returns = [r.episode_return for r in evaluation.results if r.seat == seat]
        assert len(returns) == 12
        assert found["by_seat"][name] == {
            "wins": returns.count(1.0),
            "draws": returns.count(0.0),
            "losses": returns.count(-1.0),
        }


def test_episodes_are_cut_off_at_the_step_limit(run):
    evaluation = evaluate(run, EvaluationConfig(episodes=16, num_envs=8, max_steps=1))
    assert len(evaluation.results) == evaluation.cut_off == 8
    assert summary(evaluation)["cut_off_episodes"] == 8
    assert {r.length for r in evaluation.results} == {1}


def test_symmetries_are_a_setting_of_the_evaluation(run):
    averaged = run.with_overrides({"agent.search.evaluation_symmetries": True})
    found = [evaluate(each, EvaluationConfig(episodes=2, num_envs=2)) for each in (run, averaged)]
    assert [summary(each)["symmetries"] for each in found] == [False, True]
    assert csv_name(found[1]) == csv_name(found[0]).replace("-random", "-symmetries-random")
    assert ["averaged" in evaluation_table(each) for each in found] == [False, True]


def test_a_search_of_the_rules_is_given_the_true_states(tmp_path):
    agent = AlphaZeroConfig(
        game="tic_tac_toe",
        network=AlphaZeroNetworkConfig(width=4, blocks=0, head_channels=1, head_sizes=(4,)),
        search=SearchConfig(algorithm="gumbel", num_simulations=32),
    )
    config = TrainingConfig(environment=PgxConfig("tic_tac_toe"), agent=agent)
    experiment = config.make_experiment()
    spec = check_experiment(experiment)
    network = experiment.builder.make_networks(spec).init(jax.random.PRNGKey(0))
    run = StoredRun(tmp_path, config, experiment, spec, PolicyParams(network, jnp.int32(0)), {})
    evaluation = evaluate(run, EvaluationConfig(episodes=16, num_envs=8, opponent="random"))
    # Without any knowledge, by the search of the rules alone.
    assert evaluation.record().wins > 8
    reused = run.with_overrides({"agent.search.evaluation_reuse_tree": True})
    again = evaluate(reused, EvaluationConfig(episodes=16, num_envs=8, opponent="random"))
    assert again.record().wins > 8
    assert [summary(each)["reuse_tree"] for each in (evaluation, again)] == [False, True]
    assert csv_name(again) == csv_name(evaluation).replace("-random", "-reuse-random")
    assert ["reused" in evaluation_table(each) for each in (evaluation, again)] == [False, True]
    several = run.with_overrides({"agent.search.evaluation_trees": 3})
    found = dataclasses.replace(evaluation, run=several)
    assert [summary(each)["trees"] for each in (evaluation, found)] == [None, 3]
    assert csv_name(found) == csv_name(evaluation).replace("-random", "-trees3-random")
    assert ["trees" in evaluation_table(each) for each in (evaluation, found)] == [False, True]


def test_perfect_opponents_are_not_beaten(run):
    evaluation = evaluate(run, EvaluationConfig(episodes=20, opponent="exact"))
    assert evaluation.record().wins == 0
    assert evaluation.record().losses > 0
    assert (evaluation.opponent.name, evaluation.opening_moves) == ("exact", 0)


@pytest.mark.slow
def test_agents_play_themselves_from_different_openings(run, caplog):
    config = EvaluationConfig(episodes=32, opponent=str(run.workdir), opponent_simulations=0)
    opened = evaluate(run, config)
    assert opened.opening_moves == 1
    assert opened.opponent.learner_step == int(run.params.learner_steps)
    assert not caplog.records
    plain = evaluate(run, dataclasses.replace(config, opening_moves=0))
    # Neither explores: one game for each seat, and the same moves in both.
    assert "the 32 episodes of an evaluation are all the same" in caplog.text
    assert summary(plain)["episodes"] == len(plain.results) == 2
    assert "interval" not in evaluation_table(plain) and "interval" in evaluation_table(opened)
    outcomes = {(r.seat, r.episode_return, r.length) for r in plain.results}
    assert len(outcomes) == 2
    (_, first, _), (_, second, _) = sorted(outcomes)
    assert first == -second
    assert len({(r.seat, r.episode_return, r.length) for r in opened.results}) > 2


@pytest.mark.slow
def test_opponents_for_one_player(tmp_path_factory):
    run = open_agent(Reference(train("cartpole", tmp_path_factory.getbasetemp())))
    for field, value in (("opponent", "random"), ("opening_moves", 0), ("opponent_simulations", 1)):
        with pytest.raises(UserError, match=f"has one player: leave out --{field}"):
            evaluate(run, EvaluationConfig(**{field: value}))


def test_what_does_not_fit_into_memory_is_refused(tmp_path_factory):
    reference = Reference(train("cartpole", tmp_path_factory.getbasetemp()))
    with pytest.raises(UserError, match="acting in .* lower --num_envs, --simulations or --trees"):
        evaluate(open_agent(reference), EvaluationConfig(episodes=HUGE, num_envs=HUGE))
    with pytest.raises(UserError, match="acting in 1 environments .* lower the simulations"):
        open_agent(reference, simulations=2**31 - 2)


@pytest.mark.parametrize("field", ["episodes", "num_envs"])
def test_numbers_that_cannot_be(field):
    with pytest.raises(UserError, match=f"{field} must be at least 1, not 0"):
        EvaluationConfig(**{field: 0})
    with pytest.raises(UserError, match="seed must be from 0 to 4294967295, not -1"):
        EvaluationConfig(seed=-1)


def test_human_normalised_scores():
    # Breakout: random 1.7, human 30.5.
    assert _human_normalised(AtariConfig(game="Breakout"), 16.1) == pytest.approx(0.5)
    assert _human_normalised(object(), 16.1) is None
