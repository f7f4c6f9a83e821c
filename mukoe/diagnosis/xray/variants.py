"""Variants of a stored run: the same parameters with other settings of the search."""

from typing import Any

from mukoe.layouts.common.stored_run import StoredRun


def with_search(run: StoredRun, **fields: Any) -> StoredRun:
    """Returns the run with other fields of `agent.search`, such as `num_simulations=8`."""
    return run.with_overrides({f"agent.search.{name}": value for name, value in fields.items()})


def doubling(largest: int) -> list[int]:
    """Returns 1, 2, 4, ... and the largest number itself."""
    powers = [2**i for i in range(largest.bit_length()) if 2**i < largest]
    return [*powers, largest] if largest else []
