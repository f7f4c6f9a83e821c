"""Warnings of MuJoCo, which it prints and appends to a file MUJOCO_LOG.TXT by default."""

import functools
import logging

_LOGGER = logging.getLogger(__name__)


def log_mujoco_warnings() -> None:
    """Sends MuJoCo's warnings to the log, each once, unless another function receives them.

    Warnings of deprecated attributes concern the authors of a model, and are dropped.
    """
    import mujoco

    if mujoco.get_mju_user_warning() is None:
        mujoco.set_mju_user_warning(_receive)


def _receive(text: str) -> None:
    if "deprecated" not in text:
        _log_once(" ".join(text.split()))


@functools.cache
def _log_once(text: str) -> None:
    _LOGGER.warning(f"MuJoCo: {text}")
