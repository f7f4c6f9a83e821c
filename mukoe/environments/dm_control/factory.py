"""Environment factory of the DeepMind Control Suite."""

import contextlib
import functools
import logging
from collections.abc import Iterator
from typing import Any

from mukoe.configuration.registry import describe_error
from mukoe.environments.dm_control.config import DmControlConfig
from mukoe.environments.dm_control.environment import DmControlEnvironment
from mukoe.environments.dm_control.names import PREFIX
from mukoe.environments.headless_rendering import choose_backend, require_rendering
from mukoe.environments.sync_vector import vectorize
from mukoe.environments.vector import EnvironmentFactory
from mukoe.errors import UserError


def make_dm_control(config: DmControlConfig) -> EnvironmentFactory:
    """Returns the environment factory of a task.

    Evaluation environments are the same as in training. With pixels, an environment is built, drawn
    and closed immediately, so that errors are raised here.

    Raises:
        UserError: the camera does not exist, or this machine cannot render the pixels.
    """
    if config.pixels:
        require_rendering()
        with contextlib.closing(_make_environment(config, 0, False)) as environment:
            environment.reset()
    return vectorize(functools.partial(_make_environment, config), f"{PREFIX}{config.task}")


def _make_environment(config: DmControlConfig, seed: int, evaluation: bool) -> DmControlEnvironment:
    del evaluation
    suite = _import_suite()
    domain, _, task = config.task.partition("-")
    with _without_model_warnings():
        environment = suite.load(domain, task, task_kwargs={"random": seed})
    return DmControlEnvironment(environment, config)


def _import_suite() -> Any:
    """Returns the module `dm_control.suite`.

    Raises:
        UserError: it cannot be imported: packages do not fit, or the backend does not work.
    """
    backend = choose_backend()  # Before the import below, which reads it.
    try:
        from dm_control import suite
    except Exception as error:  # of any of the packages behind it
        raise UserError(
            f"dm_control cannot be imported, with MUJOCO_GL={backend}: {describe_error(error)}; "
            "pip install 'mukoe[control]' installs versions that fit"
        ) from error
    return suite


@contextlib.contextmanager
def _without_model_warnings() -> Iterator[None]:
    """Hides MuJoCo's warnings of deprecated attributes in the suite's own models."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
