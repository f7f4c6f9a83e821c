"""Layout of one machine's devices: actor threads on some, the learner on others.

Sebulba of the Podracer paper (Hessel et al. 2021, arXiv:2104.06272).
"""

from mukoe.layouts.sebulba.run import SebulbaRun, make_run, train
from mukoe.layouts.sebulba.validation import check

__all__ = ["SebulbaRun", "check", "make_run", "train"]
