"""Nodes of the distributed layout: the work of each process, independent of the transport.

A node works until the stop event of its `Runtime` is set, and then ends. A restarted node resumes
from the files of the run. While a peer is unavailable, a node waits for it or works without it.
Peers are plain objects with methods; the runtime connects them.
"""
