"""Output of an evaluation: a table, a CSV of the episodes, the summary as JSON."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mukoe.evaluation.episodes import SEATS, Evaluation, environment_name, summary
from mukoe.evaluation.tables import rows_csv, text_table, write_files


def evaluation_table(evaluation: Evaluation) -> str:
    """Returns the evaluation as a table for the terminal."""
    found, statistics = summary(evaluation), evaluation.statistics
    has_interval = len(evaluation.results) > len({r.seat for r in evaluation.results})
    rows = [
        ("environment", environment_name(evaluation.run)),
        ("checkpoint", f"learner step {found['checkpoint']}"),
        ("simulations", found["simulations"]),
        ("temperature", found["temperature"]),
        ("symmetries", "averaged" if found["symmetries"] else None),
        ("tree", "reused between moves" if found["reuse_tree"] else None),
        ("trees", found["trees"]),
        ("opponent", _opponent(found)),
        ("episodes", f"{found['episodes']} (seed {found['seed']})"),
        ("mean", _number(statistics.mean) + has_interval * _interval(statistics.ci95)),
        ("iqm", _number(statistics.iqm) + has_interval * _interval(statistics.iqm_ci95)),
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
    return f"  95 % interval [{_number(interval[0])}, {_number(interval[1])}]"


def episodes_csv(evaluation: Evaluation) -> str:
    """Returns a CSV with a row for each episode."""
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


def csv_name(evaluation: Evaluation) -> str:
    """Returns the file name of the episodes; it depends on the settings of the evaluation."""
    found = summary(evaluation)
    parts = [f"step{found['checkpoint']}"]
    if found["simulations"] is not None:
        parts.append(f"simulations{found['simulations']}")
    if found["temperature"] is not None:
        parts.append(f"temperature{found['temperature']:g}")
    if found["symmetries"]:
        parts.append("symmetries")
    if found["reuse_tree"]:
        parts.append("reuse")
    if found["trees"]:
        parts.append(f"trees{found['trees']}")
    if found["opponent"] is not None:
        simulations = found["opponent_simulations"]
        # An engine is named by its command line.
        name = re.sub(r"[^\w@.+-]+", "_", found["opponent"])
        parts.append(name + ("" if simulations is None else str(simulations)))
        parts.append(f"opening{found['opening_moves']}")
    return "-".join([*parts, f"seed{found['seed']}"]) + ".csv"


def write_evaluation(evaluation: Evaluation, directory: Path) -> Path:
    """Writes DIRECTORY/evaluation.json and DIRECTORY/evaluation/*.csv.

    Returns:
      The path of the CSV.

    Raises:
      UserError: a file cannot be written.
    """
    path = directory / "evaluation" / csv_name(evaluation)
    write_files(
        {
            path: episodes_csv(evaluation),
            directory / "evaluation.json": json.dumps(summary(evaluation)) + "\n",
        }
    )
    return path
