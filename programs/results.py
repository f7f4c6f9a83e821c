"""Makes docs/results.md and its figures from the workdirs of finished runs.

python programs/results.py --runs=runs --output=docs/results.md --figures=docs/figures
"""

import math
import os
from pathlib import Path

import gymnasium
from absl import flags

from mukoe.configuration import run_main
from mukoe.errors import UserError
from mukoe.observability.report import Run, make_results
from mukoe.system import write_atomically

ROOTS = flags.DEFINE_multi_string("runs", [], "Folder with workdirs in it; may be given again.")
OUTPUT = flags.DEFINE_string("output", "docs/results.md", "The page; its notes are kept.")
FIGURES = flags.DEFINE_string("figures", "docs/figures", "Folder of the page's figures.")
THRESHOLDS = flags.DEFINE_multi_string(
    "threshold",
    [],
    "ENVIRONMENT=RETURN that counts as solved, such as CartPole-v1=475; the default is the "
    "config's run.target_return, or else Gymnasium's reward_threshold.",
)


def given_thresholds() -> dict[str, float]:
    """Returns the flags, by environment."""
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


def main() -> None:
    """Reads the runs, and writes the figures and the page."""
    if not ROOTS.value:
        raise UserError("--runs is missing; give a folder with workdirs in it, such as --runs=runs")
    given = given_thresholds()
    output, figures = Path(OUTPUT.value), Path(FIGURES.value)
    try:
        old = output.read_text() if output.exists() else ""
        reference = Path(os.path.relpath(figures, output.parent)).as_posix()
        page, files = make_results(
            [Path(root) for root in ROOTS.value],
            old,
            reference,
            lambda run: threshold_of(run, given),
        )
        figures.mkdir(parents=True, exist_ok=True)
        output.parent.mkdir(parents=True, exist_ok=True)
        for name, svg in files.items():
            write_atomically(figures / name, svg + "\n")
        write_atomically(output, page)
    except OSError as error:
        raise UserError(f"cannot write {output} or {figures}: {error}") from error
    print(output)


if __name__ == "__main__":
    run_main(main)
