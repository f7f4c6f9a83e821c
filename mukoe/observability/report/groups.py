"""Groups of runs whose configurations differ in the seed only."""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from mukoe.observability.report.logs import is_number
from mukoe.observability.report.runs import AGENT_FIELD, SEED_FIELD, Run

ABSENT = "absent"

_MAX_DIFFERENCES = 3


@dataclasses.dataclass(frozen=True)
class Group:
    """Runs that differ in the seed only.

    name: name of the group in legends and headings.
    runs: runs in the order of their seeds.
    """

    name: str
    runs: tuple[Run, ...]


def group_runs(runs: Sequence[Run]) -> list[Group]:
    """Groups runs whose configurations differ in the seed only.

    The name of a group is its environment, followed by its agent if other groups of the same
    environment have another one, and by the fields that differ from these groups, or by the name
    of its first workdir if these are many.
    """
    keyed: dict[str, list[Run]] = {}
    for run in runs:
        keyed.setdefault(config_key(run.config), []).append(run)
    members = [tuple(sorted(group, key=_by_seed)) for group in keyed.values()]
    groups: list[Group] = []
    for group in members:
        first = group[0]
        rivals = [other[0] for other in members if other[0].environment == first.environment]
        apart = describe_differences(rivals)[rivals.index(first)]
        if len(differing_fields(rivals)) > _MAX_DIFFERENCES:
            apart = first.workdir.name
        if len({rival.agent for rival in rivals}) > 1:
            apart = ", ".join(filter(None, (first.agent, apart)))
        name = f"{first.environment}: {apart}" if apart else first.environment
        groups.append(Group(free_name(name, {earlier.name for earlier in groups}), group))
    return groups


def config_key(config: Mapping[str, Any]) -> str:
    """Returns a text that is equal for configurations that differ in the seed only."""
    return json.dumps({k: v for k, v in config.items() if k != SEED_FIELD}, sort_keys=True)


def seed_order(seed: Any) -> float:
    """Returns a sort key for seeds; a seed that is no number is last."""
    return float(seed) if is_number(seed) else math.inf


def _by_seed(run: Run) -> tuple[float, str]:
    return seed_order(run.seed), str(run.workdir)


def free_name(name: str, taken: set[str]) -> str:
    """Returns the name, with a number appended if it is taken."""
    number = 1
    free = name
    while free in taken:
        number += 1
        free = f"{name}-{number}"
    return free


def differing_fields(runs: Sequence[Run]) -> list[str]:
    """Returns the dotted fields, except the seed, whose values are not equal in all runs."""
    fields = {field: None for run in runs for field in run.config}
    return [
        field
        for field in fields
        if field != SEED_FIELD and len({value_text(run.config, field) for run in runs}) > 1
    ]


def describe_differences(runs: Sequence[Run]) -> list[str]:
    """Returns for each run the first differing fields as `field=value`, without the agent."""
    most = _MAX_DIFFERENCES
    fields = [field for field in differing_fields(runs) if field != AGENT_FIELD]
    leaves = [field.rpartition(".")[2] for field in fields]
    names = [
        leaf if leaves.count(leaf) == 1 else field
        for leaf, field in zip(leaves, fields, strict=True)
    ]
    more = f" and {len(fields) - most} more" if len(fields) > most else ""
    return [
        ", ".join(
            f"{name}={value_text(run.config, field)}"
            for name, field in zip(names[:most], fields, strict=False)
        )
        + more
        for run in runs
    ]


def value_text(config: Mapping[str, Any], field: str) -> str:
    """Returns the value of a field as on the command line, `absent` for a missing field."""
    if field not in config:
        return ABSENT
    value = config[field]
    return value if isinstance(value, str) else json.dumps(value)
