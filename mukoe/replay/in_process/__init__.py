"""Replay in the memory of this process: NumPy, seeded, deterministic for the same calls."""

from mukoe.replay.in_process.replay import InProcessReplay, ReplayTimeoutError
from mukoe.replay.in_process.required_memory import bytes_required

__all__ = ["InProcessReplay", "ReplayTimeoutError", "bytes_required"]
