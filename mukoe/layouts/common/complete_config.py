"""Configurations of earlier versions, completed by the fields that were added since."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mukoe.configuration.plain import from_dict, to_dict
from mukoe.configuration.workdir import flatten, nest
from mukoe.errors import UserError
from mukoe.layouts.common.experiment import TrainingConfig
from mukoe.observability.report.evidence import Evidence, read_all


def complete_config(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns a configuration with the defaults of the fields that it does not have.

    A new field's default is what runs did before it, so that runs of several versions compare.

    Args:
      values: values by dotted field, as of `flatten`. One that is no whole configuration of
        today's classes is returned as it is.
    """
    try:
        config = to_dict(from_dict(TrainingConfig, nest(values)))
    except UserError:
        return values
    return dict(flatten(config))


def read_completed(root: Path) -> list[Evidence]:
    """Reads all records in a folder, with complete configurations.

    Raises:
      UserError: the folder holds no record, or one cannot be read.
    """
    return [
        dataclasses.replace(record, config=complete_config(record.config))
        for record in read_all(root)
    ]
