"""Lists the trained agents that the package contains, or adds one from a run.

mukoe zoo
mukoe evaluate --workdir=zoo:cartpole
"""

from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from absl import flags

from mukoe.configuration import run_main
from mukoe.configuration.bounds import LARGEST_SEED
from mukoe.errors import UserError
from mukoe.system import process_environment, set_process_environment, write_atomically
from mukoe.terminal.progress_line import erase_line

if TYPE_CHECKING:
    from mukoe.zoo import Certificate

ADD = flags.DEFINE_string("add", None, "Workdir of a run whose agent is added to the zoo.")
NAME = flags.DEFINE_string("name", None, "Name of the added agent, such as connect_four.")
BEST = flags.DEFINE_bool(
    "best", False, "Add the checkpoint with the best evaluation instead of the latest."
)
STEP = flags.DEFINE_integer(
    "step", None, "Add the checkpoint of this learner step instead of the latest."
)
EPISODES = flags.DEFINE_integer(
    "episodes", 100, "Episodes of the evaluation in the certificate.", lower_bound=1
)
SEED = flags.DEFINE_integer("seed", 0, "Seed of the evaluation.", 0, LARGEST_SEED)
PAGE = flags.DEFINE_string(
    "page", None, "Markdown page, such as docs/zoo.md, whose table of the zoo is written anew."
)

TABLE_START, TABLE_END = "<!-- zoo -->\n", "<!-- end of zoo -->"
"""Marks around the table of the page."""


def main() -> None:
    """Adds an agent, writes the page, or prints the table."""
    if (ADD.value is None) != (NAME.value is None):
        raise UserError("--add=WORKDIR and --name=NAME go together")
    set_process_environment(process_environment())

    from mukoe.evaluation.tables import text_table
    from mukoe.evaluation.zoo_export import TABLE_HEADER, markdown_table, table_rows
    from mukoe.zoo import certificates

    shown = (
        [_add(ADD.value, NAME.value)]
        if ADD.value is not None and NAME.value is not None
        else certificates()
    )
    if PAGE.value is not None:
        _write_table(Path(PAGE.value), markdown_table(certificates()))
    erase_line()
    print(text_table(TABLE_HEADER, table_rows(shown)))


def _add(workdir: str, name: str) -> "Certificate":
    """Evaluates and adds the agent of a run."""
    from mukoe.evaluation.episodes import EvaluationConfig
    from mukoe.evaluation.players import Reference, open_agent
    from mukoe.evaluation.zoo_export import export
    from mukoe.terminal.counted_progress import CountedProgress
    from mukoe.zoo.entries import FOLDER

    config = EvaluationConfig(episodes=EPISODES.value, seed=SEED.value)
    run = open_agent(Reference(Path(workdir).expanduser(), BEST.value, STEP.value))
    with CountedProgress("evaluating", config.episodes) as progress:
        return export(run, name, config, FOLDER, lambda _: progress.add())


def _write_table(path: Path, table: str) -> None:
    """Replaces the table between the marks of a page."""
    try:
        page = path.read_text()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    before, start, rest = page.partition(TABLE_START)
    _, end, after = rest.partition(TABLE_END)
    if not start or not end:
        raise UserError(f"{path} has no lines {TABLE_START.strip()} and {TABLE_END}")
    write_atomically(path, before + start + "\n" + table + "\n" + end + after)


def run() -> NoReturn:
    """Runs `main` as the program."""
    run_main(main)
