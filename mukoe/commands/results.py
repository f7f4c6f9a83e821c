"""Generates docs/results.md and its figures from the records in docs/evidence.

mukoe results
mukoe results --collect=runs/cartpole_0 --collect=runs/cartpole_1

With --collect, the records of finished runs are made from their workdirs first.
"""

import math
import os
from pathlib import Path
from typing import NoReturn

import gymnasium
from absl import flags

from mukoe.configuration import run_main
from mukoe.errors import UserError
from mukoe.layouts.common.complete_config import read_completed
from mukoe.observability.report.evidence import collect, write_evidence
from mukoe.observability.report.published import read_published
from mukoe.observability.report.results_page import make_results
from mukoe.observability.report.runs import Run, find_workdirs, load_run
from mukoe.system import write_atomically
from mukoe.terminal.progress_line import erase_line

COLLECT = flags.DEFINE_multi_string(
    "collect", [], "Workdir of a finished run, or folder of workdirs, to record; repeatable."
)
EVIDENCE = flags.DEFINE_string("evidence", "docs/evidence", "Folder of the records.")
OUTPUT = flags.DEFINE_string("output", "docs/results.md", "Page; its hand-written notes are kept.")
PUBLISHED = flags.DEFINE_string(
    "published",
    "docs/published.json",
    "Scores of other systems, shown beside the results; without the file there is no such table.",
)
FIGURES = flags.DEFINE_string("figures", "docs/figures", "Folder of the figures.")
THRESHOLDS = flags.DEFINE_multi_string(
    "threshold",
    [],
    "ENVIRONMENT=RETURN that counts as solved in records made by --collect, such as "
    "CartPole-v1=475; the default is the config's run.target_return, or else Gymnasium's "
    "reward_threshold.",
)


def given_thresholds() -> dict[str, float]:
    """Returns the values of --threshold by environment."""
    thresholds = {}
    for text in THRESHOLDS.value:
        name, _, value = text.rpartition("=")
        try:
            thresholds[name] = float(value)
        except ValueError as error:
            raise UserError(f"--threshold={text} is not ENVIRONMENT=RETURN") from error
        if not name or not math.isfinite(thresholds[name]):
            raise UserError(f"--threshold={text} is not ENVIRONMENT=RETURN")
    return thresholds


def threshold_of(run: Run, given: dict[str, float]) -> float | None:
    """Returns the return that counts as solved in a run's environment, None if unknown."""
    if run.environment in given:
        return given[run.environment]
    target = run.config.get("run.target_return")
    if isinstance(target, int | float):
        return float(target)
    try:
        return gymnasium.spec(run.environment).reward_threshold
    except (gymnasium.error.Error, ImportError):
        return None


def collect_runs(given: dict[str, float]) -> None:
    """Records the runs of --collect."""
    for root in map(Path, COLLECT.value):
        for workdir in find_workdirs(root):
            relative = workdir.relative_to(root)
            name = "-".join(relative.parts) or workdir.resolve().name
            run = load_run(workdir)
            write_evidence(collect(run, name, threshold_of(run, given)), Path(EVIDENCE.value, name))


def main() -> None:
    """Records runs, and writes the page and its figures."""
    collect_runs(given_thresholds())
    output, figures, evidence = Path(OUTPUT.value), Path(FIGURES.value), Path(EVIDENCE.value)
    published = Path(PUBLISHED.value)
    records = read_completed(evidence)
    try:
        old = output.read_text() if output.exists() else ""
        page, files = make_results(
            records,
            old,
            Path(os.path.relpath(figures, output.parent)).as_posix(),
            Path(os.path.relpath(evidence, output.parent)).as_posix(),
            published=read_published(published) if published.exists() else (),
        )
        figures.mkdir(parents=True, exist_ok=True)
        output.parent.mkdir(parents=True, exist_ok=True)
        for name, svg in files.items():
            write_atomically(figures / name, svg + "\n")
        write_atomically(output, page)
    except OSError as error:
        raise UserError(f"cannot write {output} or {figures}: {error}") from error
    erase_line()
    print(output)


def run() -> NoReturn:
    """Runs `main` as the program."""
    run_main(main)
