"""CSV logs of a run, read such that missing or torn files are not fatal."""

import dataclasses
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mukoe.observability.loggers.csv_logger import read_rows

_BATCH_SIZE_FIELD = "agent.replay.batch_size"
_NODE_NUMBER = re.compile(r"_\d+$")


@dataclasses.dataclass(frozen=True)
class Log:
    """Numbers of one CSV file.

    label: name of the node, such as `actor_0`.
    columns: name to `[N]` float64, one entry per row, NaN where the row has no finite number.
    """

    label: str
    columns: Mapping[str, np.ndarray]

    @property
    def kind(self) -> str:
        """Label without the number of the node, such as `actor`."""
        return _NODE_NUMBER.sub("", self.label)

    def highest(self, column: str) -> float | None:
        """Returns the largest finite number of a column, None if there is none."""
        values = self.columns.get(column, np.zeros(0))
        values = values[np.isfinite(values)]
        return float(values.max()) if values.size else None


def load_logs(workdir: Path, config: Mapping[str, Any], notes: list[str]) -> Iterator[Log]:
    """Yields the logs of a workdir in the order of their labels.

    Args:
      workdir: directory of the run.
      config: dotted field to value.
      notes: list to which remarks on missing and damaged files are appended.
    """
    paths = sorted((workdir / "logs").glob("*.csv"), key=lambda path: natural_key(path.stem))
    for kind in ("learner", "actor", "evaluator"):
        if not any(_NODE_NUMBER.sub("", path.stem) == kind for path in paths):
            notes.append(f"no {kind} log")
    for path in paths:
        try:
            rows, names, sound = read_rows(path)
        except OSError as error:
            notes.append(f"{path.name} cannot be read: {error.strerror}")
            continue
        if not sound and names:
            notes.append(f"{path.name} has a torn line, left out")
        if not rows:
            notes.append(f"{path.name} is empty")
            continue
        columns = {}
        for name in names:
            columns[name], not_finite = _numbers([row[name] for row in rows])
            if not_finite:
                notes.append(f"{path.name}: {name} is not finite in {not_finite} rows")
        yield Log(path.stem, columns | _rates(path.stem, columns, config))


def natural_key(text: str) -> list[tuple[int, str]]:
    """Returns a sort key that orders `actor_2` before `actor_10`."""
    parts = re.split(r"(\d+)", text)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]


def _numbers(texts: Sequence[str]) -> tuple[np.ndarray, int]:
    """Returns numbers `[N]`, NaN for other texts, and the count of NaN and infinite numbers."""
    values = np.full(len(texts), np.nan)
    not_finite = 0
    for index, text in enumerate(texts):
        try:
            values[index] = float(text)
        except ValueError:
            continue
        not_finite += not math.isfinite(values[index])
    return np.where(np.isfinite(values), values, np.nan), not_finite


def _rates(
    label: str, columns: Mapping[str, np.ndarray], config: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    """Returns the learner's steps per second and its samples per agent step."""
    steps, seconds = columns.get("learner_steps"), columns.get("wall_time")
    if label != "learner" or steps is None or seconds is None:
        return {}
    elapsed = np.diff(seconds, prepend=np.nan)
    elapsed[~(elapsed > 0)] = np.nan
    rates = {"learner_steps_per_second": np.diff(steps, prepend=np.nan) / elapsed}
    inserted, batch_size = columns.get("actor_steps"), config.get(_BATCH_SIZE_FIELD)
    if inserted is not None and is_number(batch_size):
        rates["samples_per_actor_step"] = (
            steps * batch_size / np.where(inserted > 0, inserted, np.nan)
        )
    return rates


def is_number(value: Any) -> bool:
    """Returns whether a value is an int or a float, and not a bool."""
    return isinstance(value, int | float) and not isinstance(value, bool)
