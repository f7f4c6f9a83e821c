"""Layout of one process and one thread, reproducible bit for bit."""

from mukoe.layouts.local.offline import check_offline, check_offline_data, train_offline
from mukoe.layouts.local.run import LocalRun, make_run, train
from mukoe.layouts.local.validation import check

__all__ = [
    "LocalRun",
    "check",
    "check_offline",
    "check_offline_data",
    "make_run",
    "train",
    "train_offline",
]
