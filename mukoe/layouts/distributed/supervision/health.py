"""Health check of a container, as a script of the standard library.

Its exit status is 0 if the file that the node touches once a second is at most a minute old.
"""

import os
import sys
import time

_OLDEST_SECONDS = 60.0


def is_healthy(heartbeat_file: str) -> bool:
    """Returns whether the file was touched within the last minute."""
    try:
        return time.time() - os.stat(heartbeat_file).st_mtime <= _OLDEST_SECONDS
    except FileNotFoundError:
        return False


if __name__ == "__main__":
    sys.exit(not is_healthy(os.environ["MUKOE_HEARTBEAT_FILE"]))
