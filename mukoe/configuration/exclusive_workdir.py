"""Lock of a workdir, in which one process trains at a time."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from mukoe.errors import UserError


@contextlib.contextmanager
def exclusive_workdir(workdir: Path) -> Iterator[None]:
    """Locks a workdir within the context.

    The lock ends with the process, however that ends. File systems without locks have none.

    Args:
      workdir: existing directory of the run.

    Raises:
      UserError: another process has locked it.
    """
    with contextlib.ExitStack() as opened:
        try:
            descriptor = os.open(workdir, os.O_RDONLY)
            opened.callback(os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(
                f"another process trains in {workdir}: wait for its end, stop it, or give another "
                "workdir"
            ) from error
        except OSError:
            pass
        yield
