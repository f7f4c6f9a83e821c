"""Evaluations on paper: a table for people, a CSV of the episodes, the summary as JSON."""

import csv
import io
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mukoe.errors import UserError
from mukoe.evaluation.episodes import SEATS, Evaluation, environment_name, summary
from mukoe.observability.progress import Progress, ProgressLine
from mukoe.system import write_atomically

_QUIET_SECONDS = 3.0


def evaluation_table(evaluation: Evaluation) -> str:
    """The evaluation for people."""
    found, statistics = summary(evaluation), evaluation.statistics
    rows = [
        ("environment", environment_name(evaluation.run)),
        ("checkpoint", f"learner step {found['checkpoint']}"),
        ("simulations", found["simulations"]),
        ("opponent", _opponent(found)),
        ("episodes", f"{found['episodes']} (seed {found['seed']})"),
        ("mean", f"{_number(statistics.mean)}  95 % interval {_interval(statistics.ci95)}"),
        ("iqm", f"{_number(statistics.iqm)}  95 % interval {_interval(statistics.iqm_ci95)}"),
        ("median", _number(statistics.median)),
        ("std", _number(statistics.std)),
    ]
    if evaluation.human_normalised is not None:
        rows.append(("human-normalised mean", f"{evaluation.human_normalised:.1%}"))
    text = "\n".join(f"{name:<22}{value}" for name, value in rows if value is not None)
    return text if evaluation.opponent is None else f"{text}\n\n{_record_table(evaluation)}"


def _record_table(evaluation: Evaluation) -> str:
    records = {"total": evaluation.record()}
    records |= {f"moving {name}": evaluation.record(seat) for seat, name in enumerate(SEATS)}
    rows = [[n, str(r.wins), str(r.draws), str(r.losses)] for n, r in records.items()]
    return text_table(["games", "wins", "draws", "losses"], rows)


def _opponent(found: Mapping[str, Any]) -> str | None:
    if found["opponent"] is None:
        return None
    opening = f"{found['opening_moves']} random moves each at the start"
    simulations = found["opponent_simulations"]
    searching = "" if simulations is None else f"{simulations} simulations, "
    return f"{found['opponent']} ({searching}{opening})"


def _number(value: float) -> str:
    return f"{value:.4g}" if abs(value) < 1_000 else f"{value:.1f}"


def _interval(interval: tuple[float, float]) -> str:
    return f"[{_number(interval[0])}, {_number(interval[1])}]"


def episodes_csv(evaluation: Evaluation) -> str:
    """One row for each episode."""
    return rows_csv(
        {
            "episode": index,
            "environment": result.environment,
            "seat": SEATS[result.seat] if evaluation.opponent is not None else "",
            "episode_return": result.episode_return,
            "length": result.length,
            "frames": result.frames,
            "milestone": result.milestone,
        }
        for index, result in enumerate(evaluation.results)
    )


def rows_csv(rows: Any) -> str:
    """Returns rows, mappings with the same keys, as CSV."""
    rows = list(rows)
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def csv_name(evaluation: Evaluation) -> str:
    """The name of the episodes' file: another one for another evaluation."""
    found = summary(evaluation)
    parts = [f"step{found['checkpoint']}"]
    if found["simulations"] is not None:
        parts.append(f"simulations{found['simulations']}")
    if found["opponent"] is not None:
        simulations = found["opponent_simulations"]
        parts.append(found["opponent"] + ("" if simulations is None else str(simulations)))
        parts.append(f"opening{found['opening_moves']}")
    return "-".join([*parts, f"seed{found['seed']}"]) + ".csv"


def write_evaluation(evaluation: Evaluation, directory: Path) -> Path:
    """Writes DIRECTORY/evaluation.json and DIRECTORY/evaluation/*.csv; returns the CSV's path.

    Raises:
      UserError: they cannot be written.
    """
    path = directory / "evaluation" / csv_name(evaluation)
    write_files(
        {
            path: episodes_csv(evaluation),
            directory / "evaluation.json": json.dumps(summary(evaluation)) + "\n",
        }
    )
    return path


def write_files(files: Mapping[Path, str]) -> None:
    """Writes texts atomically, each at its path.

    Raises:
      UserError: one cannot be written.
    """
    for path, text in files.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, text)
        except OSError as error:
            raise UserError(f"cannot write {path}: {error.strerror}") from error


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Returns lines with columns aligned: the first to the left, the others to the right."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip()
        for row in [header, *rows]
    )


class CountedProgress:
    """A living line on the standard error, from 0 to a known number.

    Appears after a few seconds only.
    """

    def __init__(self, phase: str, total: int):
        self._phase = phase
        self._total = total
        self._done = 0
        self._since = time.monotonic()
        self._line: ProgressLine | None = None

    def add(self, count: int = 1) -> None:
        """Counts on."""
        self._done += count
        if self._line is None and time.monotonic() - self._since > _QUIET_SECONDS:
            self._line = ProgressLine()
        if self._line is not None:
            self._line.update(
                Progress(
                    phase=self._phase,
                    phase_done=self._done,
                    phase_total=self._total,
                    run_fraction=self._done / self._total,
                )
            )

    def __enter__(self) -> "CountedProgress":
        return self

    def __exit__(self, *unused: object) -> None:
        if self._line is not None:
            self._line.close()
