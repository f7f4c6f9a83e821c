"""The layout of one process and one thread, reproducible bit for bit."""

from mukoe.layouts.local.run import LocalRun, check, train

__all__ = ["LocalRun", "check", "train"]
