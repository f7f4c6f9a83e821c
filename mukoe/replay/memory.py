"""How much memory there is, and whether a replay fits."""

import pathlib

from mukoe.errors import UserError

_GIB = 1 << 30


def available_bytes() -> int | None:
    """Returns the bytes that this process may still take, None where nobody says (not Linux)."""
    limits = []
    try:
        for line in pathlib.Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                limits.append(int(line.split()[1]) * 1024)
        limits.append(int(pathlib.Path("/sys/fs/cgroup/memory.max").read_text()))
    except (OSError, ValueError):
        # No such file, or "max": no limit there.
        pass
    return min(limits) if limits else None


def check_fits(required: int, what: str, remedy: str, available: int | None = None) -> None:
    """Raises a UserError if `required` bytes are more than `available` ones, or those here."""
    if available is None:
        available = available_bytes()
    if available is not None and required > available:
        raise UserError(
            f"{what} needs {required / _GIB:.1f} GiB and {available / _GIB:.1f} GiB are "
            f"available; {remedy}"
        )
