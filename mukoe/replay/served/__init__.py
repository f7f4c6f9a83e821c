"""The in-process replay as a service of several processes, without a transport."""

from mukoe.replay.served.client import ServedReplay
from mukoe.replay.served.service import ReplayServer

__all__ = ["ReplayServer", "ServedReplay"]
