"""Variants of a stored run: the same parameters with other settings of the search."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from mukoe.configuration import apply_overrides
from mukoe.layouts.common.stored_run import StoredRun


def with_overrides(run: StoredRun, overrides: Mapping[str, Any]) -> StoredRun:
    """Returns the run with other values of config fields and the same parameters.

    Args:
      run: run with its parameters.
      overrides: values by field, such as `{"agent.search.num_simulations": 8}`.
    """
    texts = {name: str(value) for name, value in overrides.items()}
    config = apply_overrides(run.config, texts)
    return dataclasses.replace(run, config=config, experiment=config.make_experiment())


def with_search(run: StoredRun, **fields: Any) -> StoredRun:
    """Returns the run with other fields of `agent.search`, such as `num_simulations=8`."""
    return with_overrides(run, {f"agent.search.{name}": value for name, value in fields.items()})


def doubling(largest: int) -> list[int]:
    """Returns 1, 2, 4, ... and the largest number itself."""
    powers = [2**i for i in range(largest.bit_length()) if 2**i < largest]
    return [*powers, largest] if largest else []
