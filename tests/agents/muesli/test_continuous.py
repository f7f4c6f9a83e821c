"""Muesli with continuous actions, against a slow version with loops and against integrals."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from dm_env import specs

from mukoe.agents.muesli.actions import make_actions
from mukoe.agents.muesli.builder import MuesliBuilder
from mukoe.agents.muesli.cmpo import MovingSecondMoment, sampled_cmpo_weights
from mukoe.agents.muesli.config import MuesliConfig, MuesliLossConfig
from mukoe.agents.muesli.look_ahead import LookAhead
from mukoe.agents.muesli.losses import make_loss
from mukoe.agents.muzero.config import MuZeroConfig
from mukoe.errors import UserError
from mukoe.networks.config import NetworkConfig
from mukoe.networks.distributions import Gaussian
from mukoe.networks.history import HistoryConfig
from mukoe.networks.value_encoding import SupportConfig
from mukoe.types import EnvironmentSpec, PolicyParams, Row, Sample
from tests.networks.tiny import random_params

B, D, F, K, L, N = 5, 2, 2, 2, 4, 6
S = L + 1
GAMMA, TRACE, BETA, MINIMUM, INITIAL = 0.9, 0.8, 0.7, 0.02, 0.5
VALUE_BINS, REWARD_BINS = np.linspace(-6, 6, 13), np.linspace(-2, 2, 5)
SPEC = EnvironmentSpec(
    observations=specs.Array((3,), np.float32),
    actions=specs.BoundedArray((D,), np.float32, -1.0, 1.0),
    rewards=specs.Array((), np.float32),
    discounts=specs.BoundedArray((), np.float32, 0.0, 1.0),
)

CONFIG = MuesliConfig(
    network=NetworkConfig(
        hidden_sizes=(8,),
        width=8,
        head_sizes=(8,),
        dynamics="lstm",
        value_support=SupportConfig(-6.0, 6.0, 13, hyperbolic=False),
        reward_support=SupportConfig(-2.0, 2.0, 5, hyperbolic=False),
    ),
    history=HistoryConfig(frames=F),
    discount=GAMMA,
    loss=MuesliLossConfig(
        sequence_length=L,
        unroll_steps=K,
        retrace_lambda=TRACE,
        moment_decay=BETA,
        num_samples=N,
        policy_weight=0.7,
        regularizer_weight=1.4,
        model_policy_weight=0.6,
        value_weight=0.3,
        reward_weight=1.3,
        prior_behavior=0.1,
        prior_uniform=0.05,
    ),
)


def build(seed=0, config=CONFIG):
    networks = MuesliBuilder(config).make_networks(SPEC)
    return networks, random_params(networks.init, noise=0.3, seed=seed)


def make_sample():
    """Episodes of 1, 3 and 2 actions that terminate or are truncated, and an unfinished one."""
    rng = np.random.default_rng(1)
    T = F - 1 + S
    mask, discount = np.zeros((B, T), np.float32), np.zeros((B, T), np.float32)
    for b, (end, terminates) in enumerate([(1, 1), (3, 1), (2, 0), (9, 0), (3, 0)]):
        mask[b, b % 2 : F - 1 + end] = discount[b, b % 2 : F - 1 + end] = 1
        if terminates:
            discount[b, F - 2 + end] = 0
    taken = mask[..., None]
    mean = rng.uniform(-0.5, 0.5, (B, T, D)) * taken
    std = rng.uniform(0.3, 0.9, (B, T, D)) * taken
    rows = Row(
        observation=rng.normal(size=(B, T, 3)).astype(np.float32),
        action=(mean + std * rng.normal(size=(B, T, D))).astype(np.float32),
        reward=(rng.normal(size=(B, T)) * mask).astype(np.float32),
        discount=discount,
        mask=mask,
        extras={"behavior_mean": mean.astype(np.float32), "behavior_std": std.astype(np.float32)},
    )
    return Sample((), np.full(B, 0.2, np.float32), rows)


def softmax(logits):
    e = np.exp(np.asarray(logits, np.float64) - np.max(logits))
    return e / e.sum()


def cross_entropy(target, logits):
    return -float(np.sum(target * np.log(softmax(logits))))


def two_hot(x, bins):
    y = np.clip(x, bins[0], bins[-1])
    upper = min(max(int(np.searchsorted(bins, y)), 1), len(bins) - 1)
    share = (y - bins[upper - 1]) / (bins[upper] - bins[upper - 1])
    target = np.zeros(len(bins))
    target[upper - 1], target[upper] = 1 - share, share
    return target


def head(outputs):
    x, y = np.split(np.asarray(outputs, np.float64), 2)
    std = MINIMUM + (INITIAL - MINIMUM) * np.log1p(np.exp(y)) / np.log(2)
    return scipy.stats.norm(np.tanh(x), std)


def log_density(normal, action):
    return float(np.sum(normal.logpdf(np.asarray(action, np.float64))))


class SlowRows:
    """The target network's view of one sequence, row by row; the draws of the prior are given."""

    def __init__(self, networks, params, rows, b, draws):
        self.networks, self.params, self.rows, self.b, self.draws = networks, params, rows, b, draws
        self.looked = {}

    def input(self, i):
        frames = [
            self.rows.observation[self.b, j] * (self.rows.mask[self.b, j] > 0)
            for j in range(i - F + 1, i)
        ]
        return np.concatenate([*frames, self.rows.observation[self.b, i]])[None]

    def behavior(self, i):
        extras = self.rows.extras
        return scipy.stats.norm(
            extras["behavior_mean"][self.b, i], extras["behavior_std"][self.b, i]
        )

    def q(self, state, action):
        after, reward_logits = self.networks.dynamics(self.params, state, action[None])
        value_logits = self.networks.prediction(self.params, after).value_logits[0]
        reward = np.sum(softmax(reward_logits[0]) * REWARD_BINS)
        return reward + GAMMA * np.sum(softmax(value_logits) * VALUE_BINS)

    def look(self, i):
        """The draws, their prior densities and values; density and value of what was done."""
        if i not in self.looked:
            state = self.networks.representation(self.params, self.input(i))
            target = head(self.networks.prediction(self.params, state).policy_logits[0])
            behavior = self.behavior(i)

            def prior(action):
                uniform = 0.5**D if np.all(np.abs(action) <= 1) else 0.0
                mixed = 0.85 * np.exp(log_density(target, action)) + 0.05 * uniform
                if self.rows.mask[self.b, i]:
                    mixed += 0.1 * np.exp(log_density(behavior, action))
                return mixed

            drawn, taken = self.draws[self.b, i - (F - 1)], self.rows.action[self.b, i]
            self.looked[i] = (
                np.array([prior(a) for a in drawn]),
                np.array([self.q(state, a) for a in drawn]),
                prior(taken),
                self.q(state, taken),
            )
        return self.looked[i]

    def value(self, i):
        return float(np.mean(self.look(i)[1]))

    def retrace(self, i):
        rows, b, last = self.rows, self.b, F - 1 + L
        follow = 0.0
        if rows.discount[b, i] != 0:
            follow = self.value(i + 1)
            if i + 1 < last and rows.mask[b, i + 1]:
                _, _, prior, q = self.look(i + 1)
                behavior = np.exp(log_density(self.behavior(i + 1), rows.action[b, i + 1]))
                follow += TRACE * min(1, prior / behavior) * (self.retrace(i + 1) - q)
        return rows.reward[b, i] + GAMMA * rows.discount[b, i] * follow


def slow_loss(networks, params, target_params, sample, moment, draws, absorbing_actions):
    rows, loss = sample.rows, CONFIG.loss
    functions = ("representation", "prediction", "dynamics")
    networks = dataclasses.replace(
        networks, **{name: jax.jit(getattr(networks, name)) for name in functions}
    )
    slow = [SlowRows(networks, target_params, rows, b, draws) for b in range(B)]
    acted = [(b, i) for b in range(B) for i in range(F - 1, F - 1 + L) if rows.mask[b, i]]
    errors = {(b, i): slow[b].retrace(i) - slow[b].value(i) for b, i in acted}
    second = BETA * (1 - BETA) * moment + (1 - BETA) * np.mean(np.square(list(errors.values())))
    sigma = np.sqrt(second / (1 - BETA**2) + 1e-12)

    def divergence(b, i, outputs):
        """`1/N Σ w (log w + log prior - log π)`, the weights from the paper's equation 12."""
        prior, q, _, _ = slow[b].look(i)
        e = np.exp(np.clip((q - q.mean()) / sigma, -1, 1))
        total = 0.0
        for j in range(N):
            w = e[j] / ((1 + e.sum() - e[j]) / N)
            density = log_density(head(outputs), draws[b, i - (F - 1), j])
            total += w * (np.log(w) + np.log(prior[j]) - density) / N
        return total

    total = 0.0
    for b, i in acted:
        state = networks.representation(params, slow[b].input(i))
        prediction, action = networks.prediction(params, state), rows.action[b, i]
        outputs = prediction.policy_logits[0]
        ratio = np.exp(
            log_density(head(outputs), action) - log_density(slow[b].behavior(i), action)
        )
        policy_loss = -ratio * errors[b, i] / sigma
        policy_loss += loss.regularizer_weight * divergence(b, i, outputs)
        total += loss.policy_weight * policy_loss
        value_target = two_hot(slow[b].retrace(i), VALUE_BINS)
        total += loss.value_weight * cross_entropy(value_target, prediction.value_logits[0])
        terminated = False
        for j in range(i + 1, min(i + K, F - 1 + L) + 1):
            was_acted, was_terminated = rows.mask[b, j - 1] > 0, terminated
            action = rows.action[b, j - 1] if was_acted else absorbing_actions[b, j - F]
            state, reward_logits = networks.dynamics(params, state, action[None])
            if was_acted or was_terminated:
                reward_target = two_hot(rows.reward[b, j - 1] * was_acted, REWARD_BINS)
                total += loss.reward_weight * cross_entropy(reward_target, reward_logits[0]) / K
            terminated |= was_acted and rows.discount[b, j - 1] == 0
            if j == F - 1 + L:
                break
            prediction = networks.prediction(params, state)
            if rows.mask[b, j]:
                step = divergence(b, j, prediction.policy_logits[0])
                total += loss.model_policy_weight * step / K
            if rows.mask[b, j] or terminated:
                value_target = two_hot(slow[b].retrace(j) if rows.mask[b, j] else 0.0, VALUE_BINS)
                step = cross_entropy(value_target, prediction.value_logits[0])
                total += loss.value_weight * step / K
    return total / len(acted), second


def test_loss_equals_the_slow_one():
    networks, params = build()
    target_params = jax.tree.map(lambda x: 0.7 * x + 0.1, params)
    sample, key = make_sample(), jax.random.PRNGKey(3)
    # The draws are those of the loss; what they are worth is computed anew.
    look_key, rest = jax.random.split(key)
    space = make_actions(networks, CONFIG)
    rows = jax.tree.map(lambda x: x[:, F - 1 :], sample.rows)
    past = sample.rows.observation[:, :-1] * (sample.rows.mask[:, :-1, None] > 0)
    inputs = np.concatenate([past, rows.observation], -1)
    draws = np.asarray(space.look_ahead(target_params, rows, inputs, look_key).actions)
    assert draws.shape == (B, S, N, D)
    absorbing = np.asarray(space.space.uniform(jax.random.split(rest)[1], (B, L)))
    moment = MovingSecondMoment.zero().add(2.0, BETA)
    expected, second = slow_loss(networks, params, target_params, sample, 2.0, draws, absorbing)
    loss, extra = jax.jit(make_loss(networks, CONFIG))(params, target_params, sample, key, moment)
    np.testing.assert_allclose(loss, expected, rtol=2e-4)
    np.testing.assert_allclose(extra.loss_state.total, second, rtol=1e-3)


def test_padding_leaves_the_gradient_finite():
    networks, params = build()
    gradient = jax.jit(jax.grad(make_loss(networks, CONFIG), has_aux=True))
    moment = MovingSecondMoment.zero()
    updates, _ = gradient(params, params, make_sample(), jax.random.PRNGKey(0), moment)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(updates))
    assert sum(float(jnp.sum(jnp.abs(x))) for x in jax.tree.leaves(updates)) > 0


def test_draws_follow_the_mixed_prior():
    """Their distribution is the mixture's, and so is the density that they are given."""
    networks, _ = build()
    space, count = make_actions(networks, CONFIG), 40_000
    target = Gaussian(jnp.float32([[0.6, -0.2]]), jnp.float32([[0.1, 0.3]]))
    behavior = Gaussian(jnp.float32([[-0.5, 0.4]]), jnp.float32([[0.2, 0.2]]))
    draws = space._sample_prior(jax.random.PRNGKey(0), target, behavior, count)
    parts = (
        (0.85, scipy.stats.norm(0.6, 0.1), scipy.stats.norm(-0.2, 0.3)),
        (0.10, scipy.stats.norm(-0.5, 0.2), scipy.stats.norm(0.4, 0.2)),
        (0.05, scipy.stats.uniform(-1, 2), scipy.stats.uniform(-1, 2)),
    )
    for d in range(D):
        mixture = lambda x, d=d: sum(p[0] * p[1 + d].cdf(x) for p in parts)  # noqa: E731
        assert scipy.stats.kstest(np.asarray(draws)[:, 0, d], mixture).pvalue > 1e-3
    points = np.array([[[0.5, 0.0]], [[-0.4, 0.5]], [[0.9, 1.5]]], np.float32)
    expected = [np.log(sum(p[0] * p[1].pdf(x) * p[2].pdf(y) for p in parts)) for [[x, y]] in points]
    got = space._prior_log_prob(target, behavior, points)[:, 0]
    np.testing.assert_allclose(got, expected, rtol=1e-4)


def test_sampled_regularizer_converges_to_the_integral():
    """One action; `q` falls linearly, and π_CMPO is integrated on a grid."""
    config = dataclasses.replace(CONFIG, loss=dataclasses.replace(CONFIG.loss, num_samples=20_000))
    networks, _ = build()
    space = make_actions(networks, config)
    prior, policy = scipy.stats.norm(0.2, 0.5), scipy.stats.norm(-0.1, 0.4)
    grid, step = np.linspace(-4, 4, 8001, retstep=True)
    value = -1.5 * 0.2
    weights = prior.pdf(grid) * np.exp(np.clip(-1.5 * grid - value, -1, 1))
    improved = weights / (weights.sum() * step)
    exact = np.sum(improved * (np.log(improved) - policy.logpdf(grid))) * step

    def estimate(count, seed):
        drawn = prior.rvs(count, random_state=seed).astype(np.float32)
        look = LookAhead(
            values=np.float32([[value]]),
            taken_values=None,
            ratios=None,
            prior=prior.logpdf(drawn)[None, None],
            action_values=-1.5 * drawn[None, None],
            actions=drawn[None, None, :, None],
        )
        target = space.improve(look, 1.0, None)
        log_probs = space.log_probs(
            Gaussian(np.full((1, 1, 1), -0.1), np.full((1, 1, 1), 0.4)), target
        )
        return float(np.sum(target.weights * (target.log_probs - log_probs)))

    errors = [np.mean([abs(estimate(n, s) - exact) for s in range(5)]) for n in (16, 20_000)]
    assert errors[1] < 0.02 < errors[0]


def test_the_best_policy_under_sampled_weights_is_the_improved_one():
    """The Gaussian of least cross-entropy has the mean of π_CMPO: towards higher values."""
    rng, count = np.random.default_rng(0), 50_000
    actions = rng.normal(0.0, 0.5, count)
    weights = np.asarray(sampled_cmpo_weights(2.0 * actions, 1.0))
    fitted = np.mean(weights * actions)
    grid, step = np.linspace(-4, 4, 8001, retstep=True)
    improved = scipy.stats.norm(0, 0.5).pdf(grid) * np.exp(np.clip(2 * grid, -1, 1))
    expected = np.sum(grid * improved) / np.sum(improved)
    assert expected > 0.2
    assert fitted == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("evaluation", ["sample", "mode"])
def test_actions_follow_what_is_stored(evaluation):
    config = dataclasses.replace(CONFIG, evaluation=evaluation)
    networks, params = build()
    policy = MuesliBuilder(config).make_policy(networks, SPEC, evaluation=True)
    assert {name: s.shape for name, s in policy.extras_spec.items()} == {
        "behavior_mean": (D,),
        "behavior_std": (D,),
    }
    count = 4000
    observation = np.tile(np.float32([0.3, -0.2, 0.5]), (count, 1))
    memory = policy.initial_state(count)
    action, extras, memory = policy.apply(
        PolicyParams(params, jnp.int32(0)), jax.random.PRNGKey(0), observation, memory
    )
    assert action.shape == (count, D) and action.dtype == jnp.float32
    np.testing.assert_array_equal(memory.actions[:, -1], action)
    mean, std = extras["behavior_mean"][0], extras["behavior_std"][0]
    if evaluation == "mode":
        np.testing.assert_array_equal(action, extras["behavior_mean"])
        return
    for d in range(D):
        drawn = scipy.stats.norm(mean[d], std[d])
        assert scipy.stats.kstest(np.asarray(action)[:, d], drawn.cdf).pvalue > 1e-3


def test_the_model_sees_what_the_environment_does():
    """Beyond the bounds nothing changes, within them everything counts."""
    networks, params = build()
    state = networks.representation(params, np.ones((3, 6), np.float32))
    actions = np.float32([[1.0, -0.5], [7.0, -0.5], [0.9, -0.5]])
    after, _ = networks.dynamics(params, state, actions)
    np.testing.assert_array_equal(after[0], after[1])
    assert np.abs(after[0] - after[2]).max() > 1e-4


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"loss": dataclasses.replace(CONFIG.loss, num_samples=0)}, "num_samples must be at least"),
        ({"history": HistoryConfig(frames=2, action_planes=True)}, "action_planes=false"),
    ],
)
def test_settings_for_choices_are_refused(changes, message):
    builder = MuesliBuilder(dataclasses.replace(CONFIG, **changes))
    with pytest.raises(UserError, match=message):
        builder.make_policy(builder.make_networks(SPEC), SPEC)


def test_actions_with_other_bounds_are_refused():
    spec = SPEC._replace(actions=specs.BoundedArray((D,), np.float32, -2.0, 2.0))
    with pytest.raises(UserError, match="bounds -1 and 1"):
        MuesliBuilder(CONFIG).make_networks(spec)


def test_muzero_refuses_continuous_actions():
    with pytest.raises(UserError, match="needs Discrete actions.*Muesli and PPO take them"):
        MuZeroConfig().make_builder().make_networks(SPEC)
