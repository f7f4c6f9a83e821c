import jax.numpy as jnp
import numpy as np
import pytest
import rlax

from mukoe.learning.returns import (
    n_step_returns,
    n_step_states,
    retrace_returns,
    td_lambda_returns,
)


def random_rows(rng, ending, length, size):
    """An episode of `length` actions (or one that does not end) in a window of `size` rows."""
    mask = np.zeros(size)
    discounts = np.zeros(size)
    rewards = np.zeros(size)
    values = np.zeros(size)
    acted = min(length, size)
    mask[:acted] = 1
    discounts[:acted] = rng.choice([1.0, 0.5, -1.0], acted)
    rewards[:acted] = rng.normal(size=acted)
    values[: min(length + 1, size)] = rng.normal(size=min(length + 1, size))
    if ending == "termination" and length <= size:
        discounts[length - 1] = 0
    return rewards, discounts, mask, values


def naive(t, n, rewards, discounts, mask, values, discount):
    """`z = r + γ d z'`, n times, down to the value of the observation that is reached."""
    if n == 0 or not mask[t]:
        return values[t]
    rest = naive(t + 1, n - 1, rewards, discounts, mask, values, discount)
    return rewards[t] + discount * discounts[t] * rest


@pytest.mark.parametrize("ending", ["termination", "truncation"])
@pytest.mark.parametrize("numpy", [np, jnp])
@pytest.mark.parametrize("n", [1, 3, 5])
def test_n_step_returns_equal_the_recursion(ending, numpy, n):
    rng = np.random.default_rng(n)
    size = 9
    # Lengths 1 to 8 end in the window, the others continue past it.
    episodes = [random_rows(rng, ending, length, size) for length in range(1, 13)]
    arrays = [np.stack(parts).astype(np.float32) for parts in zip(*episodes, strict=True)]
    rewards, discounts, mask, values = (numpy.asarray(array) for array in arrays)
    returns = n_step_returns(rewards, discounts, mask, values, n, 0.9)
    assert isinstance(returns, np.ndarray if numpy is np else jnp.ndarray)
    assert returns.shape == (len(episodes), size - n)
    compared = 0
    for got, episode in zip(np.asarray(returns), episodes, strict=True):
        for t in range(size - n):
            if episode[2][t]:
                np.testing.assert_allclose(got[t], naive(t, n, *episode, 0.9), atol=1e-5)
                compared += 1
    assert compared > 40


def test_n_step_returns_read_the_values_of_their_states_only():
    # Four actions, the final observation at row 4, then padding; n = 2.
    mask = np.array([1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0])
    np.testing.assert_array_equal(n_step_states(mask, 2), [2, 3, 4, 4, 4])
    np.testing.assert_array_equal(n_step_states(np.ones((3, 5)), 3), [[3, 4]] * 3)
    rng = np.random.default_rng(0)
    for length in range(1, 13):
        rewards, discounts, mask, values = random_rows(rng, "truncation", length, 9)
        states = np.asarray(n_step_states(mask, 3))
        read = np.full(9, 7.0)
        read[states] = values[states]
        for t in range(6):
            if mask[t]:
                assert states[t] == min(t + 3, length)
                expected = n_step_returns(rewards, discounts, mask, values, 3, 0.9)[t]
                assert n_step_returns(rewards, discounts, mask, read, 3, 0.9)[t] == expected


def test_n_step_returns_of_one_sequence_in_numbers():
    # 1 + 0.5 * 2 + 0.25 * 8 = 4; then 2 + 0.5 * (the turn passes: -1) * 8 = -2, which is
    # bootstrapped one step early because the episode is truncated there.
    rewards = np.array([1.0, 2.0, 0.0, 0.0])
    mask = np.array([1.0, 1.0, 0.0, 0.0])
    values = np.array([5.0, 6.0, 8.0, 0.0])
    returns = n_step_returns(rewards, np.array([1.0, 1.0, 0, 0]), mask, values, 2, 0.5)
    np.testing.assert_array_equal(returns, [4, 6])
    returns = n_step_returns(rewards, np.array([1.0, -1.0, 0, 0]), mask, values, 2, 0.5)
    np.testing.assert_array_equal(returns, [0, -2])


def naive_retrace(t, rewards, discounts, mask, q, v, traces, discount):
    """`G_t` by recursion; the last row and the final observation end it."""
    if t == len(rewards) - 1 or not mask[t]:
        return v[t]
    follow = v[t + 1]
    if t + 2 < len(rewards) and mask[t + 1]:
        rest = naive_retrace(t + 1, rewards, discounts, mask, q, v, traces, discount)
        follow += traces[t + 1] * (rest - q[t + 1])
    return rewards[t] + discount * discounts[t] * follow


@pytest.mark.parametrize("ending", ["termination", "truncation"])
@pytest.mark.parametrize("numpy", [np, jnp])
def test_retrace_equals_the_recursion(ending, numpy):
    rng = np.random.default_rng(5)
    size, compared = 7, 0
    for length in range(1, 10):
        rewards, discounts, mask, v = random_rows(rng, ending, length, size)
        q, ratios = rng.normal(size=size), rng.uniform(0.2, 3.0, size)
        arrays = [numpy.asarray(x) for x in (rewards, discounts, mask, q, v, ratios)]
        returns = retrace_returns(*arrays, retrace_lambda=0.8, discount=0.9)
        assert returns.shape == (size - 1,)
        traces = 0.8 * np.minimum(ratios, 1.0)
        for t in range(size - 1):
            if mask[t]:
                expected = naive_retrace(t, rewards, discounts, mask, q, v, traces, 0.9)
                np.testing.assert_allclose(returns[t], expected, atol=1e-5)
                compared += 1
    assert compared > 30


def test_retrace_on_policy_with_decay_1_is_the_n_step_return():
    """On average over the actions: where q is v, as for a policy of one action."""
    rng = np.random.default_rng(6)
    rewards, discounts, mask, v = random_rows(rng, "truncation", 20, 6)
    returns = retrace_returns(
        rewards, discounts, mask, v, v, np.ones(6), retrace_lambda=1.0, discount=0.9
    )
    for t in range(5):
        (expected,) = n_step_returns(rewards[t:], discounts[t:], mask[t:], v[t:], 5 - t, 0.9)
        np.testing.assert_allclose(returns[t], expected, rtol=1e-10)
    # Action values that are not state values change nothing in expectation: with two equally
    # likely actions of q = v ± 1 in the middle, the mean over both is the n-step return.
    middle = []
    for sign in (1, -1):
        q = v.copy()
        q[2] += sign
        middle.append(
            retrace_returns(
                rewards, discounts, mask, q, v, np.ones(6), retrace_lambda=1.0, discount=0.9
            )
        )
    assert abs(middle[0][0] - returns[0]) > 0.1
    np.testing.assert_allclose(np.mean(middle, axis=0), returns, rtol=1e-10)


def full_rows(size=8):
    """Rows of an episode that does not end within the window, as float32."""
    rng = np.random.default_rng(7)
    rows = random_rows(rng, "truncation", 20, size)
    q, ratios = rng.normal(size=size), rng.uniform(0.2, 3.0, size)
    return [np.asarray(array, np.float32) for array in (*rows, q, ratios)]


@pytest.mark.parametrize("n", [1, 3, 7])
@pytest.mark.parametrize("td_lambda", [0.0, 0.6, 1.0])
def test_td_lambda_returns_equal_those_of_rlax(n, td_lambda):
    rewards, discounts, mask, values, _, _ = full_rows()
    returns = td_lambda_returns(rewards, discounts, mask, values, n, 0.9, td_lambda)
    expected = rlax.n_step_bootstrapped_returns(
        rewards[:-1], 0.9 * discounts[:-1], values[1:], n, td_lambda
    )
    np.testing.assert_allclose(returns, expected[: len(returns)], rtol=1e-5, atol=1e-6)


def test_retrace_returns_equal_those_of_rlax():
    rewards, discounts, mask, values, q, ratios = full_rows()
    returns = retrace_returns(rewards, discounts, mask, q, values, ratios, 0.8, 0.9)
    traces = 0.8 * np.minimum(ratios, 1.0)
    expected = rlax.general_off_policy_returns_from_q_and_v(
        q[1:-1], values[1:], rewards[:-1], 0.9 * discounts[:-1], traces[1:-1]
    )
    np.testing.assert_allclose(returns, expected, rtol=1e-5, atol=1e-6)


def test_wrong_shapes_are_refused():
    rewards, discounts, mask, values, q, ratios = full_rows()
    for estimate, arguments in (
        (n_step_returns, (2, 0.9)),
        (td_lambda_returns, (2, 0.9, 0.5)),
    ):
        with pytest.raises(AssertionError, match="shape"):
            estimate(rewards, discounts, mask, values[:, None], *arguments)
    with pytest.raises(AssertionError, match="shape"):
        retrace_returns(rewards, discounts, mask, q, values[:, None], ratios, 0.8, 0.9)
