"""mukoe: composable planning agents, from one process to a Launchpad program."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mukoe import zoo
    from mukoe.api import SearchResult, TrainedAgent, load, train

__version__ = "0.2.0"
__all__ = ["SearchResult", "TrainedAgent", "load", "train", "zoo"]


def __getattr__(name: str) -> Any:
    """Returns `mukoe.zoo` or a name of `mukoe.api`, which are imported on first use."""
    if name == "zoo":
        return importlib.import_module("mukoe.zoo")
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("mukoe.api"), name)
