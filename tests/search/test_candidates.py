"""Search over candidates: against the full search, and on bandits with a known reward."""

import functools

import jax
import jax.numpy as jnp
import mctx
import numpy as np
import pytest

from mukoe.networks.action_space import BoxSpace, DiscreteSpace, ProductSpace
from mukoe.networks.distributions import GaussianConfig, candidate_log_probs
from mukoe.search.base import SearchModel
from mukoe.search.candidates import CandidateSampler, with_candidates
from mukoe.search.config import SearchConfig
from mukoe.search.plan import plan
from mukoe.search.q_normalization import QNormalizationConfig
from tests.search.problems import ALL_STATES, KEY, jitted_tree, mdp_model

GAUSSIAN = GaussianConfig(initial_std=0.4, minimum_std=0.02)
BATCH = 128


def bandit(reward, num_outputs) -> SearchModel:
    """One decision with the reward of an action `[B, ...]`; then it is over."""

    def recurrent(params, key, action, embedding):
        del params, key
        rewards = reward(action)
        return mctx.RecurrentFnOutput(
            reward=rewards,
            discount=jnp.zeros_like(rewards),
            prior_logits=jnp.zeros((action.shape[0], num_outputs)),
            value=jnp.zeros_like(rewards),
        ), embedding

    return SearchModel(lambda params, observation: None, recurrent)


@functools.partial(jax.jit, static_argnames=("space", "reward", "config", "evaluation"))
def searched(space, reward, config, outputs, evaluation=False, legal=None, taken=None, key=KEY):
    """Returns the output of searches from the outputs `[B, O]` of a policy head."""
    model = with_candidates(bandit(reward, outputs.shape[-1]), CandidateSampler(space, config))
    root = mctx.RootFnOutput(
        prior_logits=outputs,
        value=jnp.zeros(outputs.shape[0]),
        embedding=jnp.zeros(outputs.shape[0]),
    )
    return plan(config, model, (), key, root, legal, 0, evaluation=evaluation, taken=taken)[0]


def config(algorithm, count, simulations=None, **settings):
    """No noise at the root, and Q-values in units of the reward."""
    return SearchConfig(
        algorithm=algorithm,
        num_candidates=count,
        num_simulations=8 * count if simulations is None else simulations,
        max_num_considered_actions=count,
        dirichlet_fraction=0.0,
        gumbel_scale=0.0,
        q_normalization=QNormalizationConfig(scope="known", known_range=(-1.0, 0.0)),
        **settings,
    )


def hill(action):
    """Reward of at most 0, at (0.5, 0.5, ...)."""
    return -jnp.sum((action - 0.5) ** 2, axis=-1)


def flat(action):
    return jnp.zeros(action.shape[0])


@pytest.mark.parametrize("algorithm", ["gumbel", pytest.param("muzero", marks=pytest.mark.slow)])
def test_enough_candidates_are_the_full_search(algorithm):
    settings = {"algorithm": algorithm, "num_simulations": 14, "num_candidates": 9}
    sampler = CandidateSampler(DiscreteSpace(3), SearchConfig(**settings))
    full = jitted_tree(mdp_model(), **settings)
    sampled = jitted_tree(with_candidates(mdp_model(), sampler), **settings)
    legal = jnp.arange(3) != ALL_STATES[:, :1] % 3
    search_key, _ = jax.random.split(KEY)
    expected, tree = full(None, search_key, ALL_STATES, legal, 0)
    output, same = sampled(None, KEY, ALL_STATES, legal, 0)
    np.testing.assert_array_equal(output.action, expected.action)
    np.testing.assert_allclose(output.search_policy, expected.search_policy, atol=1e-6)
    np.testing.assert_allclose(output.search_value, expected.search_value, rtol=1e-5)
    np.testing.assert_array_equal(same.children_index, tree.children_index)
    np.testing.assert_array_equal(output.candidates, np.tile([0, 1, 2], (len(legal), 1)))


@pytest.mark.parametrize("algorithm", [pytest.param("muzero", marks=pytest.mark.slow), "gumbel"])
def test_the_improved_policy_moves_to_the_optimum_and_gets_there_with_more_candidates(algorithm):
    space, outputs = BoxSpace(2, GAUSSIAN), jnp.zeros((BATCH, 4))
    distances, rewards = [], []
    for count in (2, 12):
        output = searched(space, hill, config(algorithm, count), outputs)
        assert output.candidates.shape == (BATCH, count, 2)
        mean = np.einsum("bk,bkd->bd", output.search_policy, output.candidates).mean(axis=0)
        distances.append(np.abs(mean - 0.5).max())
        rewards.append(float(jnp.mean(hill(output.action))))
    # The mean of the prior is 0.5 away from the optimum in both dimensions.
    assert distances[1] + 0.05 < distances[0] < 0.45
    prior_reward = -2 * (0.5**2 + 0.4**2)
    assert prior_reward < rewards[0] < rewards[1] - 0.1


@pytest.mark.parametrize("simulations, wide", [(0, 0.0), (0, 0.75), (32, 0.75)])
def test_without_differences_in_value_the_policy_stays_as_it_is(wide, simulations):
    """The prior is corrected for the proposal: the spread of the candidates is not the policy's.

    A uniform prior would give the spread of the mixture with the widened policy, `1/4 + 3/4 3²`
    times that of the policy, and the density as prior half of it.
    """
    space, outputs = BoxSpace(1, GAUSSIAN), jnp.zeros((BATCH, 2))
    settings = config("gumbel", 32, simulations, wide_fraction=wide)
    output = searched(space, flat, settings, outputs)
    spread = np.var(np.asarray(output.candidates)) / 0.4**2
    assert spread == pytest.approx(1.0 if wide == 0 else 7.0, rel=0.1)
    second_moment = np.sum(output.search_policy[..., None] * output.candidates**2, axis=(1, 2))
    assert np.mean(second_moment) / 0.4**2 == pytest.approx(1.0, rel=0.1)


def test_repeated_candidates_count_once_with_their_shares():
    probs = np.array([0.5, 0.2, 0.1, 0.1, 0.05, 0.05])
    outputs = jnp.tile(jnp.log(jnp.float32(probs)), (BATCH, 1))
    output = searched(DiscreteSpace(6), flat, config("gumbel", 5, simulations=0), outputs)
    expectation = np.zeros(6)
    for actions, policy in zip(output.candidates, output.search_policy, strict=True):
        counts = np.bincount(actions, minlength=6)
        shares = np.bincount(actions, policy, minlength=6)
        np.testing.assert_allclose(shares, counts / 5, atol=1e-6)
        assert np.count_nonzero(policy) == np.count_nonzero(counts)
        expectation += shares / BATCH
    np.testing.assert_allclose(expectation, probs, atol=0.05)


def test_repeated_and_illegal_candidates_are_never_chosen():
    legal = jnp.tile(jnp.array([True, False, True, True, False, True]), (BATCH, 1))
    settings = config("muzero", 3, simulations=6)
    output = searched(DiscreteSpace(6), flat, settings, jnp.zeros((BATCH, 6)), legal=legal)
    assert set(np.unique(output.candidates)) == {0, 2, 3, 5}
    assert (output.candidates == output.action[:, None]).any(axis=1).all()
    repeated = np.asarray(output.candidates)[:, 1] == np.asarray(output.candidates)[:, 0]
    assert repeated.any()
    assert (np.asarray(output.search_policy)[repeated, 1] == 0).all()
    np.testing.assert_allclose(output.search_policy.sum(-1), 1.0, atol=1e-5)


def test_the_logged_action_is_a_candidate():
    space, outputs = BoxSpace(1, GAUSSIAN), jnp.zeros((BATCH, 2))
    taken = jnp.full((BATCH, 1), 0.5)
    output = searched(space, hill, config("gumbel", 4), outputs, taken=taken)
    assert (np.asarray(output.candidates) == 0.5).any(axis=(1, 2)).all()
    # It is the best action: the search plays it.
    np.testing.assert_array_equal(output.action, taken)
    assert np.asarray(output.stored.search_candidates).dtype == np.float32


def test_evaluation_knows_the_mode_and_draws_no_wide_candidates():
    outputs = jnp.tile(jnp.array([0.3, 0.0]), (BATCH, 1))
    space, settings = BoxSpace(1, GAUSSIAN), config("gumbel", 8, 0, wide_fraction=0.75)
    output = searched(space, flat, settings, outputs, evaluation=True)
    np.testing.assert_allclose(output.action[:, 0], np.full(BATCH, np.tanh(0.3)), rtol=1e-6)
    assert np.std(np.asarray(output.candidates)[:, 1:]) == pytest.approx(0.4, rel=0.1)
    again = searched(space, flat, settings, outputs, evaluation=True, key=jax.random.PRNGKey(9))
    np.testing.assert_array_equal(output.candidates, again.candidates)


TOOLS, FORCES = jnp.array([-1.0, -0.5, -0.1]), jnp.array([0.5, 0.5, -0.6])


def work(action):
    """Reward of a tool and a force, at most -0.1: the last tool, which takes a force of -0.6."""
    tool = action[:, 0].astype(jnp.int32)
    return TOOLS[tool] - (action[:, 1] - FORCES[tool]) ** 2


def test_the_best_tool_and_its_force_are_learned():
    """Of the policy head's outputs alone, by the cross-entropy with the improved policy."""
    space, settings = ProductSpace((3, 0), GAUSSIAN), config("gumbel", 8, 16)

    def loss(outputs, output):
        log_probs = candidate_log_probs(space.policy(outputs[None]), output.candidates, axis=1)
        return -jnp.mean(jnp.sum(output.search_policy * log_probs, axis=-1))

    outputs, step = jnp.zeros(space.num_outputs), jax.jit(jax.grad(loss))
    for key in jax.random.split(KEY, 60):
        output = searched(space, work, settings, jnp.tile(outputs, (32, 1)), key=key)
        outputs -= 0.3 * step(outputs, output)
    mode = space.policy(outputs).mode()
    assert mode[0] == 2
    assert mode[1] == pytest.approx(-0.6, abs=0.15)
