"""Names of the tasks of the DeepMind Control Suite."""

import importlib.util
from collections.abc import Mapping

from mukoe.environments.similar_names import similar_names
from mukoe.errors import UserError

PREFIX = "dm_control:"
"""Start of a name as users type it, such as `dm_control:cartpole-swingup`."""

# Without lqr, whose actions are unbounded and whose episodes do not end.
_TASKS: Mapping[str, tuple[str, ...]] = {
    "acrobot": ("swingup", "swingup_sparse"),
    "ball_in_cup": ("catch",),
    "cartpole": (
        *("balance", "balance_sparse", "swingup", "swingup_sparse"),
        *("two_poles", "three_poles"),
    ),
    "cheetah": ("run",),
    "dog": ("stand", "walk", "trot", "run", "fetch"),
    "finger": ("spin", "turn_easy", "turn_hard"),
    "fish": ("upright", "swim"),
    "hopper": ("stand", "hop"),
    "humanoid": ("stand", "walk", "run", "run_pure_state"),
    "humanoid_CMU": ("stand", "walk", "run"),
    "manipulator": ("bring_ball", "bring_peg", "insert_ball", "insert_peg"),
    "pendulum": ("swingup",),
    "point_mass": ("easy", "hard"),
    "quadruped": ("walk", "run", "escape", "fetch"),
    "reacher": ("easy", "hard"),
    "stacker": ("stack_2", "stack_4"),
    "swimmer": ("swimmer6", "swimmer15"),
    "walker": ("stand", "walk", "run"),
}

TASKS = tuple(f"{domain}-{task}" for domain, tasks in _TASKS.items() for task in tasks)
"""Names of the tasks, `domain-task`."""


def is_installed() -> bool:
    """Returns whether dm_control is installed; does not import it."""
    return importlib.util.find_spec("dm_control") is not None


def require_dm_control(task: str) -> None:
    """Raises a UserError unless dm_control is installed; does not import it."""
    if not is_installed():
        raise UserError(
            f"'{PREFIX}{task}' needs the package dm_control; install it by "
            "pip install 'mukoe[control]'"
        )


def check_task(task: str) -> None:
    """Raises a UserError that suggests similar names unless the task exists."""
    if task in TASKS:
        return
    near = [f"{PREFIX}{name}" for name in similar_names(task, TASKS)]
    hint = f"did you mean {' or '.join(near)}?" if near else "no name is similar."
    raise UserError(
        f"there is no task '{PREFIX}{task}'; {hint} mukoe environments --filter=dm_control lists "
        "all tasks"
    )
