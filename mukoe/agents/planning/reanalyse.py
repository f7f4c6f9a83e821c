"""Search statistics of stored rows with other parameters (arXiv:1911.08265, appendix H)."""

import chex

from mukoe.agents.planning.config import PlanningConfig
from mukoe.agents.planning.root import RootNetworks
from mukoe.agents.planning.targets import network_inputs
from mukoe.learning.reanalysis import Reanalyse
from mukoe.search.base import SearchModel
from mukoe.search.plan import plan
from mukoe.types import Array, PolicyParams, Row, SearchStatistics, split_legal_actions


def make_reanalyse(networks: RootNetworks, model: SearchModel, config: PlanningConfig) -> Reanalyse:
    """Makes the function that computes the search statistics of stored rows.

    The search is that of the behaviour policy, from the same network inputs.

    Args:
      networks: networks of the agent.
      model: model of the search.
      config: configuration of the agent; `reanalyse.search` selects the statistics.
    """

    def reanalyse(params: PolicyParams, key: chex.PRNGKey, windows: Row) -> dict[str, Array]:
        inputs = network_inputs(networks, config.history, windows, steps=1)[:, 0]
        root = model.root(params.network, inputs)
        if config.reanalyse.search == "values":
            return {"search_value": root.value}
        _, legal_actions = split_legal_actions(windows.observation)
        output, _ = plan(
            config.search,
            model,
            params.network,
            key,
            root,
            None if legal_actions is None else legal_actions[:, -1],
            params.learner_steps,
        )
        return SearchStatistics(output.search_policy, output.search_value).to_extras()

    return reanalyse
