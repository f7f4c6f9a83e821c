"""mukoe: composable planning agents, from one process to a Launchpad program."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mukoe.api import SearchResult, TrainedAgent, load, train

__version__ = "0.2.0"
__all__ = ["SearchResult", "TrainedAgent", "load", "train"]


def __getattr__(name: str) -> Any:
    """Returns a name of `mukoe.api`, which is imported on first use."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("mukoe.api"), name)
