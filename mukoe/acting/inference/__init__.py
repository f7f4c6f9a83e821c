"""Central inference: many actors, one batched policy on the devices of one process.

    actor 0 --observation [B0, ...]--+                +--> actor 0: action, extras
    actor 1 --observation [B1, ...]--+--> one batch --+--> actor 1
    actor 2 --observation [B2, ...]--+                +--> actor 2

The policy's memory stays on the server, one slot for each environment, so a request
carries the newest frame only. For a split policy the answer holds search roots, and the actors run
the search.
"""

from mukoe.acting.inference.config import InferenceConfig
from mukoe.acting.inference.connection import ServerConnection
from mukoe.acting.inference.remote_runner import RemoteRunner, SplitRunner
from mukoe.acting.inference.requests import Answer
from mukoe.acting.inference.server import InferenceServer

__all__ = [
    "Answer",
    "InferenceConfig",
    "InferenceServer",
    "RemoteRunner",
    "ServerConnection",
    "SplitRunner",
]
