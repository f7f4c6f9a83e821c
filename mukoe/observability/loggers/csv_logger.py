"""Logger that writes CSV files, and the reader of such files."""

import csv
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mukoe.observability.loggers.base import WriteGuard, to_scalar


class CsvLogger:
    """Writes one row of a CSV file per entry.

    Appends to an existing file: a torn last line is cut. With `steps_key`, rows from the first
    new step on are dropped, because a run that resumes from a checkpoint repeats them. A new
    column rewrites the file with the longer header.
    """

    def __init__(self, path: str | os.PathLike[str], steps_key: str | None = None):
        """Makes a logger; the first write opens the file.

        Args:
          path: CSV file; its directory is made.
          steps_key: column that counts the steps.
        """
        self._path = Path(path)
        self._steps_key = steps_key
        self._columns: list[str] = []
        self._file: io.TextIOWrapper | None = None
        self._resuming = True
        self._guard = WriteGuard(str(self._path))

    def write(self, data: Mapping[str, Any]) -> None:
        """Appends a row and flushes it."""
        row = {name: to_scalar(value) for name, value in data.items()}
        if not self._guard.run(lambda: self._append(row)):
            self._guard.run(self._release)

    def close(self) -> None:
        """Closes the file."""
        self._guard.run(self._release)

    def _release(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _append(self, row: Mapping[str, Any]) -> None:
        if self._file is None or not row.keys() <= set(self._columns):
            self._open(row)
        assert self._file is not None
        csv.DictWriter(self._file, self._columns, lineterminator="\n").writerow(row)
        self._file.flush()

    def _open(self, row: Mapping[str, Any]) -> None:
        """Opens the file for appending; rewrites it first if its rows or columns change."""
        self._release()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        stored, columns, sound = read_rows(self._path)
        kept = stored
        if self._resuming and self._steps_key in row:
            kept = [old for old in stored if _is_before(old, row, str(self._steps_key))]
        self._columns = columns + [name for name in row if name not in columns]
        if not sound or len(kept) != len(stored) or self._columns != columns:
            _write_rows(self._path, self._columns, kept)
        self._resuming = False
        self._file = open(self._path, "a", newline="")


def read_rows(path: Path) -> tuple[list[dict[str, str]], list[str], bool]:
    """Reads a CSV file that may end in a torn line.

    Args:
      path: CSV file; it may be missing.

    Returns:
      The complete rows, the columns, and whether the file holds nothing else.
    """
    if not path.exists():
        return [], [], False
    text = path.read_text(errors="replace").replace("\0", "")
    whole = text[: text.rfind("\n") + 1]
    lines = list(csv.reader(io.StringIO(whole)))
    columns = lines[0] if lines else []
    rows = [
        dict(zip(columns, line, strict=True)) for line in lines[1:] if len(line) == len(columns)
    ]
    return rows, columns, whole == text and len(rows) == len(lines) - 1


def _write_rows(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, str]]) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(beside, "w", newline="") as file:
            writer = csv.DictWriter(file, columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def _is_before(old: Mapping[str, str], new: Mapping[str, Any], steps_key: str) -> bool:
    try:
        return float(old.get(steps_key, "")) < float(new[steps_key])
    except ValueError:
        return True
