"""Replay on a Reverb server, for programs of several processes."""

from mukoe.replay.reverb.replay import ReverbReplay
from mukoe.replay.reverb.tables import make_tables

__all__ = ["ReverbReplay", "make_tables"]
