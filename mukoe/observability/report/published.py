"""Published scores of other systems, for the table beside the results.

docs/published.json   a list of `Task`
"""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from mukoe.errors import UserError


class Score(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Score of another system.

    system: name of the system.
    score: mean return.
    steps: agent steps of the training; None if unknown.
    """

    system: str
    score: float
    steps: int | None = None


class Task(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Task with published scores.

    task: name of the task.
    runs: groups of runs of the results page that are shown for it.
    published: scores of other systems.
    """

    task: str
    runs: Sequence[str]
    published: Sequence[Score]


def read_published(path: Path) -> list[Task]:
    """Reads the published scores.

    Raises:
      UserError: the file cannot be read, or is no list of tasks.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[Task])
    except (OSError, msgspec.DecodeError) as error:
        raise UserError(f"{path} cannot be read as published scores: {error}") from error
