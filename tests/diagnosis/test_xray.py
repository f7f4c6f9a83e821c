"""X-ray: its numbers on hand-made trajectories, its verdicts, page and JSON file."""

import dataclasses
import json

import numpy as np
import pytest

from mukoe.agents.extensions import UnrollPredictions
from mukoe.configuration import load_config_file
from mukoe.diagnosis.finding import Finding
from mukoe.diagnosis.targets import support_finding
from mukoe.diagnosis.xray.calibration import measure_calibration
from mukoe.diagnosis.xray.config import XrayConfig
from mukoe.diagnosis.xray.measure import xray
from mukoe.diagnosis.xray.model_error import Unrolled, _starts, measure_model
from mukoe.diagnosis.xray.optimal import measure_optimal_moves
from mukoe.diagnosis.xray.page import make_page, to_json
from mukoe.diagnosis.xray.rare_rewards import (
    RareRewards,
    foreseen,
    imagined,
    rare_rewards,
)
from mukoe.diagnosis.xray.results import (
    Estimate,
    Figure,
    Section,
    Series,
    Table,
    estimate,
    estimate_of_groups,
)
from mukoe.diagnosis.xray.trajectories import Trajectories
from mukoe.diagnosis.xray.variants import doubling
from mukoe.diagnosis.xray.verdicts import (
    judge_actions,
    judge_ends,
    judge_gain,
    judge_prior,
    judge_rare_rewards,
    judge_rewards,
    judge_values,
)
from mukoe.environments.pgx.config import PgxConfig
from mukoe.layouts import local
from mukoe.layouts.common.stored_run import StoredRun
from mukoe.networks.value_encoding import SupportConfig
from mukoe.types import MaskedObservation, PolicyParams


def trajectories(reward, discount, last, **search):
    """Trajectories of one stream, `[T, 1]`."""
    last = np.array(last, bool)[:, None]
    first = np.roll(last, 1, axis=0)
    first[0] = True
    zeros = np.zeros(last.shape)
    numbers = {"search_value": zeros, "root_value": zeros}
    numbers |= {name: np.array(x, float)[:, None] for name, x in search.items()}
    reward, discount = (np.array(x, float)[:, None] for x in (reward, discount))
    return Trajectories(zeros, zeros.astype(int), reward, discount, first, last, numbers)


def many(steps, copies):
    """Trajectories of several equal streams."""
    import jax

    return Trajectories(
        *(
            jax.tree.map(lambda x: np.repeat(x, copies, axis=1), getattr(steps, field.name))
            for field in dataclasses.fields(steps)
        )
    )


def test_returns_end_with_the_episode_and_bootstrap_at_truncation():
    """Rewards 1 2, then 3 in an episode that is cut off with search value 10."""
    steps = trajectories(
        [1, 2, 0, 3, 0],
        [1, 0, 1, 1, 1],
        [0, 0, 1, 0, 1],
        search_value=[9, 9, 9, 9, 10],
    )
    assert steps.returns(0.5)[:, 0].tolist() == [1 + 0.5 * 2, 2, 9, 3 + 0.5 * 10, 10]
    assert steps.complete()[:, 0].tolist() == [True, True, False, True, False]


def test_the_turn_changes_the_sign_of_a_return():
    steps = trajectories([0, 0, 1, 0], [-1, -1, 0, 1], [0, 0, 0, 1])
    assert steps.returns(1.0)[:3, 0].tolist() == [1, -1, 1]
    assert steps.returns(1.0, turns=False)[:3, 0].tolist() == [1, 1, 1]


def test_an_estimate_over_groups_is_wider_than_one_over_dependent_steps():
    groups = np.repeat(np.arange(8), 50)
    values = np.repeat(np.random.default_rng(0).normal(size=8), 50)
    dependent, independent = estimate_of_groups(values, groups), estimate(values)
    assert dependent.mean == pytest.approx(independent.mean) == pytest.approx(values.mean())
    assert dependent.low < dependent.mean < dependent.high
    assert dependent.high - dependent.low > 3 * (independent.high - independent.low)
    assert estimate([]).size == 0 and str(estimate([])) == "–"


def test_simulations_double_up_to_the_largest():
    assert [doubling(n) for n in (0, 1, 5, 8)] == [[], [1], [1, 2, 4, 5], [1, 2, 4, 8]]


def unrolled(shift):
    """Unroll whose rewards are those of another action."""
    rewards = np.random.default_rng(0).integers(0, 2, size=(64, 6)).astype(float)
    true = rewards[:, 1:5]
    values, none = np.zeros((64, 5)), np.zeros(0)
    return Unrolled(
        stream=np.arange(64) % 8,
        rewards=rewards[:, 1 + shift : 5 + shift] + 0.1,
        true_rewards=true,
        rewards_before=rewards[:, :4],
        rewards_after=rewards[:, 2:],
        discounts=true,
        true_discounts=true,
        values=values,
        direct_values=values,
        returns=values + 1,
        divergence=values,
        gains={},
        end_rewards=none,
        last_rewards=none,
        end_values=none,
    )


@pytest.mark.parametrize("history", [0, 1])
def test_rare_rewards_are_unrolled_from_every_step_before_them(history):
    """Episodes with rewards 2 at the end and -1 in the middle, and 14 actions without any."""
    steps = trajectories(
        [0, 0, 2, 0, 0, -1, 0, 0, *([0] * 15)],
        [1, 1, 0, 1, 1, 1, 0, 1, *([1] * 13), 0, 1],
        [0, 0, 0, 1, 0, 0, 0, 1, *([0] * 14), 1],
    )
    windows = []

    def model(params, rows):
        """Knows the rewards of the next two actions; that of the second is too small by far."""
        windows.append(rows)
        rewards = rows.reward[:, history : history + 3] * np.array([0.6, 0.4, 0.0])
        return UnrollPredictions(rewards, None, None, None)

    found = rare_rewards(model, None, steps, history, 3)
    assert found.true.tolist() == [2, -1] and found.stream.tolist() == [0, 0]
    expected = np.array([[1.2, 0.8, 0.0], [-0.6, -0.4, np.nan]])
    if history:  # A root needs the row before it.
        expected = np.array([[1.2, 0.8, np.nan], [-0.6, np.nan, np.nan]])
    np.testing.assert_allclose(found.predicted, expected, atol=1e-6)
    assert len({rows.reward.shape for rows in windows}) == 1, "compiled once"
    numbers, shares = foreseen(found)
    assert numbers == ([1, 2] if history else [1, 2, 3])
    assert [share.mean for share in shares] == ([1, 0] if history else [1, 0, 0])
    assert shares[0].size == 2


def test_rewards_of_most_steps_are_not_rare():
    steps = trajectories([1, 1, 1, 0], [1, 1, 0, 1], [0, 0, 0, 1])
    found = rare_rewards(lambda params, rows: pytest.fail("unrolled"), None, steps, 0, 2)
    assert not found.true.size and not foreseen(found)[0]


@pytest.mark.parametrize(
    "predicted, verdict, text",
    [(0.4, "fault", "0% of 40"), (0.5, "ok", "100% of 40"), (np.nan, "unknown", "0 rare rewards")],
)
def test_a_model_that_foresees_no_rare_reward_is_named(predicted, verdict, text):
    rare = RareRewards(np.zeros(20, int), np.full(20, -1.0), np.full((20, 2), -predicted))
    finding = judge_rare_rewards([rare, None, rare])
    assert finding.verdict == verdict and text in finding.text


def test_rewards_that_the_model_imagines_are_counted_where_there_is_none():
    rare = RareRewards(np.zeros(2, int), np.array([-1.0, 2.0]), np.zeros((2, 2)))
    true = np.array([[0.0, 1.0], [0.0, 0.0], [0.0, 0.0]])
    predicted = np.array([[-0.5, 1.0], [0.4, 0.9], [0.0, 0.0]])
    numbers, shares = imagined(rare, predicted, true, np.arange(3))
    assert (numbers, [share.mean for share in shares]) == ([1, 2], [pytest.approx(1 / 3), 0.5])


@pytest.mark.parametrize(
    "shift, verdict, text",
    [(0, "ok", "0.1"), (-1, "fault", "the action before"), (1, "fault", "the action after")],
)
def test_shifted_rewards_are_named(shift, verdict, text):
    finding = judge_rewards([unrolled(shift)])
    assert finding.verdict == verdict and text in finding.text


@pytest.mark.parametrize(
    "values, verdict, text",
    [
        ([1, -1, 1, 0], "ok", ""),
        ([-1, 1, -1, 0], "fault", "the opposite sign"),
        ([1, 1, 1, 0], "fault", "one player"),
    ],
)
def test_values_of_another_sign_are_named(values, verdict, text):
    steps = trajectories([0, 0, 1, 0], [-1, -1, 0, 1], [0, 0, 0, 1], root_value=values)
    finding = judge_values(many(steps, 12), 1.0, True)
    assert finding.verdict == verdict and text in finding.text


def test_a_support_that_is_too_small_is_named():
    agent = load_config_file("configs/tictactoe.py").agent
    assert support_finding(agent, np.zeros(3), np.array([-1.0, 1.0])).verdict == "ok"
    small = dataclasses.replace(
        agent.network, value_support=SupportConfig(0.0, 1.0, 3, hyperbolic=False)
    )
    agent = dataclasses.replace(agent, network=small)
    finding = support_finding(agent, np.zeros(3), np.array([-1.0, 1.0]))
    assert finding.verdict == "fault" and "agent.network.value_support" in finding.text


def test_a_model_without_unroll_says_why():
    section = measure_model("no model", "no model")
    assert section.text == "no model" and not section.figures
    both = measure_model(unrolled(0), "too short")
    assert [figure.name for figure in both.figures][0] == "reward_error"
    assert both.figures[0].series[0].y[0].mean == pytest.approx(0.1)
    assert both.figures[0].series[0].x == [1, 2, 3, 4]
    assert both.figures[1].series[0].x == [0, 1, 2, 3, 4]
    assert "random actions: too short" in both.text


def test_a_model_without_an_unroll_starts_at_every_action():
    """The rules of AlphaZero: no history, no step after the root."""
    steps = trajectories([0, 0, 1, 0], [-1, -1, 0, 1], [0, 0, 0, 1])
    for depth, starts in ((0, {0, 1, 2}), (2, {0, 1})):
        assert set(_starts(steps, 0, depth)[:, 0]) == starts


def test_calibrated_values_lie_on_the_diagonal():
    steps = trajectories([0, 0, 1, 0], [-1, -1, 0, 1], [0, 0, 0, 1], root_value=[1, -1, 1, 0])
    section = measure_calibration(many(steps, 12), 1.0)
    network = section.figures[0].series[0]
    assert [y.mean for y in network.y] == pytest.approx(network.x)
    assert section.tables[0].rows[0][3] == pytest.approx(1.0)
    assert "Too few" in measure_calibration(steps, 1.0).text


def test_the_winning_move_is_the_optimal_one():
    """Own stones at 0 and 1: only 2 wins at once; the search finds it, the prior does not."""
    features = np.zeros((1, 1, 3, 3, 2), bool)
    features[0, 0, 0, :2, 0] = features[0, 0, 1, :2, 1] = True
    legal = ~features.any(-1).reshape(1, 1, 9)
    steps = dataclasses.replace(
        trajectories([0], [-1], [0], search_action=[2], prior_action=[8]),
        observation=MaskedObservation(features, legal),
    )
    prior, search = measure_optimal_moves(steps).figures[0].series
    assert (prior.x, prior.y[0].mean, search.y[0].mean) == ([4], 0, 1)


def test_page_and_json_hold_the_same_numbers():
    section = Section(
        "part",
        "A part",
        "Its <text>.",
        [
            Figure(
                "curve", "A curve", "x", [Series("line", [1, 2], [Estimate(1, 0, 2, 3)] * 2)], 0.5
            )
        ],
        [Table("rows", ["name", "value"], [["a", Estimate(float("nan"), 0, 0, 0)], ["b", 2.5]])],
    )
    findings = [Finding("signs", "fault", "opposite")]
    page = make_page("Title", "subtitle", findings, [section])
    assert "Verdicts: 1 fault" in page and "Its &lt;text&gt;." in page and "2.5" in page
    assert 'id="curve"' in page and "http" not in page.replace("http://www.w3.org", "")
    content = json.loads(to_json({"seed": 1}, findings, [section]))
    part = content["sections"]["part"]
    assert part["figures"]["curve"]["series"]["line"]["y"][0]["high"] == 2
    assert part["tables"]["rows"][0]["value"]["mean"] is None
    assert content["verdicts"][0]["verdict"] == "fault"


def untrained(config, workdir, **network):
    """Returns a run of two simulations with the first parameters."""
    import jax

    search = dataclasses.replace(config.agent.search, num_simulations=2)
    network = dataclasses.replace(config.agent.network, hidden_sizes=(16,), width=16, **network)
    agent = dataclasses.replace(config.agent, search=search, network=network)
    config = dataclasses.replace(config, agent=agent)
    experiment = config.make_experiment()
    spec = local.check(experiment)
    params = experiment.builder.make_networks(spec).init(jax.random.PRNGKey(0))
    (workdir / "checkpoints").mkdir()
    return StoredRun(workdir, config, experiment, spec, PolicyParams(params, np.int32(0)), {})


@pytest.mark.slow
def test_an_agent_that_knows_the_rules_has_no_rewards_to_foresee(tmp_path):
    config = load_config_file("configs/connect_four.py")
    agent = dataclasses.replace(config.agent, game="tic_tac_toe")
    game = PgxConfig("tic_tac_toe", opponent="random")
    run = untrained(dataclasses.replace(config, agent=agent, environment=game), tmp_path, blocks=1)
    result = xray(run, XrayConfig(episodes=2, max_simulations=2, seconds=1.0, max_steps=64))
    verdicts = {finding.check: finding.verdict for finding in result.findings}
    assert verdicts["rare rewards are foreseen"] == "unknown"


@pytest.mark.slow
def test_every_section_of_an_untrained_agent(tmp_path):
    """All measurements of tic-tac-toe with two simulations."""
    run = untrained(load_config_file("configs/tictactoe.py"), tmp_path)
    result = xray(run, XrayConfig(episodes=4, max_simulations=2, seconds=600.0, max_steps=64))
    sections = {section.name: section for section in result.sections}
    assert list(sections) == [
        "model",
        "calibration",
        "optimal",
        "simulations",
        "depth",
        "algorithms",
        "true_model",
        "decisions",
        "training",
    ]
    assert [row[0] for row in sections["simulations"].tables[0].rows] == [0, 1, 2]
    assert len(sections["algorithms"].tables[0].rows) == 5
    assert len(sections["model"].figures) == 4
    assert len(result.findings) == 12
    assert "<svg" in make_page("", "", result.findings, result.sections)


def test_a_model_without_the_actions_is_named():
    streams, gains = np.arange(64) % 8, np.random.default_rng(0).normal(size=64)
    follows = unrolled(0)._replace(stream=streams)
    for gain, verdict in ((1 + 0.1 * gains, "ok"), (0.0 * gains, "fault"), (-(gains**2), "fault")):
        assert judge_actions([follows._replace(gains={"value": gain})]).verdict == verdict
    for without in ([], [follows._replace(gains={})]):
        assert judge_actions(without).verdict == "unknown"


def test_rewards_of_the_action_before_are_seen_behind_the_end():
    """Every episode ends with its only reward: within it, those of the action before are all 0."""
    zeros, last = np.zeros((64, 4)), np.where(np.arange(64) % 2, 1.0, -1.0)
    rewards = zeros.copy()
    rewards[:, -1] = last
    sound = unrolled(0)._replace(
        rewards=rewards,
        true_rewards=rewards,
        rewards_before=zeros,
        rewards_after=zeros,
        end_rewards=zeros[:, 0],
        last_rewards=last,
    )
    blind = sound._replace(rewards=zeros)
    shifted = blind._replace(end_rewards=last)
    assert judge_rewards([sound]).verdict == "ok"
    assert "or nothing is learned" in judge_rewards([blind]).text
    finding = judge_rewards([shifted])
    assert finding.verdict == "fault" and "the action before: " in finding.text


def test_values_behind_the_end_are_0():
    ends = unrolled(0)._replace(direct_values=np.ones((64, 5)))
    for value, verdict in ((0.1, "ok"), (0.9, "fault")):
        assert judge_ends([ends._replace(end_values=np.full(64, value))]).verdict == verdict
    assert judge_ends([ends]).verdict == "unknown"


@pytest.mark.parametrize(
    ("prior", "verdict"), [([0.8, 0.2], "ok"), ([0.1, 0.9], "fault"), ([0.5, 0.5], "fault")]
)
def test_a_prior_of_other_targets_or_of_none_is_a_fault(prior, verdict):
    steps = many(trajectories([0] * 4, [1] * 4, [0] * 4), 8)
    policy = np.broadcast_to([0.9, 0.1], (4, 8, 2))
    numbers = {"search_policy": policy, "prior": np.broadcast_to(prior, policy.shape)}
    steps = dataclasses.replace(steps, search=steps.search | numbers)
    assert judge_prior(steps).verdict == verdict


def test_a_search_that_loses_return_is_a_fault():
    returns = np.random.default_rng(0).normal(10.0, 1.0, size=16)
    assert judge_gain(returns, returns - 1.0).verdict == "fault"
    assert judge_gain(returns, returns + 1.0).verdict == "ok"
