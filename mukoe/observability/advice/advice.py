"""Advice on the speed of a run: its bound, and the two changes that would help most."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mukoe.errors import UserError
from mukoe.observability.advice.changes import Change, Measure, find_changes
from mukoe.observability.advice.costs import Costs, measure_costs
from mukoe.observability.report.runs import Run, load_run
from mukoe.system import available_cores

NUM_CHANGES = 2
# Gains below it are not worth a change.
_LEAST_GAIN = 0.03
# Cost per agent step with larger batches, below which small ones bound the run.
_SMALL_BATCH = 0.6

_NAMES = {
    ("acting", "environment"): "the environment",
    ("acting", "network"): "the network while acting",
    ("acting", "tree"): "the search tree",
    ("acting", "policy"): "the policy",
    ("acting", "recording"): "the recording of steps",
    ("acting", "transport"): "the transport to inference servers",
    ("acting", "waiting"): "the inference servers",
    ("learning", "update"): "the learner's update",
    ("learning", "data"): "the sampling of batches",
    ("learning", "transfer"): "the transfer of batches to the devices",
    ("learning", "reanalysis"): "the reanalysis",
    ("run", "evaluation"): "the evaluation",
    ("run", "rest"): "work beside acting and learning (logs, checkpoints, videos)",
}


@dataclasses.dataclass(frozen=True)
class Advice:
    """Advice on the speed of a run.

    costs: costs of the run.
    bound: part that bounds it, and its share of the time.
    changes: all changes, the one with the greatest gain first.
    """

    costs: Costs
    bound: str
    changes: Sequence[Change]

    @property
    def best(self) -> list[Change]:
        """The changes that help most."""
        worth = [change for change in self.changes if change.gain(self.costs) >= _LEAST_GAIN]
        return worth[:NUM_CHANGES]


def advise(run: Run, measure: Measure | None = None) -> Advice:
    """Returns the advice on a run.

    Args:
      run: contents of the workdir.
      measure: measurement of sizes; None to leave out changes that need one.

    Raises:
      UserError: the logs hold fewer than two rows after the start of learning.
    """
    costs = measure_costs(run)
    cores = (run.command or {}).get("cpus")
    cores = cores if isinstance(cores, int) else available_cores()
    changes = find_changes(costs, run.config, cores, measure)
    return Advice(costs, _bound(costs, run.config, changes), changes)


def _bound(costs: Costs, config: Mapping[str, Any], changes: Sequence[Change]) -> str:
    key = costs.bound()
    share = costs.parts[key] / costs.seconds
    text = f"{_NAMES.get(key, f'{key[0]} ({key[1]})')}, {min(share, 1.0):.0%} of the time"
    if key == ("acting", "environment") and costs.environment_cpu < 0.5:
        text += f", of which it waits {1 - costs.environment_cpu:.0%}"
    small = {
        "acting": ("run.envs_per_actor", "environments"),
        "learning": ("agent.replay.batch_size", "sequences"),
    }.get(key[0])
    if small is None or key[1] not in ("network", "tree", "policy", "update"):
        return text
    ratios = next((change.ratios for change in changes if small[0] in change.flags), None)
    if ratios is not None and ratios[key[0] == "learning"] < _SMALL_BATCH:
        text += (
            f": small batches of {config[small[0]]} {small[1]}, whose fixed cost is most of a call"
        )
    return text


def advice_text(advice: Advice) -> str:
    """Returns the advice as lines: costs, what bounds the run, all changes."""
    costs = advice.costs
    unit = "agent step" if costs.acting else "update"
    lines = [f"{1e3 * costs.seconds:.3g} ms per {unit} ({costs.layout})"]
    for (side, part), seconds in sorted(costs.parts.items(), key=lambda item: -item[1]):
        if seconds / costs.seconds >= 0.005:
            lines.append(f"  {seconds / costs.seconds:>5.0%}  {side:<8}  {part}")
    lines += ["", f"bound by {advice.bound}", ""]
    for change in advice.changes:
        gain = change.gain(costs)
        if gain < _LEAST_GAIN:
            continue
        effect = f"; {change.effect}" if change.effect else ""
        lines += [f"{gain:>+7.0%}  {change.flags}", f"         {change.model}{effect}"]
    if not advice.best:
        lines.append("no change that the adviser knows gains more than 3%")
    return "\n".join(lines)


def summary_lines(workdir: Path, command: str) -> list[str]:
    """Returns the lines about a run that has ended; none if its logs are too short.

    Args:
      workdir: directory of the run.
      command: command whose output has the details.
    """
    try:
        advice = advise(load_run(workdir))
    except (UserError, OSError):
        return []
    best = [f"{c.flags} ({c.gain(advice.costs):+.0%})" for c in advice.best]
    lines = [f"bound by {advice.bound}"]
    if best:
        lines.append(f"faster with {' or '.join(best)}")
    return [*lines, f"details, and measured batch sizes: {command}"]
