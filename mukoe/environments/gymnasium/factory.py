"""Environment factory of registered Gymnasium environments."""

import difflib
from collections.abc import Callable
from typing import Any

import gymnasium

from mukoe.environments.gymnasium.environment import GymnasiumEnvironment
from mukoe.environments.sync_vector import vectorize
from mukoe.environments.vector import EnvironmentFactory
from mukoe.errors import UserError


def make_gymnasium(
    name: str,
    wrapper: Callable[[gymnasium.Env], gymnasium.Env] = lambda environment: environment,
    /,
    **kwargs: Any,
) -> EnvironmentFactory:
    """Returns the environment factory of a registered Gymnasium environment.

    One environment is built and closed immediately, so that errors are raised here.

    Args:
        name: registered name, such as CartPole-v1, or module:Name-v0 to import a module first.
        wrapper: function that wraps each environment.
        **kwargs: arguments of `gymnasium.make`, such as `render_mode='rgb_array'`.

    Raises:
        UserError: the name is not registered, a package is missing, the arguments are invalid, or
            a space is not supported.
    """

    def make_environment(seed: int, evaluation: bool) -> GymnasiumEnvironment:
        del evaluation  # Gymnasium environments are the same in training and evaluation.
        environment = gymnasium.make(name, disable_env_checker=True, **kwargs)
        return GymnasiumEnvironment(wrapper(environment), seed)

    try:
        make_environment(0, False).close()
    except (gymnasium.error.UnregisteredEnv, ModuleNotFoundError) as error:
        near = difflib.get_close_matches(name, gymnasium.registry, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"Gymnasium reports: {error}"
        raise UserError(f"there is no Gymnasium environment '{name}'; {hint}") from error
    except UserError:
        raise
    except Exception as error:  # any error of the environment about its arguments
        raise UserError(
            f"Gymnasium environment '{name}' cannot be built: {type(error).__name__}: {error}"
        ) from error
    return vectorize(make_environment, name=f"Gymnasium {name}")
