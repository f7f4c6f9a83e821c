"""The layout of several processes: nodes, the runtimes that connect them, and supervision."""
