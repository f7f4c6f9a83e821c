"""Results page: Markdown and figures from the published records of runs."""

import dataclasses
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mukoe.errors import UserError
from mukoe.observability.report import svg
from mukoe.observability.report.curves import (
    ACTOR_STEPS,
    LEARNER_STEPS,
    MINUTES,
    Curve,
    carry,
    is_wide,
    seed_interval,
)
from mukoe.observability.report.evidence import Evidence, seedless_config
from mukoe.observability.report.groups import config_key, free_name, seed_order
from mukoe.observability.report.hand_written import hand_written, take_notes
from mukoe.observability.report.plots import seed_label, seed_lines
from mukoe.observability.report.published import Score, Task
from mukoe.observability.report.results_table import markdown_row, runs_table
from mukoe.observability.report.text import number

_HEADER = """# Results

`programs/results.py` generates this page and its figures from the records in
[evidence/]({evidence}). Hand-written text stands between the `notes` marks in the source of this
page and is kept.
"""

_AXES = (
    (ACTOR_STEPS, "steps", "agent steps"),
    (LEARNER_STEPS, "updates", "learner steps"),
    (MINUTES, "minutes", "minutes"),
)
_NETWORK_FIELDS = (
    "torso",
    "hidden_sizes",
    "width",
    "dynamics",
    "dynamics_blocks",
    "head_sizes",
)


@dataclasses.dataclass(frozen=True)
class ResultGroup:
    """Records that differ in the seed only.

    name: heading of the group.
    runs: records in the order of their seeds.
    """

    name: str
    runs: tuple[Evidence, ...]

    @property
    def threshold(self) -> float | None:
        """Return that counts as solved, None without one."""
        return self.runs[0].threshold


def make_results(
    records: Sequence[Evidence],
    old: str,
    figures: str,
    evidence: str,
    hover: bool = False,
    published: Sequence[Task] = (),
) -> tuple[str, dict[str, str]]:
    """Generates the page and its figures.

    Args:
      records: records of runs.
      old: present page, whose hand-written text is kept; empty for none.
      figures: path of the figures, relative to the page.
      evidence: path of the records, relative to the page.
      hover: True for figures whose points show their values under the mouse.
      published: scores of other systems, for a table beside those of the runs.

    Returns:
      The Markdown, and a mapping of file names to SVG.

    Raises:
      UserError: marks of hand-written text in `old` do not match, or a task of `published` names
        runs without records.
    """
    groups = group_records(records)
    notes = hand_written(old)
    parts = [
        _HEADER.format(evidence=evidence),
        take_notes("introduction", notes),
        "",
        *(_beside(groups, published, notes) if published else ()),
        "## All",
        "",
        *_summary(groups),
        "",
    ]
    files: dict[str, str] = {}
    compared = _comparisons(groups)
    if compared:
        parts += ["## Comparisons", "", take_notes("comparisons", notes), ""]
    for name, rivals in compared.items():
        drawn = _draw(name, rivals, rivals[0].threshold, "comparison-", hover)
        files |= drawn
        parts += [f"### {name}", "", _images(name, figures, drawn), "", *_networks(rivals), ""]
    for group in groups:
        drawn = _draw(group.name, [group], group.threshold, hover=hover)
        files |= drawn
        images = _images(group.name, figures, drawn)
        parts += [f"## {group.name}", "", take_notes(group.name, notes), ""]
        parts += [*_section(group, images), ""]
        parts += [runs_table(group.runs, group.threshold, evidence), "", *_remarks(group)]
    if notes:
        parts += ["## Notes without runs", ""]
        parts += [take_notes(name, notes) + "\n" for name in list(notes)]
    return "\n".join(parts).rstrip() + "\n", files


def group_records(records: Sequence[Evidence]) -> list[ResultGroup]:
    """Groups records with the same group name and the same configuration except the seed."""
    keyed: dict[tuple[str, str], list[Evidence]] = {}
    for record in records:
        keyed.setdefault((record.group, config_key(record.config)), []).append(record)
    groups: list[ResultGroup] = []
    taken: set[str] = set()
    for members in keyed.values():
        members.sort(key=lambda record: (seed_order(record.seed), record.name))
        stem, first = members[0].group, members[0].name
        name = free_name(first if stem in taken else stem, taken)
        taken.add(name)
        groups.append(ResultGroup(name, tuple(members)))
    return groups


def _summary(groups: Sequence[ResultGroup]) -> list[str]:
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
            _span([run.agent_steps for run in group.runs]),
            _span([run.minutes for run in group.runs], digits=1),
            _over_seeds(group) or "–",
        ]
        lines.append(markdown_row(cells))
    return lines


def _beside(
    groups: Sequence[ResultGroup], tasks: Sequence[Task], notes: dict[str, str]
) -> list[str]:
    """Returns the section of final evaluations beside the scores of other systems."""
    named = {group.name: group for group in groups}
    titles = ["task", "runs", "agent steps", "minutes", "final evaluation", "published"]
    lines = ["## Beside published scores", "", take_notes("published", notes), ""]
    lines += [markdown_row(titles), "|" + "---|" * len(titles)]
    for task in tasks:
        about = [task.task, "<br>".join(map(_score, task.published))]
        for name in task.runs:
            if name not in named:
                raise UserError(f"published scores of {task.task}: there are no runs {name!r}")
            runs = named[name].runs
            cells = [
                about[0],
                f"[{name}](#{_anchor(name)})",
                _span([run.agent_steps for run in runs]),
                _span([run.minutes for run in runs], digits=1),
                _over_seeds(named[name]) or "–",
                about[1],
            ]
            lines.append(markdown_row(cells))
            about = ["", ""]  # The task of several groups is named once.
    return [*lines, ""]


def _score(score: Score) -> str:
    steps = "" if score.steps is None else f" at {number(score.steps)}"
    return f"{score.system}: {number(score.score)}{steps}"


def _anchor(name: str) -> str:
    return re.sub(r"[^\w\- ]", "", name.lower()).replace(" ", "-")


def _span(values: Sequence[float | None], digits: int = 0) -> str:
    known = [round(value, digits) for value in values if value is not None]
    if not known:
        return "–"
    low, high = number(min(known)), number(max(known))
    return low if low == high else f"{low} to {high}"


def _over_seeds(group: ResultGroup) -> str:
    """Returns the mean over seeds of the final evaluations with an interval."""
    means = [float(run.evaluation["mean"]) for run in group.runs if run.evaluation is not None]
    if not means:
        return ""
    if len(means) == 1:
        return f"{number(means[0])} (one seed)"
    low, high, interval = seed_interval(np.array(means)[:, None])
    ends = f"[{number(float(low[0]))}, {number(float(high[0]))}]"
    return f"{number(float(np.mean(means)))} {ends} ({len(means)} seeds; {interval})"


def _comparisons(groups: Sequence[ResultGroup]) -> dict[str, list[ResultGroup]]:
    """Returns the groups with learning curves that share an environment, by its name."""
    tasks: dict[str, list[ResultGroup]] = {}
    for group in groups:
        first = group.runs[0]
        if any(run.evaluations.curve(ACTOR_STEPS).x.size for run in group.runs):
            task = {
                name: value
                for name, value in seedless_config(first).items()
                if name.startswith("environment.")
            }
            tasks.setdefault(config_key(task), []).append(group)
    taken: set[str] = set()
    compared = {}
    for rivals in tasks.values():
        if len(rivals) > 1:
            name = free_name(rivals[0].runs[0].environment, taken)
            taken.add(name)
            compared[name] = rivals
    return compared


def _draw(
    name: str,
    groups: Sequence[ResultGroup],
    threshold: float | None,
    prefix: str = "",
    hover: bool = False,
) -> dict[str, str]:
    """Returns the learning curves over steps and over minutes, by file name.

    Several groups share a figure, with a legend.
    """
    stem = prefix + re.sub(r"[^A-Za-z0-9_-]+", "-", name)
    title = f"{name}: evaluation return"
    legend = {colour: group.name for colour, group in enumerate(groups)}
    files = {}
    for axis, ending, label in _AXES:
        curves = _curves(groups, axis)
        wide = is_wide([run.evaluations.curve(axis) for group in groups for run in group.runs])
        lines = [
            line
            for colour, (group, found) in enumerate(zip(groups, curves, strict=True))
            for line in seed_lines(
                group.name,
                [
                    (seed_label(run.seed, run.name), curve)
                    for run, curve in zip(group.runs, found, strict=True)
                ],
                colour,
                wide,
            )
        ]
        if lines:
            files[f"{stem}-{ending}.svg"] = svg.line_plot(
                lines,
                label,
                f"{title} over {label}",
                threshold,
                title,
                legend if len(groups) > 1 else None,
                hover=hover,
                logarithmic=wide,
            )
    return files


def _curves(groups: Sequence[ResultGroup], axis: str) -> list[list[Curve]]:
    """Returns the curves of each group; those of solved runs keep their final value."""
    curves = [[run.evaluations.curve(axis) for run in group.runs] for group in groups]
    last = max((c.x[-1] for found in curves for c in found if len(c.x)), default=0.0)
    return [
        [
            carry(curve, last) if _is_solved(run) else curve
            for run, curve in zip(group.runs, found, strict=True)
        ]
        for group, found in zip(groups, curves, strict=True)
    ]


def _is_solved(run: Evidence) -> bool:
    """Returns whether the last evaluation reached the threshold."""
    return (
        run.threshold is not None
        and run.last_return is not None
        and run.last_return >= run.threshold
    )


def _images(name: str, figures: str, files: Mapping[str, str]) -> str:
    return " ".join(f"![{name}]({figures}/{file})" for file in files)


def _networks(rivals: Sequence[ResultGroup]) -> list[str]:
    """Returns a table of the networks of several groups."""
    titles = [field.replace("_", " ") for field in _NETWORK_FIELDS]
    lines = [markdown_row(["runs", *titles, "final evaluation"])]
    lines.append("|" + "---|" * (len(titles) + 2))
    for group in rivals:
        config = group.runs[0].config
        values = [config.get(f"agent.network.{field}", "–") for field in _NETWORK_FIELDS]
        cells = [str(value).strip("[]") for value in values]
        link = f"[{group.name}](#{_anchor(group.name)})"
        lines.append(markdown_row([link, *cells, _over_seeds(group) or "–"]))
    return lines


def _section(group: ResultGroup, images: str) -> list[str]:
    lines = [f"Environment: {group.runs[0].environment}.", ""]
    commands = dict.fromkeys(command for run in group.runs for command in _commands(run))
    if commands:
        lines += ["```sh", *commands, "```", "", _machine([run.command for run in group.runs])]
    if any(run.command is None for run in group.runs):
        lines += ["", "The command is not known: there is no command.json."]
    over_seeds = _over_seeds(group)
    if over_seeds:
        lines += ["", f"Final evaluation over seeds: {over_seeds}."]
    recovered = dict.fromkeys(
        f"{file} from {source}"
        for run in group.runs
        for file, source in run.sources.items()
        if source != "workdir"
    )
    if recovered:
        lines += ["", f"Recovered: {'; '.join(recovered)}."]
    lines += ["", images or "No evaluation was logged, so there is no learning curve."]
    return lines


def _commands(run: Evidence) -> list[str]:
    """Returns the command that started a run, and those that resumed it with other flags."""
    if run.command is None:
        return []
    return [
        shlex.join(argv if argv[:1] == ["mukoe"] else ["python", *argv])
        for argv in (run.command.get("argv", []), *run.command.get("resumed", ()))
    ]


def _machine(commands: Sequence[Mapping[str, Any] | None]) -> str:
    """Returns the versions and the CPU cores, a line for each distinct machine."""
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


def _remarks(group: ResultGroup) -> list[str]:
    """Returns failures and missing files, a line each."""
    lines = [
        f"- {run.name} failed: `{run.failure.replace('`', chr(39))}`"
        for run in group.runs
        if run.failure is not None
    ]
    lines += [f"- {run.name}: {note}" for run in group.runs for note in run.notes]
    lines += [
        f"- {run.name}: no final evaluation (there is no evaluation.json)"
        for run in group.runs
        if run.evaluation is None
    ]
    return [*lines, ""] if lines else []
