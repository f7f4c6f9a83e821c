"""The loss of Muesli against a slow version with loops, written from the paper."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import rlax
from dm_env import specs

from mukoe.agents.muesli.actions import make_actions
from mukoe.agents.muesli.builder import MuesliBuilder
from mukoe.agents.muesli.cmpo import MovingSecondMoment
from mukoe.agents.muesli.config import MuesliConfig, MuesliLossConfig
from mukoe.agents.muesli.losses import make_loss, make_targets
from mukoe.agents.planning.augmentation import ImageAugmentationConfig
from mukoe.errors import UserError
from mukoe.learning.learner import Learner
from mukoe.learning.update import TargetUpdateConfig
from mukoe.networks.config import NetworkConfig
from mukoe.networks.distributions import Categorical
from mukoe.networks.history import HistoryConfig
from mukoe.networks.value_encoding import SupportConfig
from mukoe.types import EnvironmentSpec, MaskedObservation, PolicyParams, Row, Sample
from tests.networks.tiny import random_params

A, B, K, L, F = 3, 6, 2, 4, 2
S = L + 1
GAMMA, TRACE, BETA = 0.9, 0.8, 0.7
VALUE_BINS, REWARD_BINS = np.linspace(-6, 6, 13), np.linspace(-2, 2, 5)
SPEC = EnvironmentSpec(
    observations=specs.Array((3,), np.float32),
    actions=specs.DiscreteArray(A),
    rewards=specs.Array((), np.float32),
    discounts=specs.BoundedArray((), np.float32, 0.0, 1.0),
)


def make_config(scale=1.0, dynamics="lstm", **loss):
    return MuesliConfig(
        network=NetworkConfig(
            hidden_sizes=(8,),
            width=8,
            head_sizes=(8,),
            dynamics=dynamics,
            value_support=SupportConfig(-6.0 * scale, 6.0 * scale, 13, hyperbolic=False),
            reward_support=SupportConfig(-2.0 * scale, 2.0 * scale, 5, hyperbolic=False),
        ),
        history=HistoryConfig(frames=F),
        discount=GAMMA,
        loss=MuesliLossConfig(
            sequence_length=L,
            unroll_steps=K,
            retrace_lambda=TRACE,
            moment_decay=BETA,
            num_samples=0,
            policy_weight=0.7,
            regularizer_weight=1.4,
            model_policy_weight=0.6,
            value_weight=0.3,
            reward_weight=1.3,
            prior_behavior=0.1,
            prior_uniform=0.05,
            **loss,
        ),
    )


def build(config, spec=SPEC, seed=0):
    networks = MuesliBuilder(config).make_networks(spec)
    return networks, random_params(networks.init, noise=0.3, seed=seed)


def make_sample(reward_scale=1.0):
    """Episodes that end after 1, 2, ... actions; the first half terminate, the others do not."""
    rng = np.random.default_rng(0)
    T = F - 1 + S
    mask, discount = np.zeros((B, T), np.float32), np.zeros((B, T), np.float32)
    for b in range(B):
        end = F - 1 + [1, 3, 9, 1, 2, 9][b]
        mask[b, b % 2 : end] = 1
        discount[b, b % 2 : end] = 1
        if b < 3 and end <= T:
            discount[b, end - 1] = 0
    rows = Row(
        observation=rng.normal(size=(B, T, 3)).astype(np.float32),
        action=rng.integers(0, A, (B, T)).astype(np.int32),
        reward=(reward_scale * rng.normal(size=(B, T)) * mask).astype(np.float32),
        discount=discount,
        mask=mask,
        extras={"behavior_policy": rng.dirichlet(np.ones(A), (B, T)).astype(np.float32)},
    )
    return Sample((), np.full(B, 0.1, np.float32), rows)


def softmax(logits):
    e = np.exp(np.asarray(logits, np.float64) - np.max(logits))
    return e / e.sum()


def cross_entropy(target, logits):
    return -float(np.sum(target * np.log(softmax(logits))))


def divergence(target, logits):
    return cross_entropy(target, logits) + float(np.sum(target * np.log(target)))


def two_hot(x, bins):
    y = np.clip(x, bins[0], bins[-1])
    upper = min(max(int(np.searchsorted(bins, y)), 1), len(bins) - 1)
    share = (y - bins[upper - 1]) / (bins[upper] - bins[upper - 1])
    target = np.zeros(len(bins))
    target[upper - 1], target[upper] = 1 - share, share
    return target


class SlowTargets:
    """The target network's view of one sequence, row by row."""

    def __init__(self, networks, params, rows, b):
        self.networks, self.params, self.rows, self.b = networks, params, rows, b
        self.looked = {}

    def input(self, i):
        frames = [
            self.rows.observation[self.b, j] * (self.rows.mask[self.b, j] > 0)
            for j in range(i - F + 1, i)
        ]
        return np.concatenate([*frames, self.rows.observation[self.b, i]])[None]

    def look(self, i):
        """The prior `[A]` and the action values `[A]`."""
        if i not in self.looked:
            net, params = self.networks, self.params
            state = net.representation(params, self.input(i))
            target = softmax(net.prediction(params, state).policy_logits[0])
            prior = 0.85 * target + 0.1 * self.rows.extras["behavior_policy"][self.b, i] + 0.05 / A
            q = []
            for a in range(A):
                after, reward_logits = net.dynamics(params, state, np.array([a]))
                value_logits = net.prediction(params, after).value_logits[0]
                reward = np.sum(softmax(reward_logits[0]) * REWARD_BINS)
                q.append(reward + GAMMA * np.sum(softmax(value_logits) * VALUE_BINS))
            self.looked[i] = prior, np.array(q)
        return self.looked[i]

    def value(self, i):
        prior, q = self.look(i)
        return float(np.sum(prior * q))

    def retrace(self, i):
        rows, b, last = self.rows, self.b, F - 1 + L
        follow = 0.0
        if rows.discount[b, i] != 0:
            follow = self.value(i + 1)
            if i + 1 < last and rows.mask[b, i + 1]:
                prior, q = self.look(i + 1)
                a = rows.action[b, i + 1]
                c = TRACE * min(1, prior[a] / rows.extras["behavior_policy"][b, i + 1, a])
                follow += c * (self.retrace(i + 1) - q[a])
        return rows.reward[b, i] + GAMMA * rows.discount[b, i] * follow


def slow_loss(config, networks, params, target_params, sample, moment, absorbing_actions):
    rows, loss = sample.rows, config.loss
    functions = ("representation", "prediction", "dynamics")
    networks = dataclasses.replace(
        networks, **{name: jax.jit(getattr(networks, name)) for name in functions}
    )
    slow = [SlowTargets(networks, target_params, rows, b) for b in range(B)]
    acted = [(b, i) for b in range(B) for i in range(F - 1, F - 1 + L) if rows.mask[b, i]]
    errors = {(b, i): slow[b].retrace(i) - slow[b].value(i) for b, i in acted}
    k = len(moment) + 1
    squares = [*moment, np.mean(np.square(list(errors.values())))]
    second = sum((1 - BETA) * BETA ** (k - 1 - j) * square for j, square in enumerate(squares))
    sigma = np.sqrt(second / (1 - BETA**k) + 1e-12)

    def improved(b, i):
        prior, q = slow[b].look(i)
        weights = prior * np.exp(np.clip((q - np.sum(prior * q)) / sigma, -1, 1))
        return weights / weights.sum()

    total = 0.0
    for b, i in acted:
        state = networks.representation(params, slow[b].input(i))
        prediction = networks.prediction(params, state)
        action = rows.action[b, i]
        policy = softmax(prediction.policy_logits[0])
        ratio = policy[action] / rows.extras["behavior_policy"][b, i, action]
        here = -ratio * errors[b, i] / sigma
        here += loss.regularizer_weight * divergence(improved(b, i), prediction.policy_logits[0])
        total += loss.policy_weight * here
        value_target = two_hot(slow[b].retrace(i), VALUE_BINS)
        total += loss.value_weight * cross_entropy(value_target, prediction.value_logits[0])
        terminated = False
        for j in range(i + 1, min(i + K, F - 2 + L) + 2):
            was_acted, was_terminated = rows.mask[b, j - 1] > 0, terminated
            column = j - 1 - (F - 1)
            action = rows.action[b, j - 1] if was_acted else absorbing_actions[b, column]
            if j - i > K:
                break
            state, reward_logits = networks.dynamics(params, state, np.array([action]))
            if was_acted or was_terminated:
                reward_target = two_hot(rows.reward[b, j - 1] * was_acted, REWARD_BINS)
                total += loss.reward_weight * cross_entropy(reward_target, reward_logits[0]) / K
            terminated |= was_acted and rows.discount[b, j - 1] == 0
            if j > F - 2 + L:
                break
            prediction = networks.prediction(params, state)
            if rows.mask[b, j]:
                step = divergence(improved(b, j), prediction.policy_logits[0])
                total += loss.model_policy_weight * step / K
            if rows.mask[b, j] or terminated:
                value_target = two_hot(slow[b].retrace(j) if rows.mask[b, j] else 0.0, VALUE_BINS)
                step = cross_entropy(value_target, prediction.value_logits[0])
                total += loss.value_weight * step / K
    return total / len(acted), second


@pytest.mark.parametrize("dynamics", ["lstm", "residual"])
def test_loss_equals_the_slow_one(dynamics):
    config = make_config(dynamics=dynamics)
    networks, params = build(config)
    target_params = jax.tree.map(lambda x: 0.7 * x + 0.1, params)
    sample, key = make_sample(), jax.random.PRNGKey(3)
    sample.rows.reward[np.nonzero(sample.rows.mask[:, F - 1] > 0)[0][0], F - 1] = 100.0
    absorbing_key = jax.random.split(jax.random.split(key)[1])[1]
    absorbing_actions = np.asarray(jax.random.randint(absorbing_key, (B, L), 0, A))
    moment = MovingSecondMoment.zero().add(2.0, BETA)
    expected, second = slow_loss(
        config, networks, params, target_params, sample, [2.0], absorbing_actions
    )
    loss, extra = jax.jit(make_loss(networks, config))(params, target_params, sample, key, moment)
    np.testing.assert_allclose(loss, expected, rtol=2e-4)
    np.testing.assert_allclose(extra.loss_state.total, second, rtol=1e-3)
    np.testing.assert_allclose(extra.loss_state.weight, 1 - BETA**2, rtol=1e-5)
    assert extra.metrics["rewards_outside_bins"] > 0
    assert "values_outside_bins" in extra.metrics


def targets_of(sample, config=None):
    config = config or make_config()
    networks, params = build(config)
    rows = jax.tree.map(lambda x: x[:, F - 1 :], sample.rows)
    inputs = np.concatenate([sample.rows.observation[:, :-1], rows.observation], -1)
    return look_and_make_targets(config, networks, params, rows, inputs)


def look_and_make_targets(config, networks, params, rows, inputs):
    actions, key = make_actions(networks, config), jax.random.PRNGKey(0)

    @jax.jit
    def compute(params, rows, inputs):
        look = actions.look_ahead(params, rows, inputs, key)
        return make_targets(config, actions, rows, look, MovingSecondMoment.zero(), key)[0]

    return compute(params, rows, inputs)


def test_policy_targets_come_from_each_steps_own_observation():
    sample = make_sample()
    before = np.asarray(targets_of(sample).policies.weights)
    b = 2  # An unfinished episode.
    assert np.abs(before[b, 1:] - before[b, :-1]).max(-1).min() > 1e-3
    changed = sample.rows.observation.copy()
    changed[b, F - 1 + 2] += 1.0
    sample = sample._replace(rows=sample.rows._replace(observation=changed))
    moved = np.abs(np.asarray(targets_of(sample).policies.weights) - before).max(-1)
    # The step itself moves far; the others only by the scale of advantages, and by history.
    assert moved[b, 2] > 0.02 and moved[b, 2] > 3 * moved[b, 1]


@pytest.mark.slow
def test_update_does_not_depend_on_the_scale_of_rewards():
    key, results = jax.random.PRNGKey(1), []
    for scale in (1.0, 64.0):
        config = make_config(scale)
        networks, params = build(config)
        gradient = jax.jit(jax.grad(make_loss(networks, config), has_aux=True))
        moment = MovingSecondMoment.zero()
        results.append(gradient(params, params, make_sample(scale), key, moment)[0])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5), *results)


def test_illegal_actions_get_no_probability():
    spec = SPEC._replace(
        observations=MaskedObservation(SPEC.observations, specs.Array((A,), np.bool_))
    )
    config = dataclasses.replace(make_config(), history=HistoryConfig())
    networks, params = build(config, spec)
    sample = make_sample()
    legal = np.ones((*sample.rows.mask.shape, A), bool)
    legal[..., 1] = False
    behavior = sample.rows.extras["behavior_policy"] * legal
    rows = sample.rows._replace(
        observation=MaskedObservation(sample.rows.observation, legal),
        action=np.where(sample.rows.action == 1, 0, sample.rows.action),
        extras={"behavior_policy": behavior / behavior.sum(-1, keepdims=True)},
    )
    targets = look_and_make_targets(config, networks, params, rows, sample.rows.observation)
    assert not np.asarray(targets.policies.weights)[..., 1].any()
    policy = MuesliBuilder(config).make_policy(networks, spec)
    observation = MaskedObservation(sample.rows.observation[:, 0], legal[:, 0])
    action, extras, _ = jax.jit(policy.apply)(
        PolicyParams(params, jnp.int32(0)),
        jax.random.PRNGKey(0),
        observation,
        policy.initial_state(B),
    )
    assert not np.asarray(extras["behavior_policy"])[:, 1].any()
    assert not (np.asarray(action) == 1).any()


@pytest.mark.parametrize("evaluation", ["sample", "mode"])
def test_actions_follow_the_stored_probabilities(evaluation):
    config = dataclasses.replace(make_config(), evaluation=evaluation)
    networks, params = build(config)
    policy = MuesliBuilder(config).make_policy(networks, SPEC, evaluation=True)
    count = 4000
    observation = np.tile(np.float32([0.3, -0.2, 0.5]), (count, 1))
    action, extras, _ = jax.jit(policy.apply)(
        PolicyParams(params, jnp.int32(0)),
        jax.random.PRNGKey(0),
        observation,
        policy.initial_state(count),
    )
    probabilities = np.asarray(extras["behavior_policy"][0])
    frequencies = np.bincount(np.asarray(action), minlength=A) / count
    if evaluation == "sample":
        np.testing.assert_allclose(frequencies, probabilities, atol=0.03)
    else:
        np.testing.assert_array_equal(frequencies, np.eye(A)[probabilities.argmax()])


def test_learner_keeps_the_moment_and_restores_it():
    config = make_config()
    networks, params = build(config)
    learner = Learner(
        make_loss(networks, config),
        optax.sgd(0.01),
        params,
        iter([make_sample()] * 5),
        jax.random.PRNGKey(0),
        target_update=TargetUpdateConfig(period=1, rate=0.1),
        loss_state=MovingSecondMoment.zero(),
    )
    learner.step()
    after_one = learner.save()
    learner.step()
    after_two = learner.save()
    np.testing.assert_allclose(after_one.loss_state.weight, 1 - BETA, rtol=1e-5)
    np.testing.assert_allclose(after_two.loss_state.weight, 1 - BETA**2, rtol=1e-5)
    learner.restore(after_one)
    learner.step()
    jax.tree.map(np.testing.assert_array_equal, learner.save(), after_two)


def test_an_update_lowers_the_loss_on_its_own_batch():
    config = make_config()
    networks, params = build(config)
    loss = jax.jit(jax.value_and_grad(make_loss(networks, config), has_aux=True))
    moment = MovingSecondMoment.zero().add(1.0, 0.5)
    values, online = [], params
    for _ in range(30):
        (value, _), gradient = loss(online, params, make_sample(), jax.random.PRNGKey(0), moment)
        online = jax.tree.map(lambda p, g: p - 0.05 * g, online, gradient)
        values.append(float(value))
    assert values[-1] < values[0] - 0.1


def test_augmentation_changes_what_the_loss_reads_and_not_its_targets():
    config = make_config()
    config = dataclasses.replace(
        config, network=dataclasses.replace(config.network, torso="nature", width=8)
    )
    spec = SPEC._replace(observations=specs.BoundedArray((36, 36, 1), np.uint8, 0, 255))
    networks, params = build(config, spec)
    sample = make_sample()
    shape = (*sample.rows.action.shape, 36, 36, 1)
    textured = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    plain = np.broadcast_to(textured[..., :1, :1, :], shape)

    def metrics_of(pictures, shift):
        changed = dataclasses.replace(config, augmentation=ImageAugmentationConfig(shift=shift))
        batch = sample._replace(rows=sample.rows._replace(observation=pictures))
        loss = jax.jit(make_loss(networks, changed))
        moment = MovingSecondMoment.zero()
        return loss(params, params, batch, jax.random.PRNGKey(0), moment)[1].metrics

    seen, shifted = metrics_of(textured, 0), metrics_of(textured, 4)
    targets = ("value_target", "value_error", "advantage_scale")
    assert all(seen[name] == shifted[name] for name in targets)
    assert abs(seen["value_loss"] - shifted["value_loss"]) > 1e-4
    # A shift of a plain picture is the picture.
    np.testing.assert_allclose(
        metrics_of(plain, 0)["loss"], metrics_of(plain, 4)["loss"], rtol=1e-6
    )


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"unroll_steps": L}, "unroll_steps"),
        ({"num_samples": 1}, "num_samples"),
        ({"prior_behavior": 0.99, "prior_uniform": 0.2}, "prior_behavior"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes, message):
    with pytest.raises(UserError, match=message):
        MuesliConfig(loss=dataclasses.replace(make_config().loss, **changes))


def test_gradient_of_the_policy_gradient_is_that_of_rlax():
    """`∇ ratio = ratio ∇ log π`: rlax's loss with the ratios as weights."""
    random = np.random.default_rng(0)
    logits = jnp.asarray(random.normal(size=(7, 3)), jnp.float32)
    actions = jnp.asarray(random.integers(0, 3, 7))
    behavior = jnp.asarray(random.uniform(0.1, 0.9, 7), jnp.float32)
    advantages = jnp.asarray(random.normal(size=7), jnp.float32)

    def ratios(logits):
        return jnp.exp(Categorical(logits).log_prob(actions)) / behavior

    def reference(logits):
        weights = jax.lax.stop_gradient(ratios(logits))
        return rlax.policy_gradient_loss(logits, actions, advantages, weights)

    np.testing.assert_allclose(
        jax.grad(lambda logits: jnp.mean(-ratios(logits) * advantages))(logits),
        jax.grad(reference)(logits),
        atol=1e-6,
    )
