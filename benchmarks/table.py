"""Writes the tables of docs/performance.md from the rows of the benchmarks.

python benchmarks/table.py --rows=runs/benchmarks.jsonl --page=docs/performance.md
"""

import json
from pathlib import Path

from absl import flags
from measure import table

from mukoe.configuration import run_main
from mukoe.errors import UserError
from mukoe.system import write_atomically

ROWS = flags.DEFINE_string("rows", "runs/benchmarks.jsonl", "JSON lines of the benchmarks.")
PAGE = flags.DEFINE_string("page", "docs/performance.md", "Page with marks.")


def fill(page: str, rows: list[dict]) -> str:
    """Replaces the text between `<!-- NAME -->` and `<!-- end of NAME -->` by the table of NAME.

    Args:
      page: Markdown with marks.
      rows: rows of the benchmarks.


    Raises:
      UserError: the page has no marks for a benchmark.
    """
    for name in dict.fromkeys(row["benchmark"] for row in rows):
        start, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        if start not in page or end not in page:
            raise UserError(f"{PAGE.value} has no marks {start.strip()} and {end}")
        mine = [row for row in rows if row["benchmark"] == name]
        machines = list(dict.fromkeys(row["machine"] for row in mine))
        before, rest = page.split(start)
        after = rest.split(end, 1)[1]
        page = f"{before}{start}{machines[-1]}\n\n{table(mine)}\n{end}{after}"
    return page


def main() -> None:
    try:
        rows = [json.loads(line) for line in Path(ROWS.value).read_text().splitlines()]
        page = Path(PAGE.value).read_text()
    except (OSError, json.JSONDecodeError) as error:
        raise UserError(f"cannot read {ROWS.value} or {PAGE.value}: {error}") from error
    write_atomically(Path(PAGE.value), fill(page, rows))
    print(PAGE.value)


if __name__ == "__main__":
    run_main(main)
