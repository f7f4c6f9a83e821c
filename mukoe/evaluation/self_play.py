"""Diagnosis of self-play: openings, first-move advantage, cycles, strength over time."""

import dataclasses
import itertools
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mukoe.errors import UserError
from mukoe.evaluation.ladder import Ladder
from mukoe.evaluation.matches import OPENING_PLIES, Games
from mukoe.evaluation.tables import text_table
from mukoe.observability.bootstrap import bootstrap_interval, mean
from mukoe.observability.report import svg
from mukoe.observability.report.runs import load_run

# Probability that a cycle of equally strong players is found in a whole ladder.
_ERROR = 0.05
_NARROW = 2.0
_MOST_CYCLES = 5
_LENGTHS = (1, 2, OPENING_PLIES)


@dataclasses.dataclass(frozen=True)
class Openings:
    """Self-play games of one checkpoint, by its policy with exploration.

    player: name of the checkpoint.
    actor_steps: agent steps of its training.
    games: number of games.
    effective: effective numbers `exp(H)` of different openings of 1, 2 and 4 plies, from the
      entropy `H` of their frequencies.
    first_score: mean score in [0, 1] of the first mover; a draw counts one half.
    low, high: ends of its 95 % bootstrap interval.
    """

    player: str
    actor_steps: int
    games: int
    effective: np.ndarray
    first_score: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class Cycle:
    """Three players, of which each beats the next one, and the last one the first.

    players: names.
    scores: scores in [0, 1] of each player against the next one.
    z: standard errors by which the weakest of the three scores exceeds one half.
    """

    players: tuple[str, str, str]
    scores: tuple[float, float, float]
    z: float


@dataclasses.dataclass(frozen=True)
class SelfPlay:
    """Diagnosis of the self-play of a run.

    openings: openings of each checkpoint.
    cycles: cycles beyond chance, the clearest first.
    chance_cycles: number of further cycles, whose scores are within their noise.
    first_score: score of the first mover over all matches between checkpoints; None without any.
    low, high: ends of its 95 % interval.
    hours: hours of training of each checkpoint, by name; empty if no log has them.
    """

    openings: Sequence[Openings]
    cycles: Sequence[Cycle]
    chance_cycles: int
    first_score: float | None
    low: float
    high: float
    hours: Mapping[str, float]


def diagnose_self_play(
    ladder: Ladder, games: Mapping[str, Games], hours: Mapping[str, float]
) -> SelfPlay:
    """Returns the diagnosis of a rated ladder.

    Args:
      ladder: rated ladder.
      games: games of each checkpoint against itself, by name.
      hours: hours of training of each checkpoint, by name.
    """
    rng = np.random.default_rng(ladder.config.seed)
    steps = {player.name: player.actor_steps or 0 for player in ladder.players}
    openings = [_openings(name, steps[name], played, rng) for name, played in games.items()]
    cycles, chance = find_cycles(ladder.results, [player.name for player in ladder.players])
    score, low, high = _first_mover(ladder, rng)
    return SelfPlay(openings, cycles, chance, score, low, high, hours)


def _openings(name: str, steps: int, games: Games, rng: np.random.Generator) -> Openings:
    # Scores are those of the player, which begins in the first half of the games.
    first = np.concatenate([games.scores[0], -games.scores[1]])
    points = (first + 1.0) / 2.0
    low, high = bootstrap_interval(points, mean, rng)
    plies = games.openings.reshape(-1, games.openings.shape[-1])
    return Openings(
        player=name,
        actor_steps=steps,
        games=len(plies),
        effective=np.array([effective_number(plies[:, :n]) for n in _LENGTHS]),
        first_score=float(points.mean()),
        low=float(low),
        high=float(high),
    )


def effective_number(sequences: np.ndarray) -> float:
    """Returns `exp(H)` of the frequencies of rows `[N, P]`: 1 if all are the same, `N` if none."""
    counts = np.unique(sequences, axis=0, return_counts=True)[1]
    shares = counts / counts.sum()
    return float(np.exp(-np.sum(shares * np.log(shares))))


def find_cycles(results: np.ndarray, names: Sequence[str]) -> tuple[list[Cycle], int]:
    """Returns the cycles of three players that chance does not explain, and the number of others.

    The scores of a cycle are above one half by more standard errors than a ladder without cycles
    reaches in any of its triples with probability 5 % (Bonferroni).

    Args:
      results: `[N, N, 3]` counts, as in `elo.fit_elo`.
      names: names of the `N` players.
    """
    counts = results + results.transpose(1, 0, 2)[..., ::-1]
    played = counts.sum(-1)
    weights = counts / np.maximum(played, 1)[..., None]
    score = weights @ np.array([1.0, 0.5, 0.0])
    # A draw is added to each pair, so that a few wins alone are no certainty.
    variance = (weights @ np.array([1.0, 0.25, 0.0]) - score**2) * played + 0.25
    error = np.sqrt(variance) / np.maximum(played, 1)
    z = np.where(played > 0, (score - 0.5) / error, 0.0)
    triples = list(itertools.combinations(range(len(names)), 3))
    limit = statistics.NormalDist().inv_cdf(1.0 - _ERROR / max(1, 2 * len(triples)))
    found = []
    for i, j, k in triples:
        for a, b, c in ((i, j, k), (i, k, j)):
            edges = ((a, b), (b, c), (c, a))
            least = min(float(z[edge]) for edge in edges)
            if least > 0:
                scores = (float(score[a, b]), float(score[b, c]), float(score[c, a]))
                found.append(Cycle((names[a], names[b], names[c]), scores, least))
    clear = sorted((cycle for cycle in found if cycle.z > limit), key=lambda cycle: -cycle.z)
    return clear, len(found) - len(clear)


def _first_mover(ladder: Ladder, rng: np.random.Generator) -> tuple[float | None, float, float]:
    """Returns the first mover's score in matches between checkpoints, with its interval.

    Both players of a pair begin equally often, so that their strengths cancel.
    """
    agents = [i for i, player in enumerate(ladder.players) if player.learner_step is not None]
    pairs = ladder.results[np.ix_(agents, agents)].reshape(-1, 3)
    pairs = pairs[pairs.sum(-1) > 0]
    if not len(pairs):
        return None, 0.0, 1.0
    points = np.repeat(np.tile([1.0, 0.5, 0.0], len(pairs)), pairs.reshape(-1))
    strata = np.repeat(np.arange(len(pairs)), pairs.sum(-1))
    low, high = bootstrap_interval(points, mean, rng, strata)
    return float(points.mean()), float(low), float(high)


def training_hours(workdir: Path, ladder: Ladder) -> dict[str, float]:
    """Returns the hours of training of each checkpoint from the logs; empty without logs."""
    try:
        logs = load_run(workdir).logs
    except UserError:
        return {}
    for log in logs:
        steps, seconds = log.columns.get("actor_steps"), log.columns.get("wall_time")
        if log.kind != "actor" or steps is None or seconds is None:
            continue
        known = np.isfinite(steps) & np.isfinite(seconds)
        return {
            player.name: float(np.interp(player.actor_steps, steps[known], seconds[known]) / 3600)
            for player in ladder.players
            if player.actor_steps is not None and known.any()
        }
    return {}


def self_play_summary(diagnosis: SelfPlay) -> dict[str, Any]:
    """Returns the diagnosis as a JSON object."""
    return {
        "first_mover_score": diagnosis.first_score,
        "first_mover_ci95": [diagnosis.low, diagnosis.high],
        "openings": [
            {**dataclasses.asdict(each), "effective": [round(float(n), 3) for n in each.effective]}
            for each in diagnosis.openings
        ],
        "cycles": [dataclasses.asdict(cycle) for cycle in diagnosis.cycles],
        "chance_cycles": diagnosis.chance_cycles,
        "hours": dict(diagnosis.hours),
    }


def self_play_text(diagnosis: SelfPlay, ladder: Ladder) -> str:
    """Returns the diagnosis as a table of checkpoints and one line for each question."""
    rows = [
        [
            each.player,
            f"{diagnosis.hours[each.player]:.2f}" if each.player in diagnosis.hours else "",
            *(f"{number:.1f}" for number in each.effective),
            f"{each.first_score:.0%} [{each.low:.0%}, {each.high:.0%}]",
        ]
        for each in diagnosis.openings
    ]
    plies = [f"{n} plies" if n > 1 else "1 ply" for n in _LENGTHS]
    table = text_table(["openings of", "hours", *plies, "first mover"], rows)
    lines = [_openings_line(diagnosis), _first_line(diagnosis), _cycle_lines(diagnosis)]
    return "\n".join([table, "", *lines, _strength_line(diagnosis, ladder)])


def _openings_line(diagnosis: SelfPlay) -> str:
    if not diagnosis.openings:
        return "openings: no checkpoint"
    last = diagnosis.openings[-1]
    text = f"openings: {last.effective[-1]:.1f} different ones of {OPENING_PLIES} plies"
    text += f" in {last.games} games of {last.player}"
    if last.effective[-1] < _NARROW:
        text += (
            ": narrow; raise environment.random_opening_moves, or with search.algorithm=muzero "
            "agent.search.dirichlet_fraction or the temperature"
        )
    return text


def _first_line(diagnosis: SelfPlay) -> str:
    if diagnosis.first_score is None:
        return "first mover: no match between checkpoints"
    low, high = diagnosis.low, diagnosis.high
    text = f"first mover: scores {diagnosis.first_score:.1%} [{low:.1%}, {high:.1%}]"
    if low > 0.5 or high < 0.5:
        return f"{text}, {'an advantage' if low > 0.5 else 'a disadvantage'} of the first move"
    return f"{text}, no advantage beyond chance"


def _cycle_lines(diagnosis: SelfPlay) -> str:
    rest = f"{diagnosis.chance_cycles} within the noise of the games"
    if not diagnosis.cycles:
        return f"cycles: none beyond chance ({rest})"
    lines = [f"cycles: {len(diagnosis.cycles)} beyond chance ({rest})"]
    for cycle in diagnosis.cycles[:_MOST_CYCLES]:
        first, second, third = cycle.players
        scores = ", ".join(f"{score:.0%}" for score in cycle.scores)
        lines.append(f"  {first} beats {second} beats {third} beats {first} ({scores})")
    return "\n".join(lines)


def _strength_line(diagnosis: SelfPlay, ladder: Ladder) -> str:
    """Returns the line of the Elo gained by the whole training and by its last third."""
    agents = [i for i, player in enumerate(ladder.players) if player.learner_step is not None]
    if len(agents) < 2:
        return "strength: one checkpoint"
    rating = ladder.ratings.rating[agents]
    steps = np.array([ladder.players[i].actor_steps or 0 for i in agents], float)
    at_two_thirds = float(np.interp(steps[0] + (steps[-1] - steps[0]) * 2 / 3, steps, rating))
    text = f"strength: {rating[-1] - rating[0]:+.0f} Elo from {steps[0]:,.0f} to"
    text += f" {steps[-1]:,.0f} agent steps, {rating[-1] - at_two_thirds:+.0f} in the last third"
    times = [diagnosis.hours.get(ladder.players[i].name) for i in (agents[0], agents[-1])]
    if None not in times and times[1] > times[0]:  # type: ignore[operator]
        text += f", {(rating[-1] - rating[0]) / (times[1] - times[0]):+.0f} Elo per hour"  # type: ignore[operator]
    return text


def strength_svg(diagnosis: SelfPlay, ladder: Ladder) -> str:
    """Plots the ratings of the checkpoints over hours of training."""
    found = [
        (diagnosis.hours[player.name], i)
        for i, player in enumerate(ladder.players)
        if player.name in diagnosis.hours
    ]
    hours, agents = np.array([h for h, _ in found]), [i for _, i in found]
    ratings = ladder.ratings
    line = svg.Line(
        hours,
        ratings.rating[agents],
        0,
        "agent",
        low=ratings.low[agents],
        high=ratings.high[agents],
    )
    title = f"{ladder.game}: Elo ({ladder.players[0].name} = 0)"
    description = f"{title} over hours of training, 95% bootstrap intervals"
    return svg.line_plot([line], "hours", description, None, title)


def openings_svg(diagnosis: SelfPlay) -> str:
    """Plots the effective numbers of openings over agent steps, a line for each length."""
    steps = np.array([each.actor_steps for each in diagnosis.openings], float)
    lines = [
        svg.Line(steps, np.array([each.effective[index] for each in diagnosis.openings]), index)
        for index in range(len(_LENGTHS))
    ]
    title = "effective number of openings in self-play"
    names = {i: f"{n} plies" if n > 1 else "1 ply" for i, n in enumerate(_LENGTHS)}
    return svg.line_plot(lines, "agent steps", title, None, title, names, include=1.0)
