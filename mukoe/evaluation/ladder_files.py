"""Output of a ladder: a table, JSON, CSV, and a plot of the ratings over training."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np

from mukoe.evaluation.ladder import Ladder
from mukoe.evaluation.self_play import (
    SelfPlay,
    openings_svg,
    self_play_summary,
    strength_svg,
)
from mukoe.evaluation.tables import rows_csv, text_table, write_files
from mukoe.observability.report import svg


def ladder_summary(ladder: Ladder, diagnosis: SelfPlay | None = None) -> dict[str, Any]:
    """Returns the ladder as one JSON object; `ci95` are 95 % percentile bootstrap intervals.

    Args:
      ladder: rated ladder.
      diagnosis: diagnosis of the self-play, under `self_play`; None to leave it out.
    """
    return {
        "game": ladder.game,
        **dataclasses.asdict(ladder.config),
        "anchor": ladder.players[0].name,
        "players": _player_rows(ladder),
        **({} if diagnosis is None else {"self_play": self_play_summary(diagnosis)}),
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
    """Returns the ladder as a table for the terminal, the strongest player first."""
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


def anchor_text(ladder: Ladder) -> str:
    """Returns the anchor and its rating, such as 'random = 0'."""
    return f"{ladder.players[0].name} = {ladder.config.anchor_elo:g}"


def results_csv(ladder: Ladder) -> str:
    """Returns a CSV with a row for each pair and seat."""
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
    """Plots the ratings of the checkpoints over agent steps, and fixed opponents as levels.

    Bands are the bootstrap intervals.
    """
    rating, low, high = ladder.ratings.rating, ladder.ratings.low, ladder.ratings.high
    agents = [i for i, player in enumerate(ladder.players) if player.learner_step is not None]
    others = [i for i in range(len(ladder.players)) if i not in agents]
    steps = np.array([ladder.players[i].actor_steps or 0 for i in agents], float)
    ends = np.array([0.0, steps.max(initial=1.0)])
    lines = [svg.Line(steps, rating[agents], 0, "agent", low=low[agents], high=high[agents])]
    for colour, i in enumerate(others, start=1):
        levels = [np.repeat(level[i], 2) for level in (rating, low, high)]
        name = ladder.players[i].name
        lines.append(svg.Line(ends, levels[0], colour, name, low=levels[1], high=levels[2]))
    names = ["agent", *(ladder.players[i].name for i in others)]
    title = f"{ladder.game}: Elo ({anchor_text(ladder)})"
    description = f"{title} over agent steps, 95% bootstrap intervals"
    return svg.line_plot(lines, "agent steps", description, None, title, dict(enumerate(names)))


def write_ladder(ladder: Ladder, directory: Path, diagnosis: SelfPlay) -> list[Path]:
    """Writes ladder.json, ratings.csv, results.csv and the plots.

    Args:
      ladder: rated ladder.
      directory: folder of the files.
      diagnosis: diagnosis of the self-play.

    Returns:
      The paths of the files.

    Raises:
      UserError: a file cannot be written.
    """
    ratings = [
        {k: v for k, v in row.items() if k != "ci95"}
        | {"elo_low": row["ci95"][0], "elo_high": row["ci95"][1]}
        for row in _player_rows(ladder)
    ]
    files = {
        directory / "ladder.json": json.dumps(ladder_summary(ladder, diagnosis)) + "\n",
        directory / "ratings.csv": rows_csv(ratings),
        directory / "results.csv": results_csv(ladder),
        directory / "ladder.svg": ladder_svg(ladder) + "\n",
    }
    files[directory / "openings.svg"] = openings_svg(diagnosis) + "\n"
    if diagnosis.hours:
        files[directory / "strength.svg"] = strength_svg(diagnosis, ladder) + "\n"
    write_files(files)
    return list(files)
