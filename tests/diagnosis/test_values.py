"""Verdicts on noise of action values and on stored values, from constructed arrays."""

import re
import types

import numpy as np
import pytest

from mukoe.diagnosis.divergence import kl
from mukoe.diagnosis.finding import Finding, picture, to_text
from mukoe.diagnosis.freshness import check_freshness
from mukoe.diagnosis.noise import _spread, judge_noise
from mukoe.diagnosis.search_policy import judge_search_policy
from mukoe.types import Row

ONES = np.ones(10)


@pytest.mark.parametrize(
    ("divergence", "spread", "trained", "verdict"),
    [
        (2.0, 1e-3, True, "fault"),  # Equal values, stretched to a sharp policy.
        (2.0, 0.5, True, "ok"),  # Sharp, because actions differ.
        (0.1, 1e-3, True, "ok"),  # Equal values leave the prior as it is.
        (2.0, 1e-3, False, "unknown"),
    ],
)
def test_a_sharp_policy_of_equal_values_is_noise(divergence, spread, trained, verdict):
    finding = judge_noise(divergence * ONES, spread * ONES, 1.0, trained)
    assert finding.verdict == verdict
    assert ("q_normalization.scope=tree" in finding.text) == (verdict == "fault")
    assert len(finding.curve) == 10 and len(finding.table) == 6


def test_few_noisy_states_are_no_fault_and_their_share_is_shown():
    spread = np.where(np.arange(10) < 1, 1e-4, 0.5)
    finding = judge_noise(2.0 * ONES, spread, 1.0, True)
    assert finding.verdict == "ok" and finding.text.startswith("in 10% of 10 states")


def test_states_with_one_visited_action_are_not_judged():
    values = np.array([[1.0, 3.0, 9.0], [5.0, 0.0, 0.0]])
    visits = np.array([[2, 1, 0], [4, 0, 0]])
    np.testing.assert_array_equal(_spread(values, visits), [2.0, np.nan])
    assert judge_noise(ONES, np.nan * ONES, 1.0, True).verdict == "unknown"
    assert judge_noise(ONES, ONES, 0.0, True).verdict == "unknown"


def test_the_divergence_of_a_policy_from_itself_is_0():
    policy = np.array([[0.3, 0.7], [1.0, 0.0]])
    np.testing.assert_allclose(kl(policy, policy, 1e-8), 0.0, atol=1e-6)
    sharp, flat = np.array([[1.0, 0.0]]), np.full((1, 2), 0.5)
    np.testing.assert_allclose(kl(sharp, flat, 1e-8), np.log(2), rtol=1e-6)


def searches_of_ties(keys=8, states=400):
    """Search policies of states in which three of six actions are equally good: one is chosen."""
    best = np.eye(6)[np.arange(3)]
    rng = np.random.default_rng(0)
    return [0.9 * best[rng.integers(3, size=states)] + 0.1 * best.mean(0) for _ in range(keys)]


@pytest.mark.parametrize(
    ("tied", "trained", "verdict"),
    [(3, True, "ok"), (6, True, "fault"), (6, False, "unknown")],
)
def test_a_prior_of_the_tied_actions_has_learned_a_search_that_chooses_one(tied, trained, verdict):
    policies = searches_of_ties()
    prior = np.tile((np.arange(6) < tied) / tied, (400, 1))
    legal = np.ones((400, 6), bool)
    finding = judge_search_policy(policies, prior, legal, trained)
    assert finding.verdict == verdict
    high, low = 0.9 + 0.1 / 3, 0.1 / 3
    entropy = -high * np.log(high) - 2 * low * np.log(low)
    told = [float(number) for number in re.findall(r"[\d.]+", finding.text)[:2]]
    np.testing.assert_allclose(told, [entropy, np.log(tied) - entropy], rtol=5e-3)


def test_illegal_actions_are_not_part_of_the_uniform_policy():
    policies = [np.eye(6)[np.zeros(4, int)]] * 8
    legal = np.tile(np.arange(6) < 3, (4, 1))
    finding = judge_search_policy(policies, legal / 3.0, legal, True)
    assert finding.verdict == "fault"
    assert "KL 1.1 to the prior, 1.1 to a uniform policy, 0 to the mean" in finding.text


def subject_of(stored):
    rows = Row(*[None] * 5, {"search_value": np.asarray(stored)[:, None]})
    builder = types.SimpleNamespace(replay=types.SimpleNamespace(history=0))
    return types.SimpleNamespace(
        sample=types.SimpleNamespace(rows=rows),
        experiment=types.SimpleNamespace(builder=builder),
    )


NEW = {"search_value": np.array([0.0, 1.0, 2.0, 3.0])}


@pytest.mark.parametrize(
    ("stored", "trained", "reads", "verdict"),
    [
        ([0.1, 1.1, 2.1, 2.9], True, True, "ok"),
        ([0.0, 0.0, 0.0, 0.0], True, True, "fault"),  # Those of parameters that knew nothing.
        ([0.0, 0.0, 0.0, 0.0], True, False, "ok"),
        ([0.0, 0.0, 0.0, 0.0], False, True, "unknown"),
    ],
)
def test_values_that_were_stored_long_ago_are_found(stored, trained, reads, verdict):
    finding = check_freshness(subject_of(stored), NEW, trained, reads)
    assert finding.verdict == verdict
    assert ("agent.reanalyse.mode=replay" in finding.text) == (verdict == "fault")


def test_agents_without_stored_values_are_not_judged():
    assert check_freshness(subject_of([0.0]), None, True, True).verdict == "unknown"


def test_a_picture_is_a_line_of_bars():
    assert picture([0.0, 1.0, 2.0]) == "0 ▁▅█ 2" or picture([0.0, 1.0, 2.0]) == "0 ▁▄█ 2"
    assert len(picture(range(1000)).split()[1]) == 60
    assert picture([1.0, np.nan, 1.0]) == "1 ▁?▁ 1" and picture([np.nan]) == ""
    finding = Finding("one", "ok", "fine", curve=[3.0, 1.0])
    assert to_text([finding]).splitlines()[1] == "  3 █▁ 1"
    assert len(to_text([finding], with_tables=False).splitlines()) == 1
