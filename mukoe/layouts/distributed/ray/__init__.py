"""The distributed layout on a Ray cluster."""

import os

# Ray reads both when it is imported: no usage statistics, and no messages of raylets on the
# terminal, where the supervisor reports the restarts.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".*")
