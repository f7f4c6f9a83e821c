"""Layout of one process and one thread, reproducible bit for bit."""

from mukoe.layouts.local.run import LocalRun, make_run, train
from mukoe.layouts.local.validation import check

__all__ = ["LocalRun", "check", "make_run", "train"]
