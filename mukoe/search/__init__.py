"""Acting by search with mctx: action choice, noise, masks, temperature."""

from mukoe.search.config import SearchConfig
from mukoe.search.inspection import Inspector
from mukoe.search.policies import (
    RootSearchFunction,
    SearchFunction,
    SearchModel,
    SearchOutput,
    TreeSearchFunction,
    make_root_search,
    make_search,
    make_tree_search,
)
from mukoe.search.stochastic import StochasticModel, stochastic_search_model
from mukoe.search.temperature import scheduled_temperature

__all__ = [
    "Inspector",
    "RootSearchFunction",
    "SearchConfig",
    "SearchFunction",
    "SearchModel",
    "SearchOutput",
    "StochasticModel",
    "TreeSearchFunction",
    "make_root_search",
    "make_search",
    "make_tree_search",
    "scheduled_temperature",
    "stochastic_search_model",
]
