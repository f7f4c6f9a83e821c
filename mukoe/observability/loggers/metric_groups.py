"""Groups of metrics, which TensorBoard shows as sections."""

import re

_TRAINING = re.compile(r"episode_.+")
_THROUGHPUT = re.compile(
    r"time_.+|.*_per_second|samples_per_.+|.*_ms_p\d+|parameter_age|staleness|batch_fill|"
    r"variable_failures|wall_time|restarts.*|reanalysed_.+|episodes|.*_steps|.*_frames|"
    r"(acting|learning|evaluation)_seconds|environment_cpu"
)
_SEARCH = re.compile(r"search_.+|prior_.+|.*entropy|root_value|value_target|value_error")
_DEFAULTS = {"learner": "loss", "actor": "search"}
_NODE_NUMBER = re.compile(r"_\d+$")


def grouped_name(label: str, name: str) -> str:
    """Returns the name of a metric after its group, such as `loss/value_loss`.

    The groups are `evaluation`, `training` (returns of the actors), `throughput`, `search` and
    `loss`.

    Args:
      label: name of the node, such as `actor_0`.
      name: name of the metric.
    """
    kind = _NODE_NUMBER.sub("", label)
    if _THROUGHPUT.fullmatch(name):
        group = "throughput"
    elif kind == "evaluator":
        group = "evaluation"
    elif _TRAINING.fullmatch(name):
        group = "training"
    elif _SEARCH.fullmatch(name):
        group = "search"
    else:
        group = _DEFAULTS.get(kind, "throughput")
    return f"{group}/{name}"
