"""Does it matter how a search picks chance outcomes: the largest σ / (N + 1), or drawn from σ?

python tests/search/chance_selection.py

Searches random stochastic processes with the true model, and compares the action with that of
expectimax. One JSON line for each setting: the share of states in which the action was the best,
what the action gave away on average (`regret`), and the error of the root's Q-value of it.
"""

import functools
import json

import jax
import numpy as np
from stochastic_problems import Process

from mukoe.search.config import SearchConfig
from mukoe.search.plan import plan
from mukoe.search.stochastic import stochastic_search_model

NUM_STATES, HORIZON = 400, 4


def main():
    process = Process(seed=0, horizon=HORIZON, num_states=NUM_STATES)
    qvalues, rows = process.qvalues[HORIZON], np.arange(NUM_STATES)
    for knows_values in (True, False):
        model = process.model(knows_values)
        for simulations in (10, 30, 100):
            for sample in (False, True):
                search_model = stochastic_search_model(model, sample_outcomes=sample)
                # Not an evaluation, in which the key is always the same; without noise.
                config = SearchConfig(
                    num_simulations=simulations,
                    dirichlet_fraction=0.0,
                    temperature_schedule=((0, 0.0),),
                )
                search = jax.jit(functools.partial(plan, config, search_model))
                root = search_model.root(None, process.observations())
                output, tree = search(None, jax.random.PRNGKey(0), root, None, 0)
                action = np.asarray(output.action)
                found = np.asarray(tree.summary().qvalues)[rows, action]
                regret = qvalues.max(-1) - qvalues[rows, action]
                line = {
                    "leaf_values": "true" if knows_values else "zero",
                    "simulations": simulations,
                    "outcomes": "drawn" if sample else "largest",
                    "best_action": round(float(np.mean(regret < 1e-9)), 3),
                    "regret": round(float(np.mean(regret)), 4),
                    "q_error": round(float(np.mean(np.abs(found - qvalues[rows, action]))), 4),
                }
                print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
