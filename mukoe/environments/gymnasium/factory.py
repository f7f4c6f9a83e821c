"""Environment factory of registered Gymnasium environments."""

import contextlib
import importlib.util
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium

from mukoe.configuration.registry import describe_error, import_module
from mukoe.environments.checks import close
from mukoe.environments.gymnasium.action_masks import MaskSource
from mukoe.environments.gymnasium.environment import GymnasiumEnvironment
from mukoe.environments.gymnasium.names import (
    gymnasium_names,
    uninstalled_package,
    uses_mujoco,
    with_module,
)
from mukoe.environments.gymnasium.sequences import DEFAULT_LIMITS, SequenceLimits
from mukoe.environments.headless_rendering import choose_backend
from mukoe.environments.mujoco_warnings import log_mujoco_warnings
from mukoe.environments.similar_names import similar_names
from mukoe.environments.sync_vector import vectorize
from mukoe.environments.vector import EnvironmentFactory
from mukoe.errors import UserError


def make_gymnasium(
    name: str,
    wrapper: Callable[[gymnasium.Env], gymnasium.Env] = lambda environment: environment,
    action_mask: MaskSource = "none",
    limits: SequenceLimits = DEFAULT_LIMITS,
    /,
    **kwargs: Any,
) -> EnvironmentFactory:
    """Returns the environment factory of a registered Gymnasium environment.

    One environment is built and closed immediately, so that errors are raised here.

    Args:
        name: registered name, such as CartPole-v1, or module:Name-v0 to import a module first.
        wrapper: function that wraps each environment.
        action_mask: place of the legal-action mask.
        limits: bounds of texts and sequences.
        **kwargs: arguments of `gymnasium.make`, such as `render_mode='rgb_array'`.

    Raises:
        UserError: the name is not registered, a package is missing, the arguments are invalid, or
            a space is not supported.
    """
    name = with_module(name)

    def make_environment(seed: int, evaluation: bool) -> GymnasiumEnvironment:
        del evaluation  # Gymnasium environments are the same in training and evaluation.
        if uses_mujoco(name) and importlib.util.find_spec("mujoco"):
            log_mujoco_warnings()
            if "render_mode" in kwargs:
                choose_backend()
        environment = gymnasium.make(name, disable_env_checker=True, **kwargs)
        with contextlib.ExitStack() as on_failure:
            on_failure.callback(environment.close)
            made = GymnasiumEnvironment(wrapper(environment), seed, action_mask, limits)
            on_failure.pop_all()
        return made

    with described_errors(name):
        close(f"Gymnasium {name}", make_environment(0, False))
    return vectorize(make_environment, name=f"Gymnasium {name}")


@contextlib.contextmanager
def described_errors(name: str) -> Iterator[None]:
    """Imports the module of an environment, and describes errors of its construction in a line.

    Args:
        name: registered name, such as CartPole-v1, or module:Name-v0.

    Raises:
        UserError: the module cannot be imported, or the block raised an error.
    """
    module, is_qualified, _ = name.rpartition(":")
    if is_qualified:
        import_module(module, f"Gymnasium environment {name!r}")
    try:
        yield
    except UserError:
        raise
    except gymnasium.error.UnregisteredEnv as error:
        raise UserError(_describe_unregistered(name, error)) from error
    except Exception as error:  # any error of the environment about its arguments
        raise UserError(_describe_failure(name, error)) from error


def _describe_unregistered(name: str, error: gymnasium.error.UnregisteredEnv) -> str:
    near = similar_names(name, gymnasium_names())
    if missing := uninstalled_package(name):
        hint = missing
    elif near:
        hint = f"did you mean {' or '.join(near)}?"
    else:
        hint = f"Gymnasium reports: {error}"
    return f"there is no Gymnasium environment '{name}'; {hint}"


def _describe_failure(name: str, error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name:
        package = error.name.partition(".")[0]
        return (
            f"Gymnasium environment '{name}' needs the package {package}, which is not installed: "
            f"pip install {package}"
        )
    return f"Gymnasium environment '{name}' cannot be built: {describe_error(error)}"
