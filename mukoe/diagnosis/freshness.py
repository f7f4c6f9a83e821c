"""Stored search values beside those of the newest parameters."""

from collections.abc import Mapping

import numpy as np

from mukoe.diagnosis.finding import Finding
from mukoe.diagnosis.subject import Subject
from mukoe.diagnosis.targets import as_numpy

_CHECK = "stored values are fresh"
# Difference over the standard deviation between states, above which values are outdated.
_OUTDATED = 0.5


def check_freshness(
    subject: Subject, searched: Mapping[str, np.ndarray] | None, trained: bool, reads_stored: bool
) -> Finding:
    """Compares the stored value of the first state of each sequence with one searched anew.

    Args:
      subject: agent under diagnosis.
      searched: statistics `[B, ...]` of a search of the newest parameters; None without a search.
      trained: True if replay and parameters are those of a run.
      reads_stored: True if stored values are the bootstrap of the value targets.
    """
    rows = as_numpy(subject)
    stored = rows.extras.get("search_value")
    if stored is None or searched is None:
        return Finding(_CHECK, "unknown", "the agent stores no values")
    first = subject.experiment.builder.replay.history
    old, new = stored[:, first], np.asarray(searched["search_value"])
    change, spread = float(np.mean(np.abs(new - old))), float(np.std(new))
    text = (
        f"mean difference {change:.3g} to values of the newest parameters, which vary by "
        f"{spread:.3g} between states"
    )
    table = [["value", "mean", "standard deviation"]]
    for name, values in (("stored", old), ("searched anew", new)):
        table.append([name, f"{np.mean(values):.3g}", f"{np.std(values):.3g}"])
    curve = np.sort(np.abs(new - old)).tolist()
    if not trained:
        return Finding(_CHECK, "unknown", text, table, curve)
    if change <= _OUTDATED * spread:
        return Finding(_CHECK, "ok", text, table, curve)
    if not reads_stored:
        text += "; the bootstrap is that of the target network, which does not read them"
        return Finding(_CHECK, "ok", text, table, curve)
    text += (
        ": bootstraps are outdated; set agent.reanalyse.mode=replay, agent.loss.bootstrap=target, "
        "or a smaller agent.replay.capacity"
    )
    return Finding(_CHECK, "fault", text, table, curve)
