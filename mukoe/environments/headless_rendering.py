"""OpenGL backend of MuJoCo on machines without a display."""

import functools
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from mukoe.errors import UserError

T = TypeVar("T")

_VARIABLE = "MUJOCO_GL"
_NONE = "disabled"
_PROBE_SECONDS = 60.0
_PROBE = "import mujoco; context = mujoco.GLContext(8, 8); context.make_current(); context.free()"


def choose_backend() -> str:
    """Sets the variable MUJOCO_GL if the user has not, and returns it.

    The first of EGL, OSMesa and, with a display, GLFW that works is chosen; `disabled` without any.
    dm_control reads the variable when it is imported, and Gymnasium when it renders. Child
    processes inherit it.
    """
    if _VARIABLE not in os.environ:
        candidates = ("egl", "osmesa", *(("glfw",) if os.environ.get("DISPLAY") else ()))
        os.environ[_VARIABLE] = next(filter(_works, candidates), _NONE)
    return os.environ[_VARIABLE]


def require_rendering() -> None:
    """Raises a UserError if this machine has no OpenGL backend."""
    if choose_backend() in (_NONE, "disable", "off", "false", "0"):
        raise UserError(
            "pictures of MuJoCo need OpenGL without a display, and neither EGL nor OSMesa "
            "works here: install libegl1 and libgl1-mesa-dri, or libosmesa6, or use the features "
            "(--config.environment.pixels=false)"
        )


def in_render_thread(function: Callable[..., T], *arguments: Any) -> T:
    """Calls a function in the only thread of the process that renders, and returns its result.

    An OpenGL context belongs to the thread that used it last: environments are made, stepped and
    closed by different threads.
    """
    return _render_thread().submit(function, *arguments).result()


@functools.cache
def _render_thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, "mukoe-render")


@functools.cache
def _works(backend: str) -> bool:
    """Returns whether a rendering context can be made, in another process.

    A backend that fails leaves modules behind that prevent the next one.
    """
    environment = {**os.environ, _VARIABLE: backend}
    environment.pop("PYOPENGL_PLATFORM", None)
    try:
        result = subprocess.run(
            [sys.executable, "-c", _PROBE],
            env=environment,
            capture_output=True,
            timeout=_PROBE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return result.returncode == 0
