"""Diagnosis of tic-tac-toe: a sound agent, and agents that are broken on purpose."""

import dataclasses
import functools
import importlib.util

import jax
import numpy as np
import pytest

from mukoe.agents.extensions import UnrollPredictions
from mukoe.agents.planning.deterministic_model.builder import DeterministicModelBuilder
from mukoe.configuration import load_config_file
from mukoe.diagnosis.alignment import (
    check_ends,
    check_policies,
    check_rewards,
    check_values,
    inputs_of,
    judge,
    predict,
    target_values,
)
from mukoe.diagnosis.diagnose import diagnose
from mukoe.diagnosis.finding import Finding, to_text
from mukoe.diagnosis.overfit import overfit
from mukoe.diagnosis.rollouts import collect_rollout
from mukoe.diagnosis.rows import check_rows
from mukoe.diagnosis.search_policy import newest_statistics, search_by_keys
from mukoe.diagnosis.subject import NO_POSITIONS, Transition, collect
from mukoe.diagnosis.targets import check_supports, episode_returns, n_step_return
from mukoe.layouts import local
from mukoe.layouts.common.experiment import check_experiment
from mukoe.learning.reanalysis import ReanalyseConfig
from mukoe.networks.value_encoding import SupportConfig
from mukoe.types import Row

# Its fixtures take long, so one worker runs it whole.
pytestmark = pytest.mark.xdist_group("diagnose")

UPDATES = 150


@functools.cache
def config():
    config = load_config_file("configs/tictactoe.py")
    agent = config.agent
    return dataclasses.replace(
        config,
        agent=dataclasses.replace(
            agent,
            network=dataclasses.replace(agent.network, hidden_sizes=(64,), width=32),
            search=dataclasses.replace(agent.search, num_simulations=2),
            loss=dataclasses.replace(agent.loss, unroll_steps=2),
            replay=dataclasses.replace(agent.replay, min_size=200, batch_size=64),
        ),
    )


@functools.cache
def subject():
    experiment = config().make_experiment()
    return collect(experiment, local.check(experiment))


class BrokenBuilder(DeterministicModelBuilder):
    """MuZero whose loss reads changed rows."""

    def __init__(self, change):
        super().__init__(config().agent)
        self._change = change

    def make_loss(self, networks, environment_spec):
        loss = super().make_loss(networks, environment_spec)

        def broken(params, target_params, sample, key):
            changed = sample._replace(rows=self._change(sample.rows))
            return loss(params, target_params, changed, key)

        return broken


def shifted(rows):
    return rows._replace(reward=jax.numpy.roll(rows.reward, 1, axis=1).at[:, 0].set(0))


def without_turns(rows):
    return rows._replace(discount=abs(rows.discount))


def opposite(rows):
    extras = {**rows.extras, "search_value": -rows.extras["search_value"]}
    return rows._replace(reward=-rows.reward, extras=extras)


@pytest.mark.slow
def test_a_sound_agent_has_no_fault():
    findings = diagnose(subject(), config(), False, UPDATES)
    assert [finding for finding in findings if finding.verdict == "fault"] == []
    assert len({finding.check for finding in findings}) == len(findings) == 16


@pytest.mark.parametrize(
    "change, kind, text",
    [
        (shifted, "rewards", "the reward of the row before"),
        pytest.param(without_turns, "values", "returns of one player", marks=pytest.mark.slow),
        (opposite, "values", "returns of the opposite sign"),
    ],
)
def test_the_fault_of_a_broken_agent_is_named(change, kind, text):
    builder = BrokenBuilder(change)
    broken = dataclasses.replace(subject(), experiment=subject().experiment.with_builder(builder))
    predictions = predict(broken, overfit(broken, UPDATES).params)
    steps = config().agent.loss.td_steps
    finding = {
        "rewards": lambda: check_rewards(broken, predictions),
        "values": lambda: check_values(broken, predictions, steps, config().agent.discount),
    }[kind]()
    assert finding.verdict == "fault" and text in finding.text


def as_learned(shift=0, **changes):
    """Predictions that equal the policies of other rows, and values of 1 until the end."""
    rows = subject().sample.rows
    policies = np.roll(rows.extras["search_policy"], shift, axis=1)[:, :3]
    acted = rows.mask[:, :3] > 0
    found = UnrollPredictions(
        rewards=np.zeros((64, 2)),
        values=np.where(acted, 1.0, 0.0),
        policy_logits=np.log(np.maximum(policies, 1e-9)),
        discounts=-np.ones((64, 2)),
    )
    return found._replace(**changes)


def test_policies_of_other_rows_are_named():
    assert check_policies(subject(), as_learned(), False).verdict == "ok"
    finding = check_policies(subject(), as_learned(shift=1), False)
    assert finding.verdict == "fault" and "the row before" in finding.text
    blind = as_learned(policy_logits=np.zeros((64, 3, 9)))
    assert "not learned" in check_policies(subject(), blind, False).text


def test_states_behind_the_end_are_worth_0():
    assert check_ends(subject(), as_learned()).verdict == "ok"
    assert check_ends(subject(), as_learned(values=np.ones((64, 3)))).verdict == "fault"


def test_values_of_all_rows_are_those_of_their_observations():
    """Of the first rows they are the values of the unroll's root."""
    random = np.random.default_rng(0)
    # The last layer of a head starts at 0.
    params = jax.tree.map(lambda x: x + 0.1 * random.normal(size=x.shape), subject().params)
    values = target_values(subject(), params)
    np.testing.assert_allclose(values[:, 0], predict(subject(), params).values[:, 0], rtol=1e-5)
    assert values[:, 1].std() > 0


@pytest.mark.parametrize(
    "prediction, inputs, verdict",
    [
        ([0.0, 0.0, 4.0, 4.0], "aabb", "ok"),
        ([2.5, 2.5, 2.5, 2.5], "aabb", "fault"),
        ([0.0, 0.0, 4.0, 4.0], "abcd", "fault"),
        ([2.5, 2.5, 2.5, 2.5], "aaaa", "unknown"),
    ],
)
def test_the_mean_target_of_equal_inputs_is_all_that_can_be_learned(prediction, inputs, verdict):
    target = np.array([2.0, -2.0, 3.0, 5.0])
    others = {"another": target + 10.0}
    finding = judge("values", "values", np.array(prediction), target, others, tuple(inputs))
    assert finding.verdict == verdict


def test_inputs_are_equal_where_observations_and_actions_are():
    rows = subject().sample.rows
    action = rows.action.copy()
    action[0, 1] += 1
    changed = rows._replace(action=action)
    for actions, same in ((1, True), (2, False)):
        assert (inputs_of(rows, 0, 0, actions) == inputs_of(changed, 0, 0, actions)) == same


def test_rows_with_another_reward_are_found():
    assert check_rows(subject()).verdict == "ok"
    sample = subject().sample
    tampered = sample._replace(rows=sample.rows._replace(reward=sample.rows.reward + 0.5))
    finding = check_rows(dataclasses.replace(subject(), sample=tampered))
    assert finding.verdict == "fault" and "adder" in finding.text


def test_a_support_that_is_too_small_is_named():
    assert check_supports(subject(), config().agent).verdict == "ok"
    support = SupportConfig(0.0, 1.0, 3, hyperbolic=False)
    network = dataclasses.replace(config().agent.network, value_support=support)
    agent = dataclasses.replace(config().agent, network=network)
    finding = check_supports(subject(), agent)
    assert finding.verdict == "fault" and "agent.network.value_support" in finding.text


def test_returns_of_recorded_episodes_alternate_in_sign():
    """The loser moves second to last: its return is the opposite of the winner's."""
    returns = episode_returns(subject(), 1.0)
    assert set(np.unique(returns)) <= {-1.0, 0.0, 1.0}
    assert abs(returns.sum()) < len(returns) / 2 and {-1.0, 1.0} <= set(returns)


def test_returns_of_a_truncated_episode_do_not_go_on_in_the_next_one():
    steps = [(1.0, 1.0, False), (1.0, 1.0, True), (1.0, 1.0, False), (1.0, 0.0, True)]
    stream = [Transition(np.zeros(1), np.zeros(1), *step) for step in steps]
    recorded = dataclasses.replace(subject(), transitions=[stream])
    assert episode_returns(recorded, 1.0).tolist() == [1.0, 2.0]


@pytest.mark.parametrize("mode", [pytest.param("none", marks=pytest.mark.slow), "learner"])
def test_a_search_of_the_rules_is_judged_where_rows_hold_the_true_states(mode):
    config = load_config_file("configs/connect_four.py")
    agent = dataclasses.replace(
        config.agent,
        network=dataclasses.replace(config.agent.network, width=4, blocks=1, head_sizes=(8,)),
        search=dataclasses.replace(config.agent.search, num_simulations=2),
        replay=dataclasses.replace(config.agent.replay, min_size=60, batch_size=8),
        reanalyse=ReanalyseConfig(mode=mode),
    )
    run = dataclasses.replace(config.run, envs_per_actor=4)
    config = dataclasses.replace(config, agent=agent, run=run)
    experiment = config.make_experiment()
    findings = diagnose(collect(experiment, local.check(experiment)), config, False, num_updates=2)
    found = {finding.check: finding.text for finding in findings}
    for check in ("the search policy is predictable", "values, not noise, decide the search"):
        assert (found[check] == NO_POSITIONS) == (mode == "none"), found[check]


@pytest.mark.skipif(importlib.util.find_spec("minigrid") is None, reason="needs minigrid")
def test_observations_of_several_parts_are_compared_with_their_rows():
    config = load_config_file("configs/minigrid_empty.py")
    run = dataclasses.replace(config.run, envs_per_actor=2)
    agent = dataclasses.replace(config.agent, rollout_steps=16, minibatches=4)
    experiment = dataclasses.replace(config, agent=agent, run=run).make_experiment()
    recorded = collect_rollout(experiment, check_experiment(experiment))
    finding = check_rows(recorded)
    assert finding.verdict == "ok" and finding.text.startswith("reward and discount of 3")


def test_n_step_returns_of_a_hand_made_episode():
    """Rewards 1 2 3, then the final row with value 7; a truncation bootstraps from it."""
    rows = Row(
        observation=np.zeros((1, 5)),
        action=np.zeros((1, 5), np.int32),
        reward=np.array([[1.0, 2.0, 3.0, 0.0, 0.0]]),
        discount=np.array([[1.0, 1.0, 1.0, 0.0, 0.0]]),
        mask=np.array([[1.0, 1.0, 1.0, 0.0, 0.0]]),
        extras={},
    )
    values = np.array([[10.0, 20.0, 30.0, 7.0, 99.0]])
    assert n_step_return(rows, values, 0, 0, 2, 0.5) == 1 + 0.5 * 2 + 0.25 * 30
    assert n_step_return(rows, values, 0, 1, 2, 0.5) == 2 + 0.5 * 3 + 0.25 * 7
    assert n_step_return(rows, values, 0, 2, 2, 0.5) == 3 + 0.5 * 7
    ended = rows._replace(discount=np.array([[1.0, 1.0, 0.0, 0.0, 0.0]]))
    assert n_step_return(ended, values, 0, 1, 2, 0.5) == 2 + 0.5 * 3


def test_text_has_a_line_for_each_finding_and_its_table():
    findings = [
        Finding("first", "ok", "fine", [["a", "bb"], ["1", "2"]]),
        Finding("second one", "fault", "broken: mend it"),
    ]
    lines = to_text(findings).splitlines()
    assert lines[0] == "ok       first       fine"
    assert lines[1:3] == ["  a  bb", "  1   2"]
    assert lines[-1] == "fault    second one  broken: mend it"
    assert len(to_text(findings, with_tables=False).splitlines()) == 2


def test_every_search_is_full_where_reanalysis_renews_values_only():
    reanalyse = ReanalyseConfig(mode="replay", search="values")
    agent = dataclasses.replace(config().agent, reanalyse=reanalyse)
    experiment = subject().experiment.with_builder(agent.make_builder())
    values_only = dataclasses.replace(subject(), experiment=experiment)
    searches = search_by_keys(values_only, agent, subject().params)
    policies = np.stack([search["search_policy"] for search in searches])
    np.testing.assert_allclose(policies.sum(axis=-1), 1, rtol=1e-5)
    assert not np.allclose(policies[0], policies[1])
    newest = newest_statistics(values_only, agent, subject().params, searches)
    assert list(newest) == ["search_value"]
