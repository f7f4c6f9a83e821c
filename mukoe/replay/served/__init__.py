"""The in-process replay as a service of several processes, without a transport."""

from mukoe.replay.served.client import ServedReplay
from mukoe.replay.served.service import ReplayServer
from mukoe.replay.served.sharded import ShardedReplay, divide_batches, shard_declaration

__all__ = ["ReplayServer", "ServedReplay", "ShardedReplay", "divide_batches", "shard_declaration"]
