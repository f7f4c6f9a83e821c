"""The health check of a container: is the node's process alive, and not stopped?

A script of the standard library: its status is 0 where the file that the node touches once a
second is not older than a minute.
"""

import os
import sys
import time

_OLDEST_SECONDS = 60.0


def is_healthy(heartbeat_file: str) -> bool:
    """Whether the file was touched within the last minute."""
    try:
        return time.time() - os.stat(heartbeat_file).st_mtime <= _OLDEST_SECONDS
    except FileNotFoundError:
        return False


if __name__ == "__main__":
    sys.exit(not is_healthy(os.environ["MUKOE_HEARTBEAT_FILE"]))
