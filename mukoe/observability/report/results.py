"""The results page: Markdown and figures, made from the files of the runs."""

import dataclasses
import functools
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mukoe.errors import UserError
from mukoe.observability.report import statistics, svg
from mukoe.observability.report.page import final_evaluation, group_lines
from mukoe.observability.report.runs import (
    Group,
    Run,
    find_workdirs,
    free_name,
    group_runs,
    load_run,
)
from mukoe.observability.report.statistics import ACTOR_STEPS, MINUTES
from mukoe.observability.report.text import number

_NOTES = re.compile(r"<!-- notes:([^\n]+?) -->\n?(.*?)<!-- /notes -->", re.DOTALL)
_NOTES_START = re.compile(r"<!-- notes:([^\n]+?) -->")
_HEADER = """# Results

`programs/results.py` makes this page and its figures from the files of the runs. What is
written by hand stands between the `notes` marks in the source of this page, and is kept.
"""

_AXES = ((ACTOR_STEPS, "steps", "agent steps"), (MINUTES, "minutes", "minutes"))


@dataclasses.dataclass(frozen=True)
class _Column:
    """A column of the table of a group's runs; left out where no run has anything in it."""

    title: str
    cell: Callable[[Run], str | None]


def make_results(
    roots: Sequence[Path],
    old: str,
    figures: str,
    thresholds: Callable[[Run], float | None],
) -> tuple[str, dict[str, str]]:
    """Returns the page and its figures.

    Args:
      roots: folders with workdirs in them.
      old: the page as it was, for what was written in it by hand; empty for none.
      figures: the folder of the figures, as the page refers to it.
      thresholds: gives the return that counts as solved, None where there is none.

    Returns:
      The Markdown, and file name to SVG.

    Raises:
      UserError: a root holds no runs, or marks of hand-written text in `old` do not match.
    """
    groups, unreadable = _load(roots)
    notes = hand_written(old)
    summary = ["", "## All", "", *_summary(groups), ""]
    parts = [_HEADER, _notes("introduction", notes), *summary]
    files: dict[str, str] = {}
    compared = _comparisons(groups)
    if compared:
        parts += ["## Comparisons", "", _notes("comparisons", notes), ""]
    for name, rivals in compared.items():
        drawn = _draw_rivals(name, rivals, thresholds(rivals[0].runs[0]))
        files |= drawn
        images = " ".join(f"![{name}]({figures}/{file})" for file in drawn)
        parts += [f"### {name}", "", images, "", *_networks(rivals), ""]
    for group in groups:
        drawn = _draw(group, thresholds(group.runs[0]))
        files |= drawn
        images = " ".join(f"![{group.name}]({figures}/{name})" for name in drawn)
        parts += [f"## {group.name}", "", _notes(group.name, notes), "", *_section(group, images)]
        parts += ["", _table(_columns(thresholds(group.runs[0])), group.runs), ""]
        parts += _remarks(group)
    if unreadable:
        parts += ["## Runs that cannot be read", "", *(f"- {line}" for line in unreadable), ""]
    if notes:
        parts += ["## Notes whose runs are not there", ""]
        parts += [_notes(name, notes) + "\n" for name in list(notes)]
    return "\n".join(parts).rstrip() + "\n", files


def _load(roots: Sequence[Path]) -> tuple[list[Group], list[str]]:
    """Returns the groups, named after their folders, and why other runs cannot be read."""
    names: dict[Path, str] = {}
    for root in roots:
        for workdir in find_workdirs(root):
            name = workdir.relative_to(root).as_posix()
            names.setdefault(workdir, root.resolve().name if name == "." else name)
    runs, unreadable = [], []
    for workdir in names:
        try:
            runs.append(load_run(workdir))
        except UserError as error:
            unreadable.append(f"`{names[workdir]}`: {error}")
    groups: list[Group] = []
    taken: set[str] = set()
    for group in group_runs(runs):
        first = group.runs[0]
        stem = _without_seed(names[first.workdir], first.seed)
        name = free_name(names[first.workdir] if stem in taken else stem, taken)
        taken.add(name)
        groups.append(Group(name, group.runs))
    return groups, unreadable


def _without_seed(name: str, seed: Any) -> str:
    """Returns a folder's name without the number of the seed at its end."""
    match = re.search(r"[/_.-](seed|s|run)?[_=-]?0*(\d+)$", name)
    return name[: match.start()] if match and match[2] == str(seed) else name


def hand_written(page: str) -> dict[str, str]:
    """Returns what stands between the marks of a page, by name.

    Raises:
      UserError: a mark is not closed, or a name comes twice.
    """
    names = _NOTES_START.findall(page)
    found = _NOTES.findall(page)
    if len(found) != page.count("<!-- /notes -->") or [name for name, _ in found] != names:
        raise UserError(
            "the page has a '<!-- notes:NAME -->' without its '<!-- /notes -->', or one too "
            "many; mend it by hand, so that no text is lost"
        )
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise UserError(f"the page has '<!-- notes:{twice[0]} -->' twice; leave one")
    return dict(found)


def _notes(name: str, notes: dict[str, str]) -> str:
    """Returns the marks with the text written by hand, and takes it out of `notes`."""
    return f"<!-- notes:{name} -->\n{notes.pop(name, '')}<!-- /notes -->"


def _summary(groups: Sequence[Group]) -> list[str]:
    lines = [
        "| runs | environment | seeds | failed | agent steps | minutes | final evaluation |",
        "|---|---|---|---|---|---|---|",
    ]
    for group in groups:
        failed = sum(run.failure is not None for run in group.runs)
        cells = [
            f"[{group.name}](#{_anchor(group.name)})",
            group.runs[0].environment,
            ", ".join(number(run.seed) for run in group.runs),
            str(failed) if failed else "–",
            _span([run.highest("actor_steps") for run in group.runs]),
            _span([run.minutes for run in group.runs], digits=1),
            _over_seeds(group) or "–",
        ]
        lines.append(_row(cells))
    return lines


def _anchor(name: str) -> str:
    return re.sub(r"[^\w\- ]", "", name.lower()).replace(" ", "-")


def _span(values: Sequence[float | None], digits: int = 0) -> str:
    known = [round(value, digits) for value in values if value is not None]
    if not known:
        return "–"
    low, high = number(min(known)), number(max(known))
    return low if low == high else f"{low} to {high}"


def _over_seeds(group: Group) -> str:
    """Returns the mean over seeds of the final evaluations, and an interval."""
    means = [float(run.evaluation["mean"]) for run in group.runs if run.evaluation is not None]
    if not means:
        return ""
    if len(means) == 1:
        return f"{number(means[0])} (one seed)"
    low, high, interval = statistics.interval_of(np.array(means)[:, None])
    ends = f"[{number(float(low[0]))}, {number(float(high[0]))}]"
    return f"{number(float(np.mean(means)))} {ends} ({len(means)} seeds; {interval})"


def _comparisons(groups: Sequence[Group]) -> dict[str, list[Group]]:
    """Returns the groups with learning curves that have a task in common, by its name."""
    tasks: dict[str, list[Group]] = {}
    for group in groups:
        config = group.runs[0].config
        if any(run.evaluations().size for run in group.runs):
            task = {
                name: config[name] for name in sorted(config) if name.startswith("environment.")
            }
            tasks.setdefault(repr(task), []).append(group)
    taken: set[str] = set()
    compared = {}
    for rivals in tasks.values():
        if len(rivals) > 1:
            name = free_name(rivals[0].runs[0].environment, taken)
            taken.add(name)
            compared[name] = rivals
    return compared


def _draw_rivals(name: str, rivals: Sequence[Group], threshold: float | None) -> dict[str, str]:
    """Returns the learning curves of several groups in one figure for each axis, by file name."""
    stem, files = "comparison-" + _file_stem(name), {}
    for axis, ending, label in _AXES:
        lines = [
            line
            for colour, group in enumerate(rivals)
            for line in group_lines(group, colour, "evaluator", "episode_return", axis)
        ]
        title = f"{name}: evaluation return"
        legend = {colour: group.name for colour, group in enumerate(rivals)}
        files[f"{stem}-{ending}.svg"] = svg.line_plot(
            lines, label, f"{title} over {label}", threshold, title, legend
        )
    return files


def _networks(rivals: Sequence[Group]) -> list[str]:
    """Returns a table of the groups' networks: what differs besides the agent."""
    fields = ("torso", "hidden_sizes", "width", "dynamics", "dynamics_blocks", "head_sizes")
    lines = [
        _row(["runs", *(field.replace("_", " ") for field in fields), "final evaluation"]),
        "|" + "---|" * (len(fields) + 2),
    ]
    for group in rivals:
        config = group.runs[0].config
        values = [config.get(f"agent.network.{field}", "–") for field in fields]
        cells = [str(v).strip("[]") for v in values]
        lines.append(
            _row([f"[{group.name}](#{_anchor(group.name)})", *cells, _over_seeds(group) or "–"])
        )
    return lines


def _file_stem(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name)


def _section(group: Group, images: str) -> list[str]:
    run = group.runs[0]
    lines = [f"Environment: {run.environment}.", ""]
    commands = dict.fromkeys(_command(run) for run in group.runs if run.command is not None)
    if commands:
        lines += ["```sh", *commands, "```", "", _machine([run.command for run in group.runs])]
    if any(run.command is None for run in group.runs):
        lines += ["", "The command is not known: there is no command.json."]
    over_seeds = _over_seeds(group)
    if over_seeds:
        lines += ["", f"Final evaluation over seeds: {over_seeds}."]
    lines += ["", images or "No evaluation was logged, so there is no learning curve."]
    return lines


def _command(run: Run) -> str:
    argv = [str(part) for part in (run.command or {}).get("argv", [])]
    # Of a path in this folder, what follows the folder is all that others can use.
    return shlex.join(["python", *argv]).replace(f"{Path.cwd()}/", "")


def _machine(commands: Sequence[Mapping[str, Any] | None]) -> str:
    """Returns the versions and the cores; all of them, where the runs differ."""
    texts: dict[str, None] = {}
    for command in commands:
        if command is not None:
            versions = command.get("versions") or {}
            text = ", ".join(
                [f"Python {command.get('python', '?')}"]
                + [f"{name} {version}" for name, version in versions.items()]
            )
            cpus = command.get("cpus")
            texts[f"{text}; {number(cpus)} CPU core{'s' if cpus != 1 else ''}."] = None
    return "\n".join(texts)


def _columns(threshold: float | None) -> list[_Column]:
    columns = [
        _Column("run", lambda run: f"{run.workdir.name}{', failed' if run.failure else ''}"),
        _Column("seed", lambda run: number(run.seed)),
        _Column("agent steps", lambda run: _number_or_none(run.highest("actor_steps"))),
        _Column("episodes", lambda run: _number_or_none(run.highest("episodes"))),
        _Column("minutes", lambda run: _number_or_none(run.minutes, digits=1)),
        _Column("last in training", lambda run: _at(run.evaluations(), np.take, -1)),
        _Column("best in training", lambda run: _at(run.evaluations(), np.max)),
    ]
    if threshold is not None:
        columns.append(
            _Column(f"reached {number(threshold)}", lambda run: _reached(run, threshold))
        )
    columns.append(_Column("final evaluation [95%]", _final))
    for key in ("std", "median", "iqm", "episodes", "simulations", "opponent", "checkpoint"):
        title = "evaluation episodes" if key == "episodes" else key
        columns.append(_Column(title, functools.partial(_evaluated, key)))
    columns.append(_Column("wins / draws / losses", _wins))
    return columns


def _number_or_none(value: float | None, digits: int | None = None) -> str | None:
    if value is None:
        return None
    return number(value if digits is None else round(value, digits))


def _at(values: np.ndarray, take: Callable[..., Any], *arguments: int) -> str | None:
    return number(float(take(values, *arguments))) if values.size else None


def _reached(run: Run, threshold: float) -> str | None:
    reached = statistics.first_reached(run, threshold)
    if reached is None:
        return "not" if run.evaluations().size else None
    steps, minutes = reached
    return f"{number(steps)} steps, {number(round(minutes, 1))} minutes"


def _final(run: Run) -> str | None:
    return None if run.evaluation is None else final_evaluation(run.evaluation)


def _evaluated(key: str, run: Run) -> str | None:
    value = (run.evaluation or {}).get(key)
    return None if value is None else number(value)


def _wins(run: Run) -> str | None:
    counts = [(run.evaluation or {}).get(key) for key in ("wins", "draws", "losses")]
    return None if None in counts else " / ".join(number(count) for count in counts)


def _table(columns: Sequence[_Column], runs: Sequence[Run]) -> str:
    cells = [[column.cell(run) for run in runs] for column in columns]
    kept = [index for index, column in enumerate(cells) if any(cell is not None for cell in column)]
    lines = [_row([columns[index].title for index in kept]), "|" + "---|" * len(kept)]
    for position in range(len(runs)):
        lines.append(_row([cells[index][position] or "–" for index in kept]))
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _remarks(group: Group) -> list[str]:
    """Returns what failed and what is missing, a line each."""
    lines = [
        f"- {run.workdir.name} failed: `{run.failure.replace('`', chr(39))}`"
        for run in group.runs
        if run.failure is not None
    ]
    lines += [f"- {run.workdir.name}: {note}" for run in group.runs for note in run.notes]
    lines += [
        f"- {run.workdir.name}: no final evaluation (there is no evaluation.json)"
        for run in group.runs
        if run.evaluation is None
    ]
    return [*lines, ""] if lines else []


def _draw(group: Group, threshold: float | None) -> dict[str, str]:
    """Returns the learning curves over steps and over minutes, by file name."""
    stem = _file_stem(group.name)
    files = {}
    for axis, ending, label in _AXES:
        lines = group_lines(group, 0, "evaluator", "episode_return", axis)
        if lines:
            title = f"{group.name}: evaluation return"
            description = f"{title} over {label}"
            files[f"{stem}-{ending}.svg"] = svg.line_plot(
                lines, label, description, threshold, title
            )
    return files
