"""Names of the actions of an environment."""

from mukoe.environments.vector import VectorEnvironment
from mukoe.errors import UserError
from mukoe.types import is_continuous


def action_names(environment: VectorEnvironment) -> list[str]:
    """Returns a name for each action: that of the environment's `action_names()`, or the number.

    The list is empty for continuous actions.

    Raises:
      UserError: `action_names()` does not return one name per action.
    """
    if is_continuous(environment.spec):
        return []
    count = int(environment.spec.actions.num_values)
    names = environment.action_names() if hasattr(environment, "action_names") else None
    if names is None:
        return [str(action) for action in range(count)]
    if len(names) != count:
        raise UserError(
            f"action_names() of the environment must return {count} names, one per action; "
            f"got {len(names)}"
        )
    return [str(name) for name in names]
