"""Replay: one declaration and two storages.

`in_process` is NumPy, seeded, for layouts of one process; `reverb` (imported by name, it
requires dm-reverb) is for the distributed layout.
"""

from mukoe.replay.declaration import ReplayDeclaration, row_spec, zero_row
from mukoe.replay.in_process import InProcessReplay, bytes_required

__all__ = ["InProcessReplay", "ReplayDeclaration", "bytes_required", "row_spec", "zero_row"]
