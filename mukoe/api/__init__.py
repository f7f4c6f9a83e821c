"""Python API for notebooks and scripts: `mukoe.train` and `mukoe.load`."""

from mukoe.api.agent import TrainedAgent, load
from mukoe.api.search_result import SearchResult
from mukoe.api.training import train

__all__ = ["SearchResult", "TrainedAgent", "load", "train"]
