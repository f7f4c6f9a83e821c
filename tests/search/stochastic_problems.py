"""A small stochastic decision process with its exact solution, and its true model."""

import jax.numpy as jnp
import mctx
import numpy as np

from mukoe.search.stochastic import StochasticModel

DISCOUNT = 0.9
NUM_STATES, NUM_ACTIONS, NUM_OUTCOMES = 5, 3, 4


class Process:
    """A random process of `horizon` steps, and its solution by expectimax.

    next_state, reward, probability: `[S, A, M]`.
    values: `[H+1, S]` with steps to go; qvalues: `[H+1, S, A]`, those of the afterstates.
    """

    def __init__(self, seed, horizon, num_states=NUM_STATES):
        random = np.random.default_rng(seed)
        shape = (num_states, NUM_ACTIONS, NUM_OUTCOMES)
        self.horizon = horizon
        self.next_state = random.integers(0, num_states, shape)
        self.reward = random.uniform(-1, 1, shape)
        self.probability = random.dirichlet(np.ones(NUM_OUTCOMES), shape[:2])
        self.values = np.zeros((horizon + 1, num_states))
        self.qvalues = np.zeros((horizon + 1, *shape[:2]))
        for to_go in range(1, horizon + 1):
            for state in range(num_states):
                for action in range(NUM_ACTIONS):
                    total = 0.0
                    for outcome in range(NUM_OUTCOMES):
                        place = state, action, outcome
                        after = self.values[to_go - 1, self.next_state[place]]
                        paid = self.reward[place] + DISCOUNT * after
                        total += self.probability[place] * paid
                    self.qvalues[to_go, state, action] = total
                self.values[to_go, state] = self.qvalues[to_go, state].max()

    def model(self, knows_values) -> StochasticModel:
        """The true process with uniform priors, and the true values or none at all.

        Observations are `[B, 2]` int32, the state and the steps to go; states and afterstates
        `[B, 3]`, with the action.
        """
        scale = 1.0 if knows_values else 0.0
        next_state, reward = jnp.asarray(self.next_state), jnp.float32(self.reward)
        values, qvalues = scale * jnp.float32(self.values), scale * jnp.float32(self.qvalues)
        logits = jnp.log(jnp.float32(self.probability))

        def root(params, observation):
            del params
            state, to_go = observation.T
            return mctx.RootFnOutput(
                prior_logits=jnp.zeros((len(state), NUM_ACTIONS)),
                value=values[to_go, state],
                embedding=jnp.pad(observation, ((0, 0), (0, 1))),
            )

        def decision(params, key, action, embedding):
            del params, key
            state, to_go, _ = embedding.T
            output = mctx.DecisionRecurrentFnOutput(
                chance_logits=logits[state, action], afterstate_value=qvalues[to_go, state, action]
            )
            return output, embedding.at[:, 2].set(action)

        def chance(params, key, outcome, embedding):
            del params, key
            state, to_go, action = embedding.T
            after, left = next_state[state, action, outcome], jnp.maximum(to_go - 1, 0)
            output = mctx.ChanceRecurrentFnOutput(
                action_logits=jnp.zeros((len(state), NUM_ACTIONS)),
                value=values[left, after],
                reward=jnp.where(to_go > 0, reward[state, action, outcome], 0.0),
                discount=jnp.where(to_go > 1, DISCOUNT, 0.0),
            )
            return output, jnp.stack([after, left, jnp.zeros_like(left)], axis=-1)

        return StochasticModel(root, decision, chance, NUM_ACTIONS, NUM_OUTCOMES)

    def observations(self):
        """All states at the start, `[S, 2]`."""
        states = jnp.arange(len(self.next_state), dtype=jnp.int32)
        return jnp.stack([states, jnp.full_like(states, self.horizon)], axis=-1)
