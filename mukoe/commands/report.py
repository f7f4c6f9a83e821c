"""Generates an HTML report that compares runs.

mukoe report --workdir=runs/a --workdir=runs/b --output=report.html
mukoe report --workdir=runs --output=report.html
"""

from pathlib import Path
from typing import NoReturn

from absl import flags

from mukoe.configuration import run_main
from mukoe.configuration.workdir import CONFIG_FILE
from mukoe.errors import UserError
from mukoe.observability.report.run_page import make_page
from mukoe.observability.report.runs import find_workdirs, load_run
from mukoe.system import write_atomically
from mukoe.terminal.progress_line import erase_line

WORKDIRS = flags.DEFINE_multi_string(
    "workdir", [], "Workdir of a run, or folder of workdirs; repeatable."
)
OUTPUT = flags.DEFINE_string("output", "report.html", "File of the report.")
SMOOTH = flags.DEFINE_integer(
    "smooth", 1, "Number of rows over which logged numbers are averaged.", lower_bound=1
)


def _workdirs_in(folder: Path) -> list[Path]:
    """Returns the folder if it is a workdir, else the workdirs in it."""
    if (folder / CONFIG_FILE).exists() or not folder.is_dir():
        return [folder]
    return [path for path in find_workdirs(folder) if (path / CONFIG_FILE).exists()]


def main() -> None:
    """Reads the runs and writes the page."""
    if not WORKDIRS.value:
        raise UserError("--workdir is missing; give the workdir of a run, such as runs/cartpole")
    workdirs = [str(path) for given in WORKDIRS.value for path in _workdirs_in(Path(given))]
    runs = [load_run(workdir) for workdir in dict.fromkeys(workdirs)]
    output = Path(OUTPUT.value)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(output, make_page(runs, SMOOTH.value))
    except OSError as error:
        raise UserError(f"cannot write {output}: {error.strerror}") from error
    erase_line()
    print(output)


def run() -> NoReturn:
    """Runs `main` as the program."""
    run_main(main)
