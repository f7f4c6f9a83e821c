"""mukoe: composable planning agents, from one process to a Launchpad program."""

__version__ = "0.2.0"
