"""Units of the heads that no example of a batch activates."""

import re
from collections.abc import Iterator

import numpy as np

from mukoe.diagnosis.finding import Finding
from mukoe.types import Params

_UNITS = "units of the heads are active"
# A head, without the layers in it.
_HEAD = re.compile(r".*?_head(?=/|$)")
# Inactive fraction of a layer that is a fault: what is left is too small to learn from.
_FAULT = 0.9


def check_active_units(gradient: Params) -> Finding:
    """Counts the units of the heads that are 0 in all examples of a batch.

    The gradient of a weight is the activation of its input unit times the gradient of its output,
    so that the weights behind a unit that is always 0 have no gradient. ReLUs die where early
    targets are noise; the layer in front of them has no gradient either, and nothing revives them
    (Lu et al. 2019, arXiv:1903.06733).

    Args:
      gradient: gradient of the loss of the batch, by module.
    """
    table, faults = [["layer", "inputs", "without gradient"]], []
    for module, inactive in _heads(gradient):
        table.append([module, str(inactive.size), str(int(inactive.sum()))])
        if inactive.mean() > _FAULT:
            faults.append(f"{int(inactive.sum())} of {inactive.size} before {module}")
    if len(table) == 1:
        return Finding(_UNITS, "unknown", "no head has a gradient")
    if faults:
        text = (
            f"always 0: {', '.join(faults)}: the head cannot learn; set "
            "agent.network.head_sizes=() or lower agent.optimizer.learning_rate"
        )
        return Finding(_UNITS, "fault", text, table)
    return Finding(_UNITS, "ok", f"{len(table) - 1} layers have active units", table)


def _heads(gradient: Params) -> Iterator[tuple[str, np.ndarray]]:
    """Yields the layers of the heads, and which of their inputs have no gradient, bool `[I]`."""
    heads: dict[str, list[str]] = {}
    for module in gradient:
        if found := _HEAD.match(module):
            heads.setdefault(found.group(), []).append(module)
    for modules in heads.values():
        if not any(np.any(array) for module in modules for array in gradient[module].values()):
            continue  # The loss does not reach it, which `check_gradients` says.
        for module in modules:
            if "w" in gradient[module]:
                weights = np.moveaxis(np.asarray(gradient[module]["w"]), -2, 0)
                yield module, ~np.any(weights.reshape(len(weights), -1), axis=1)
