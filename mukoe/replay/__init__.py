"""Replay: one declaration and two storages.

`in_process` is NumPy, seeded, for layouts of one process; `reverb` (imported by name, it
requires dm-reverb) is for the distributed layout.
"""
