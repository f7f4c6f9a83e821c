"""Tree search with a model: PUCT, Gumbel MuZero, chance nodes."""

from mukoe.search.base import SearchModel, SearchOutput
from mukoe.search.config import SearchConfig
from mukoe.search.inspection import Inspector
from mukoe.search.plan import plan
from mukoe.search.q_normalization import QNormalizationConfig
from mukoe.search.stochastic import StochasticModel, stochastic_search_model

__all__ = [
    "Inspector",
    "QNormalizationConfig",
    "SearchConfig",
    "SearchModel",
    "SearchOutput",
    "StochasticModel",
    "plan",
    "stochastic_search_model",
]
