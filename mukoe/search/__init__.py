"""Acting by search with mctx: action choice, noise, masks, temperature."""

from mukoe.search.config import SearchConfig
from mukoe.search.policies import SearchFunction, SearchModel, SearchOutput, make_search
from mukoe.search.temperature import scheduled_temperature

__all__ = [
    "SearchConfig",
    "SearchFunction",
    "SearchModel",
    "SearchOutput",
    "make_search",
    "scheduled_temperature",
]
