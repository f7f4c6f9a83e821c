"""Simulations from a time per decision."""

from pathlib import Path

import pytest

from mukoe.errors import UserError
from mukoe.evaluation.decision_time import simulations_within, with_seconds_per_move
from mukoe.evaluation.players import Reference, open_agent, simulations_of


def measurement(seconds_of):
    asked = []

    def measure(simulations):
        asked.append(simulations)
        return seconds_of(simulations)

    return measure, asked


@pytest.mark.parametrize("per_simulation", [1e-5, 1e-3, 0.02])
def test_a_linear_time_is_used_to_nine_tenths(per_simulation):
    measure, asked = measurement(lambda n: 0.001 + n * per_simulation)
    found = simulations_within(1.0, measure, 32)
    assert 0.75 <= measure(found) <= 1.0 or found == 20_000
    assert len(asked) <= 6 and found in asked


def test_a_time_that_grows_faster_is_kept():
    measure, _ = measurement(lambda n: 1e-6 * n**2)
    found = simulations_within(1.0, measure, 100)
    assert found > 500 and measure(found) <= 1.0


def test_fewer_simulations_than_those_of_the_run():
    measure, _ = measurement(lambda n: 0.1 * n)
    assert simulations_within(1.0, measure, 50) == 9


def test_one_simulation_is_too_slow():
    measure, asked = measurement(lambda n: 2.0 * n)
    assert simulations_within(1.0, measure, 50) == 0
    assert asked[-1] == 1


def test_an_agent_has_fewer_simulations_in_less_time():
    agent = open_agent(Reference(Path("zoo:tic_tac_toe")), simulations=2_000)
    assert simulations_of(agent) == 2_000
    assert 1 <= simulations_of(with_seconds_per_move(agent, 0.01)) < 2_000
    with pytest.raises(UserError, match=r"one simulation takes .* raise --seconds_per_move"):
        with_seconds_per_move(agent, 1e-6)


def test_an_agent_without_a_search_has_no_simulations():
    with pytest.raises(UserError, match="needs an agent that searches"):
        with_seconds_per_move(open_agent(Reference(Path("zoo:taxi"))), 1.0)
