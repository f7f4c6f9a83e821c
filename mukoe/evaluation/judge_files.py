"""Output of judged games: tables, JSON, CSV, and plots by ply and over training."""

import dataclasses
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mukoe.evaluation.connect_four_judge import JudgeConfig, Judgement
from mukoe.evaluation.tables import rows_csv, text_table, write_files
from mukoe.observability.report import svg

_PLIES_PER_ROW = 6
"""Plies in a row of the table."""

_NAMES = {0: "value-keeping moves", 1: "optimal moves"}


def judge_summary(judgements: Sequence[Judgement], config: JudgeConfig) -> dict[str, Any]:
    """Returns the judgements as one JSON object."""
    return {
        **dataclasses.asdict(config),
        "checkpoints": [
            {
                "learner_step": judgement.player.learner_step,
                "actor_steps": judgement.player.actor_steps,
                "moves": len(judgement.moves),
                "optimal": judgement.share_optimal(),
                "value_keeping": judgement.share_keeping(),
                "by_seat": [_record(scores) for scores in judgement.scores],
                "by_ply": ply_rows(judgement),
            }
            for judgement in judgements
        ],
    }


def _record(scores: np.ndarray) -> dict[str, int]:
    counts = [int((scores == score).sum()) for score in (1, 0, -1)]
    return dict(zip(("wins", "draws", "losses"), counts, strict=True))


def ply_rows(judgement: Judgement, width: int = 1) -> list[dict[str, Any]]:
    """Returns shares of optimal and value-keeping moves for each `width` plies with moves."""
    groups = defaultdict(list)
    for move in judgement.moves:
        groups[move.ply // width * width].append(move)
    return [
        {
            "ply": ply,
            "moves": len(moves),
            "optimal": float(np.mean([move.optimal for move in moves])),
            "value_keeping": float(np.mean([move.keeps_value for move in moves])),
        }
        for ply, moves in sorted(groups.items())
    ]


def judge_table(judgements: Sequence[Judgement]) -> str:
    """Returns tables for the terminal: the checkpoints, then the last one by ply."""
    header = ["checkpoint", "agent steps", "moves", "value kept", "optimal"]
    header += ["first: won drawn lost", "second: won drawn lost"]
    rows = []
    for judgement in judgements:
        records = [" ".join(map(str, _record(scores).values())) for scores in judgement.scores]
        steps = "" if judgement.player.actor_steps is None else str(judgement.player.actor_steps)
        shares = [f"{judgement.share_keeping():.1%}", f"{judgement.share_optimal():.1%}"]
        rows.append([judgement.player.name, steps, str(len(judgement.moves)), *shares, *records])
    plies = [
        [f"{row['ply'] + 1} to {row['ply'] + _PLIES_PER_ROW}", *_shares(row)]
        for row in ply_rows(judgements[-1], _PLIES_PER_ROW)
    ]
    by_ply = text_table(["ply", "moves", "value kept", "optimal"], plies)
    return f"{text_table(header, rows)}\n\n{judgements[-1].player.name}, by ply\n{by_ply}"


def _shares(row: Mapping[str, Any]) -> list[str]:
    return [str(row["moves"]), f"{row['value_keeping']:.1%}", f"{row['optimal']:.1%}"]


def judge_csv(judgements: Sequence[Judgement]) -> str:
    """Returns a CSV with a row for each checkpoint and ply."""
    return rows_csv(
        {"checkpoint": judgement.player.name, **row}
        for judgement in judgements
        for row in ply_rows(judgement)
    )


def ply_svg(judgement: Judgement) -> str:
    """Plots the shares by ply."""
    rows = ply_rows(judgement)
    plies = np.array([row["ply"] + 1 for row in rows], float)
    shares = [[row["value_keeping"] for row in rows], [row["optimal"] for row in rows]]
    return _plot(plies, shares, "ply", f"Connect Four, {judgement.player.name}: by ply")


def training_svg(judgements: Sequence[Judgement]) -> str:
    """Plots the shares over agent steps."""
    steps = np.array([judgement.player.actor_steps or 0 for judgement in judgements], float)
    keeping = [judgement.share_keeping() for judgement in judgements]
    optimal = [judgement.share_optimal() for judgement in judgements]
    return _plot(steps, [keeping, optimal], "agent steps", "Connect Four: moves over training")


def _plot(x: np.ndarray, shares: Sequence[Sequence[float]], axis: str, title: str) -> str:
    lines = [
        svg.Line(x, np.array(share, float), index, _NAMES[index])
        for index, share in enumerate(shares)
    ]
    description = f"{title}: shares of {_NAMES[0]} and of {_NAMES[1]}"
    return svg.line_plot(lines, axis, description, None, title, _NAMES)


def write_judgements(
    judgements: Sequence[Judgement], config: JudgeConfig, directory: Path
) -> list[Path]:
    """Writes judge.json, plies.csv, plies.svg, and training.svg for several checkpoints.

    Returns:
      The paths of the files.

    Raises:
      UserError: a file cannot be written.
    """
    files = {
        directory / "judge.json": json.dumps(judge_summary(judgements, config)) + "\n",
        directory / "plies.csv": judge_csv(judgements),
        directory / "plies.svg": ply_svg(judgements[-1]) + "\n",
    }
    if len(judgements) > 1:
        files[directory / "training.svg"] = training_svg(judgements) + "\n"
    write_files(files)
    return list(files)
