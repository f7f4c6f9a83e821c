"""On a fair coin the chance distribution becomes (1/2, 1/2), and flipping is worth its mean.

Both agents learn from the same games of random actions, with the same settings. What MuZero
foresees after the flip is neither heads nor tails, so that to it a flip is worth the better of
two blind calls, 1.5, and it takes the sure 1.75. The flip is worth 2.
"""

import dm_env
import jax
import numpy as np
import pytest

from mukoe.agents.muzero.config import MuZeroConfig
from mukoe.agents.planning.config import PlanningReplayConfig, UnrollLossConfig
from mukoe.agents.stochastic_muzero.config import ChanceConfig, StochasticMuZeroConfig
from mukoe.environments.coin_flip import HEADS, START, TAILS, CoinFlipConfig
from mukoe.learning.optimizers import OptimizerConfig
from mukoe.networks.config import NetworkConfig
from mukoe.networks.value_encoding import SupportConfig
from mukoe.replay.declaration import row_spec
from mukoe.replay.in_process import InProcessReplay
from mukoe.search.config import SearchConfig

SURE, FLIP = 0, 1
CALL_HEADS, CALL_TAILS = 0, 1
GAMES, UPDATES = 400, 500
SUPPORT = SupportConfig(0.0, 3.0, 4, hyperbolic=False)
SETTINGS = {
    "network": NetworkConfig(
        hidden_sizes=(16,),
        width=16,
        head_sizes=(16,),
        value_support=SUPPORT,
        reward_support=SUPPORT,
    ),
    "discount": 1.0,
    # Half of the simulations for either action, however bad it looks at first.
    "search": SearchConfig(algorithm="gumbel", num_simulations=200, max_depth=2),
    "loss": UnrollLossConfig(unroll_steps=2, td_steps=2, value_weight=1.0),
    "replay": PlanningReplayConfig(
        min_size=1, batch_size=64, samples_per_insert=None, sampler="uniform"
    ),
    "optimizer": OptimizerConfig(learning_rate=1e-2, weight_decay=0.0),
}
OBSERVATIONS = np.eye(4, dtype=np.float32)[[START, HEADS, TAILS]]


def play(replay, environment):
    """Games of random actions, as many of each call of each side; the search said nothing."""
    adder, random = replay.make_adder(), np.random.default_rng(0)
    extras = {"search_policy": np.full(2, 0.5, np.float32), "search_value": np.float32(0)}
    calls = {(side, call): 0 for side in (HEADS, TAILS) for call in (CALL_HEADS, CALL_TAILS)}
    while min(calls.values()) < GAMES // 8:
        steps = [(None, only(environment.reset()))]
        while not steps[-1][1].last():
            action = np.int32(random.integers(2))
            steps.append((action, only(environment.step(np.array([action])))))
        called = (int(steps[1][1].observation.argmax()), int(steps[-1][0]))
        if calls.get(called, 0) >= GAMES // 8:
            continue
        if called in calls:
            calls[called] += 1
        adder.add_first(steps[0][1])
        for action, timestep in steps[1:]:
            adder.add(action, timestep, extras, None)


def only(timestep):
    return dm_env.TimeStep(*(np.asarray(field)[0] for field in timestep))


def learn(config):
    """Returns what was learned: networks, parameters, search output and tree of `OBSERVATIONS`."""
    environment = CoinFlipConfig().make_factory()(0, 1, False)
    builder, spec = config.make_builder(), environment.spec
    networks = builder.make_networks(spec)
    rows = row_spec(spec, builder.make_policy(networks, spec).extras_spec)
    replay = InProcessReplay(builder.replay, rows, num_streams=1, seed=0)
    play(replay, environment)
    dataset = replay.make_dataset()
    learner = builder.make_learner(jax.random.PRNGKey(0), networks, dataset, spec)
    for _ in range(UPDATES):
        learner.step()
    (params,) = learner.get_variables()
    inspect = jax.jit(builder.make_inspector(networks, spec).inspect)
    output, tree, _ = inspect(params, jax.random.PRNGKey(0), OBSERVATIONS, ())
    return networks, params.network, output, np.asarray(tree.summary().qvalues)


@pytest.mark.slow
def test_stochastic_muzero_knows_what_a_flip_is_worth():
    chance = ChanceConfig(codebook_size=4)
    networks, params, output, qvalues = learn(StochasticMuZeroConfig(**SETTINGS, chance=chance))
    encodings = networks.encoder(params, OBSERVATIONS[[0, 0]], OBSERVATIONS[1:])
    codes = np.asarray(encodings).argmax(-1)
    assert codes[0] != codes[1]
    state = networks.representation(params, OBSERVATIONS[:1])
    afterstate = networks.afterstate_dynamics(params, state, np.array([FLIP]))
    prediction = networks.afterstate_prediction(params, afterstate)
    sigma = np.asarray(jax.nn.softmax(prediction.chance_logits))[0]
    np.testing.assert_allclose(sigma[codes], 0.5, atol=0.08)
    # Behind a flip comes a random call, in these games: (3 / 2 + 1 / 2) / 2.
    value = networks.value_encoding.to_scalar(prediction.value_logits)
    np.testing.assert_allclose(value, 1.0, atol=0.15)
    # The model predicts the right call of each outcome, ...
    rewards = []
    for code in codes:
        after, _ = networks.dynamics(params, afterstate, np.eye(4, dtype=np.float32)[[code]])
        for call in (CALL_HEADS, CALL_TAILS):
            called = networks.afterstate_dynamics(params, after, np.array([call]))
            chance_logits = networks.afterstate_prediction(params, called).chance_logits
            end = np.eye(4, dtype=np.float32)[np.asarray(chance_logits).argmax(-1)]
            _, logits = networks.dynamics(params, called, end)
            rewards.append(float(networks.reward_encoding.to_scalar(logits)[0]))
    np.testing.assert_allclose(rewards, [3, 0, 0, 1], atol=0.25)
    # ... and so does the search, which flips.
    np.testing.assert_allclose(qvalues[0], [1.75, 2.0], atol=0.2)
    assert output.action.tolist() == [FLIP, CALL_HEADS, CALL_TAILS]


@pytest.mark.slow
def test_muzero_does_not():
    _, _, output, qvalues = learn(MuZeroConfig(**SETTINGS))
    np.testing.assert_allclose(qvalues[0], [1.75, 1.5], atol=0.15)
    assert output.action.tolist() == [SURE, CALL_HEADS, CALL_TAILS]
