"""Text tables and CSV files."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mukoe.errors import UserError
from mukoe.system import write_atomically


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Returns a table with a left-aligned first column and right-aligned other columns."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip()
        for row in [header, *rows]
    )


def rows_csv(rows: Iterable[Mapping[str, Any]]) -> str:
    """Returns rows as CSV.

    Args:
      rows: non-empty mappings with the same keys.
    """
    rows = list(rows)
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def write_files(files: Mapping[Path, str]) -> None:
    """Writes text files atomically.

    Args:
      files: path to text.

    Raises:
      UserError: a file cannot be written.
    """
    for path, text in files.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, text)
        except OSError as error:
            raise UserError(f"cannot write {path}: {error.strerror}") from error
