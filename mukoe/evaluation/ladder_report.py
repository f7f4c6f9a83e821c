"""Ladders on paper: a table, JSON, CSV, and the rating over training as a picture."""

import dataclasses
import io
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np

from mukoe.evaluation.ladder import Ladder
from mukoe.evaluation.report import rows_csv, text_table, write_files

_LOGGER = logging.getLogger(__name__)


def ladder_summary(ladder: Ladder) -> dict[str, Any]:
    """The ladder as one JSON object; `ci95` are 95 % percentile bootstrap intervals."""
    return {
        "game": ladder.game,
        "anchor": ladder.players[0].name,
        **dataclasses.asdict(ladder.config),
        "players": _player_rows(ladder),
    }


def _player_rows(ladder: Ladder) -> list[dict[str, Any]]:
    points = ladder.results[..., 0] + ladder.results[..., 1] / 2
    games = ladder.results.sum(-1)
    scored = points.sum(1) + (games - points).sum(0)
    played = games.sum(1) + games.sum(0)
    ratings = ladder.ratings
    return [
        {
            "player": player.name,
            "actor_steps": player.actor_steps,
            "learner_step": player.learner_step,
            "elo": round(float(ratings.rating[i]), 2),
            "ci95": [round(float(ratings.low[i]), 2), round(float(ratings.high[i]), 2)],
            "score": float(scored[i] / played[i]),
            "games": int(played[i]),
        }
        for i, player in enumerate(ladder.players)
    ]


def ladder_table(ladder: Ladder) -> str:
    """The ladder for people, the strongest first."""
    rows = sorted(_player_rows(ladder), key=lambda row: -row["elo"])
    return text_table(
        ["player", "agent steps", "Elo", "95 % interval", "score", "games"],
        [
            [
                row["player"],
                "" if row["actor_steps"] is None else str(row["actor_steps"]),
                f"{row['elo']:.0f}",
                "[{:.0f}, {:.0f}]".format(*row["ci95"]),
                f"{row['score']:.1%}",
                str(row["games"]),
            ]
            for row in rows
        ],
    )


def results_csv(ladder: Ladder) -> str:
    """One row for each pair and seat that played."""
    names = [player.name for player in ladder.players]
    return rows_csv(
        {
            "first": names[i],
            "second": names[j],
            "first_wins": ladder.results[i, j, 0],
            "draws": ladder.results[i, j, 1],
            "second_wins": ladder.results[i, j, 2],
        }
        for i, j in np.argwhere(ladder.results.sum(-1) > 0)
    )


def ladder_svg(ladder: Ladder) -> str:
    """The checkpoints' ratings over agent steps with intervals, the opponents' as lines.

    Raises:
      ImportError: matplotlib is not installed.
    """
    import matplotlib
    from matplotlib.figure import Figure

    rating, low, high = ladder.ratings.rating, ladder.ratings.low, ladder.ratings.high
    agents = [i for i, player in enumerate(ladder.players) if player.learner_step is not None]
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    axes.errorbar(
        [ladder.players[i].actor_steps or 0 for i in agents],
        rating[agents],
        # A percentile interval may leave the rating just outside.
        yerr=np.maximum([rating[agents] - low[agents], high[agents] - rating[agents]], 0.0),
        fmt="o-",
        capsize=3,
        label="agent",
    )
    others = [i for i in range(len(ladder.players)) if i not in agents]
    for color, i in enumerate(others, start=1):
        line = axes.axhline(rating[i], color=f"C{color}", ls="--", label=ladder.players[i].name)
        axes.axhspan(low[i], high[i], color=line.get_color(), alpha=0.15, lw=0)
    axes.set(xlabel="agent steps", ylabel=f"Elo ({ladder.players[0].name} = 0)")
    axes.set_title(f"{ladder.game}, 95 % bootstrap intervals")
    axes.grid(alpha=0.3)
    axes.legend()
    text = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "mukoe"}):
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()


def write_ladder(ladder: Ladder, directory: Path) -> list[Path]:
    """Writes ladder.json, ratings.csv, results.csv and ladder.svg; returns their paths.

    Without matplotlib there is a warning in the place of the picture.

    Raises:
      UserError: they cannot be written.
    """
    ratings = [
        {k: v for k, v in row.items() if k != "ci95"}
        | {"elo_low": row["ci95"][0], "elo_high": row["ci95"][1]}
        for row in _player_rows(ladder)
    ]
    files = {
        directory / "ladder.json": json.dumps(ladder_summary(ladder)) + "\n",
        directory / "ratings.csv": rows_csv(ratings),
        directory / "results.csv": results_csv(ladder),
    }
    try:
        files[directory / "ladder.svg"] = ladder_svg(ladder)
    except ImportError:
        _LOGGER.warning("matplotlib is not installed, so there is no picture of the ladder")
    write_files(files)
    return list(files)
